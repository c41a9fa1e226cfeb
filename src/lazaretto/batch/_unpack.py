"""Unpacks a delivery in the decoding process: packed text, and folders of parts, within limits."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from itertools import groupby
from operator import itemgetter
from typing import IO, TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.batch._format import PACKINGS, TEXTS, is_no_text, tell_format
from lazaretto.batch._json_lines import as_lines
from lazaretto.batch._partitions import partitions_of
from lazaretto.batch._text import as_utf8, without_odd_lines
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazaretto.batch._options import TextOptions
    from lazaretto.policy import Limits

_BLOCK = 1 << 20
_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NAMES = {"gz": "gzip", "zst": "zstd"}
_MAGIC = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd"}
# Of a header, which is compared between parts.
_LONGEST_HEADER = 4 * 2**20


class Unpacked(NamedTuple):
    """What a delivery was packed of.

    Attributes:
        format: ``parquet``, ``arrow``, ``csv`` or ``jsonl``.
        paths: its files. Text is one for each folder such as ``year=2024`` that it was in, and
            begins in each with the same header.
        partitions: of each file, the names and values of the folders that it was in.
    """

    format: str
    paths: list[str]
    partitions: list[tuple[tuple[str, str], ...]]


class _Room:
    """How many bytes may still be unpacked."""

    def __init__(self, limits: Limits, name: str, times: int = 1) -> None:
        self._left, self._limits, self._name = limits.max_bytes * times, limits, name

    def copy(self, blocks: Iterable[bytes], target: str) -> None:
        """Copies a stream to a file.

        Raises:
            DeliveryError: code ``too_large``.
        """
        with open(target, "wb") as file:  # noqa: PTH123  paths are texts here
            for block in blocks:
                self._left -= len(block)
                if self._left < 0:
                    raise DeliveryError(
                        f"{self._name}: unpacked it has more than limits.max_bytes = "
                        f"{self._limits.max_bytes:,} bytes",
                        code="too_large",
                    )
                file.write(block)


def unpack(
    raw: str,
    wanted: str | None,
    folder: str,
    limits: Limits,
    name: str,
    *,
    options: TextOptions,
    block: int,
) -> Unpacked:
    """Unpacks a delivery, tells its format, and makes text what the readers read.

    Args:
        raw: local path of the delivery.
        wanted: its format, as `lazaretto.batch._format.format_by_name` says; with ``.tar`` for a
            folder of parts, whose archive this process's parent made.
        folder: where to.
        limits: how many bytes there may be.
        name: of the delivery, for messages.
        options: how text is written.
        block: bytes that one JSON object may have.

    Raises:
        DeliveryError: ``too_large``, ``wrong_format``, ``truncated``, ``zero_rows``,
            ``unreadable``, ``line_too_long``.
    """
    kind, _, packing = (wanted or "").partition(".")
    unpacker = _Unpacker(limits, options, block, name)
    if packing == "tar":
        return _unpack_parts(raw, kind, folder, unpacker, name)
    path = raw
    if packing in PACKINGS:
        path = unpacker.plain(raw, packing, f"{folder}/unpacked", name)
    kind, path = unpacker.read_as(path, kind, f"{folder}/text", name)
    with pa.OSFile(path, "rb") as file:
        return Unpacked(tell_format(file, kind or wanted, name), [path], [()])


class _Unpacker:
    """Unpacks files, of which all together must not become too much."""

    def __init__(self, limits: Limits, options: TextOptions, block: int, name: str) -> None:
        self.options = options
        self._limits, self._block = limits, block
        self._room = _Room(limits, name)

    def plain(self, raw: str, packing: str, target: str, name: str) -> str:
        """A packed file, unpacked."""
        with open(raw, "rb") as file:  # noqa: PTH123
            magic = _MAGIC[packing]
            if file.read(len(magic)) != magic:
                raise DeliveryError(
                    f"{name}: it is named .{packing}, but its bytes are not {_NAMES[packing]}",
                    code="wrong_format",
                )
        try:
            with _opened(raw, packing) as stream:
                self._room.copy(_blocks(stream), target)
        except (gzip.BadGzipFile, zlib.error, EOFError, OSError) as error:
            if not isinstance(error, EOFError | gzip.BadGzipFile | zlib.error) and error.errno:
                raise  # of this machine
            if isinstance(error, EOFError) or "runcated" in str(error):
                raise DeliveryError(
                    f"{name}: the {_NAMES[packing]} file is truncated; send it again",
                    code="truncated",
                ) from error
            raise DeliveryError(
                f"{name}: the {_NAMES[packing]} file is damaged: {error}", code="unreadable"
            ) from error
        return target

    def copy(self, source: IO[bytes], target: str) -> None:
        """A file as it is."""
        self._room.copy(_blocks(source), target)

    def read_as(self, path: str, kind: str, target: str, name: str) -> tuple[str, str]:
        """Format and path of a file that a reader can read."""
        if kind not in TEXTS:
            return kind, path
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(16)
            file.seek(0)
            bytewise = self.options.encoding == "utf-8" and not head.startswith(_UTF_16)
            if is_no_text(head) or (bytewise and b"\0" in head):
                return ("csv" if kind == "csv" else "jsonl"), path  # which is told as such
            usual = self.options.encoding == "utf-8" and not head.startswith(_MARK)
            odd = kind == "csv" and (self.options.skip_rows or self.options.comment is not None)
            blocks = as_utf8(file, self.options, name)
            if kind == "json":
                blocks, kind = as_lines(blocks, name, self._block), "jsonl"
            elif usual and not odd:
                for _ in blocks:  # looked at: what is not of the encoding is told by its place
                    pass
                return kind, path
            elif odd:
                blocks = without_odd_lines(blocks, self.options)
            # A text of so many bytes has at most three times as many in UTF-8.
            _Room(self._limits, name, times=3).copy(blocks, target)
        return kind, target


def _opened(raw: str, packing: str) -> IO[bytes]:
    if packing == "gz":
        return gzip.open(raw, "rb")  # type: ignore[return-value]
    return pa.CompressedInputStream(pa.OSFile(raw, "rb"), "zstd")  # type: ignore[no-any-return]


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


def _unpack_parts(raw: str, kind: str, folder: str, unpacker: _Unpacker, name: str) -> Unpacked:
    paths: list[str] = []
    partitions: list[tuple[tuple[str, str], ...]] = []
    found = kind
    with tarfile.open(raw, "r:") as archive:
        for number, member in enumerate(archive):
            stream = archive.extractfile(member)
            assert stream is not None  # noqa: S101  only files are packed
            path, part = f"{folder}/part-{number}", f"{name}/{member.name}"
            packing = member.name.rpartition(".")[2].lower()
            if packing in PACKINGS:
                with open(f"{path}.packed", "wb") as packed:  # noqa: PTH123
                    shutil.copyfileobj(stream, packed)
                unpacker.plain(f"{path}.packed", packing, path, part)
            else:
                unpacker.copy(stream, path)
            with pa.OSFile(path, "rb") as file:
                if kind in TEXTS and file.size() == 0:
                    continue  # Spark writes such parts
            found, path = unpacker.read_as(path, kind, f"{path}.text", part)
            with pa.OSFile(path, "rb") as file:
                if found in TEXTS and file.size() == 0:
                    continue
                tell_format(file, found, part)
            paths.append(path)
            partitions.append(partitions_of(member.name))
    if not paths:
        raise DeliveryError(f"{name}: its parts are empty", code="zero_rows")
    if found not in TEXTS:
        return Unpacked(found, paths, partitions)
    whole, of_whole = list[str](), list[tuple[tuple[str, str], ...]]()
    header: bytes | None = None
    for said, group in groupby(zip(paths, partitions, strict=True), key=itemgetter(1)):
        target = f"{folder}/joined-{len(whole)}"
        header = _join([path for path, _ in group], target, found, name, unpacker.options, header)
        whole.append(target)
        of_whole.append(said)
    return Unpacked(found, whole, of_whole)


def _join(
    paths: list[str],
    target: str,
    kind: str,
    name: str,
    options: TextOptions,
    header: bytes | None,
) -> bytes | None:
    """Joins parts of text; those of CSV have one header, the same in all parts, which it returns.

    Args:
        paths: the parts.
        target: path of what is written.
        kind: ``csv`` or ``jsonl``.
        name: of the delivery.
        options: how text is written.
        header: of parts that were joined before.
    """
    quote = (options.quote or "").encode()
    with open(target, "wb") as file:  # noqa: PTH123
        for number, path in enumerate(paths):
            with open(path, "rb") as part:  # noqa: PTH123
                if kind == "csv" and options.header:
                    first = part.readline(_LONGEST_HEADER).rstrip()
                    odd = bool(quote) and first.count(quote) % 2
                    if odd or (header is not None and first != header):
                        raise DeliveryError(
                            f"{name}: its parts have different headers, or headers of more than "
                            "one line: every part begins with the same line of column names",
                            code="unreadable",
                        )
                    if number == 0:
                        file.write(first + b"\n")
                    header = first
                shutil.copyfileobj(part, file)
            file.write(b"\n")
    return header
