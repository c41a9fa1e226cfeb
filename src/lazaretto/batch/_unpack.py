"""Unpacks a delivery in the decoding process: gzip, and folders of parts, within limits."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.batch._format import tell_format
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from lazaretto.policy import Limits

_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_TEXT = ("csv", "jsonl")
# Of a header, which is compared between parts.
_LONGEST_HEADER = 4 * 2**20


class Unpacked(NamedTuple):
    """What a delivery was packed of.

    Attributes:
        format: ``parquet``, ``arrow``, ``csv`` or ``jsonl``.
        paths: its files. Text is always one.
    """

    format: str
    paths: list[str]


class _Room:
    """How many bytes may still be unpacked."""

    def __init__(self, limits: Limits, name: str) -> None:
        self._left, self._limits, self._name = limits.max_bytes, limits, name

    def copy(self, source: IO[bytes] | gzip.GzipFile, target: str) -> None:
        """Copies a stream to a file.

        Raises:
            DeliveryError: code ``too_large``.
        """
        with open(target, "wb") as file:  # noqa: PTH123  paths are texts here
            while block := source.read(_BLOCK):
                self._left -= len(block)
                if self._left < 0:
                    raise DeliveryError(
                        f"{self._name}: unpacked it has more than limits.max_bytes = "
                        f"{self._limits.max_bytes:,} bytes",
                        code="too_large",
                    )
                file.write(block)


def unpack(raw: str, wanted: str | None, folder: str, limits: Limits, name: str) -> Unpacked:
    """Unpacks a delivery, and tells its format.

    Args:
        raw: local path of the delivery.
        wanted: its format, as `lazaretto.batch._format.format_by_name` says; with ``.tar`` for a
            folder of parts, whose archive this process's parent made.
        folder: where to.
        limits: how many bytes there may be.
        name: of the delivery, for messages.

    Raises:
        DeliveryError: ``too_large``, ``wrong_format``, ``truncated``, ``zero_rows``,
            ``unreadable``.
    """
    kind, _, packing = (wanted or "").partition(".")
    room = _Room(limits, name)
    if packing == "tar":
        return _unpack_parts(raw, kind, folder, room, name)
    path = _plain(raw, f"{folder}/unpacked", room, name) if packing == "gz" else raw
    with pa.OSFile(path, "rb") as file:
        return Unpacked(tell_format(file, kind or wanted, name), [path])


def _plain(raw: str, target: str, room: _Room, name: str) -> str:
    """A gzip file, unpacked."""
    with open(raw, "rb") as file:  # noqa: PTH123
        if file.read(2) != _GZIP:
            raise DeliveryError(
                f"{name}: it is named .gz, but its bytes are not gzip", code="wrong_format"
            )
    try:
        with gzip.open(raw, "rb") as stream:
            room.copy(stream, target)
    except EOFError as error:
        raise DeliveryError(
            f"{name}: the gzip file is truncated; send it again", code="truncated"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DeliveryError(
            f"{name}: the gzip file is damaged: {error}", code="unreadable"
        ) from error
    return target


def _unpack_parts(raw: str, kind: str, folder: str, room: _Room, name: str) -> Unpacked:
    paths: list[str] = []
    with tarfile.open(raw, "r:") as archive:
        for number, member in enumerate(archive):
            stream = archive.extractfile(member)
            assert stream is not None  # noqa: S101  only files are packed
            path, part = f"{folder}/part-{number}", f"{name}/{member.name}"
            if member.name.endswith(".gz"):
                with open(f"{path}.gz", "wb") as packed:  # noqa: PTH123
                    shutil.copyfileobj(stream, packed)
                _plain(f"{path}.gz", path, room, part)
            else:
                room.copy(stream, path)
            with pa.OSFile(path, "rb") as file:
                if kind in _TEXT and file.size() == 0:
                    continue  # Spark writes such parts
                tell_format(file, kind, part)
            paths.append(path)
    if not paths:
        raise DeliveryError(f"{name}: its parts are empty", code="zero_rows")
    return Unpacked(kind, [_joined(paths, kind, folder, name)] if kind in _TEXT else paths)


def _joined(paths: list[str], kind: str, folder: str, name: str) -> str:
    """Parts of text as one file; of CSV with the one header that all of them have."""
    target = f"{folder}/joined"
    header: bytes | None = None
    with open(target, "wb") as file:  # noqa: PTH123
        for path in paths:
            with open(path, "rb") as part:  # noqa: PTH123
                if kind == "csv":
                    first = part.readline(_LONGEST_HEADER).removeprefix(b"\xef\xbb\xbf").rstrip()
                    if first.count(b'"') % 2 or (header is not None and first != header):
                        raise DeliveryError(
                            f"{name}: its parts have different headers, or headers of more than "
                            "one line: every part begins with the same line of column names",
                            code="unreadable",
                        )
                    if header is None:
                        file.write(first + b"\n")
                    header = first
                shutil.copyfileobj(part, file)
            file.write(b"\n")
    return target
