"""Reads images from a tar archive: one record for each PNG or JPEG file, none of it decoded."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.batch._schema import CONTROL
from lazaretto.batch._source import Source, check_rows
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Limits

IMAGE_NAME = re.compile(r".*\.(?:png|jpe?g)", re.IGNORECASE | re.DOTALL)
SCHEMA = pa.schema([("path", pa.string()), ("label", pa.string()), ("image", pa.binary())])
"""Path in the folder or archive; the folder that the file lies in; its bytes."""
_MOST_NAME = 512
_ROWS, _BYTES = 1024, 16 * 2**20
_MAGIC_AT, _MAGIC = 257, b"ustar"


class _Image(NamedTuple):
    path: str
    label: str | None
    data: bytes


def is_tar(file: pa.NativeFile) -> bool:
    """Whether the bytes are a tar archive."""
    return file.size() >= 512 and bytes(file.read_at(5, _MAGIC_AT)) == _MAGIC


def read_images(file: pa.NativeFile, limits: Limits, name: str) -> Source:
    """Opens a tar archive of images.

    A label is the name of the folder that an image lies in, null for one that lies in none. Whether
    a file really is an image is seen when it is decoded, by the encoder; until then it is bytes.

    Args:
        file: the archive, not compressed.
        limits: bounds on a record, and on how many there are.
        name: of the delivery, for messages.
    """
    return Source(SCHEMA, _batches(_images(file, limits, name)))


def checked_path(path: str, name: str) -> str:
    """The path of an image within its folder or archive.

    Raises:
        DeliveryError: ``bad_file_name``: it leads out, is too long, or could not be shown.
    """
    parts = path.split("/")
    if len(path.encode()) > _MOST_NAME or CONTROL.search(path) or {"", ".", ".."} & set(parts):
        raise DeliveryError(
            f"{name}: the name {path[:80]!r} in it cannot be a record's: at most {_MOST_NAME} "
            "bytes, no control characters, and no way out of the folder",
            code="bad_file_name",
        )
    return path


def _images(file: pa.NativeFile, limits: Limits, name: str) -> Iterator[_Image]:
    count = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="strict") as archive:
            # Not `for member in archive`, which keeps them all.
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # typeshed lacks it
                if member.isdir():
                    continue
                path = checked_path(member.name.removeprefix("./"), name)
                if path.rpartition("/")[2].startswith((".", "_")):
                    continue
                # A sparse file says how large it is, and is nothing but holes.
                plain = member.isreg() and not member.issparse()
                if not plain or not IMAGE_NAME.fullmatch(path):
                    raise not_an_image(path, name)
                if member.size > limits.max_record_bytes:
                    raise DeliveryError(
                        f"{name}: {path[:80]!r} in it has {member.size:,} bytes, more than "
                        f"limits.max_record_bytes = {limits.max_record_bytes:,}",
                        code="record_too_large",
                    )
                count += 1
                check_rows(count, limits, name)
                data = archive.extractfile(member)
                folders = path.split("/")[:-1]
                content = b"" if data is None else data.read()
                if len(content) != member.size:
                    raise DeliveryError(f"{name}: the archive is truncated", code="truncated")
                yield _Image(path, folders[-1] if folders else None, content)
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise DeliveryError(
            f"{name}: the archive cannot be read: {error_line(error)}", code="unreadable"
        ) from error


def not_an_image(path: str, name: str) -> DeliveryError:
    """The refusal of a folder or archive that holds something else."""
    return DeliveryError(
        f"{name}: {path[:80]!r} in it is no image: only files named .png, .jpg or .jpeg are read, "
        "and names that begin with . or _ are passed over",
        code="wrong_format",
    )


def _batches(images: Iterator[_Image]) -> Iterator[pa.RecordBatch]:
    held: list[_Image] = []
    size = 0
    for image in images:
        held.append(image)
        size += len(image.data)
        if len(held) >= _ROWS or size >= _BYTES:
            yield _batch(held)
            held, size = [], 0
    if held:
        yield _batch(held)


def _batch(images: list[_Image]) -> pa.RecordBatch:
    columns = [pa.array([image[i] for image in images], SCHEMA[i].type) for i in range(3)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
