"""Tells a delivery's format by its name and its first and last bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch._read_images import is_tar
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("parquet", "arrow", "csv", "jsonl", "images")
_EXTENSIONS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".tar": "images",
}
TEXTS = ("csv", "json", "jsonl")
"""Formats of text, before JSON is brought to lines."""
PACKINGS = ("gz", "zst")
"""What text may be packed with."""
_NAMES = {
    "parquet": "Parquet",
    "arrow": "Arrow IPC file",
    "csv": "CSV",
    "jsonl": "JSON Lines",
    "images": "a tar archive",
}
_MAGIC = {
    b"PAR1": "parquet",
    b"PARE": "an encrypted Parquet file",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "an Arrow stream (write the file format)",
    b"\x1f\x8b": "gzip (of CSV and JSON Lines, name it .csv.gz or .jsonl.gz)",
    b"\x28\xb5\x2f\xfd": "zstd (of CSV and JSON Lines, name it .csv.zst or .jsonl.zst)",
    b"PK\x03\x04": "zip (deliver it uncompressed)",
    b"BZh": "bzip2 (deliver it uncompressed)",
    b"\xfd7zXZ": "xz (deliver it uncompressed)",
}


def format_by_name(name: str) -> str | None:
    """The format that a file's extension says; None for any other.

    Examples:
        >>> format_by_name("drop/monday.parquet"), format_by_name("drop/monday.xlsx")
        ('parquet', None)
        >>> format_by_name("drop/monday.ndjson.gz"), format_by_name("drop/monday.csv.zst")
        ('jsonl.gz', 'csv.zst')
    """
    packing = next((end for end in PACKINGS if name.lower().endswith(f".{end}")), None)
    plain = name if packing is None else name[: -len(packing) - 1]
    found = _EXTENSIONS.get(plain[plain.rfind(".") :].lower()) if "." in plain else None
    if packing is None or found is None:
        return found
    return f"{found}.{packing}" if found in TEXTS else None


def tell_format(file: pa.NativeFile, wanted: str | None, name: str) -> str:
    """The format as wanted, checked against the file's first and last bytes.

    Args:
        file: the delivery.
        wanted: what its extension or somebody says; None: its extension says nothing.
        name: of the delivery, for messages.

    Raises:
        DeliveryError: code ``wrong_format`` (bytes disagree), ``truncated`` (the end is missing),
            ``zero_rows`` (an empty file).
    """
    if wanted is None and is_tar(file):  # a folder of images, which has no extension
        wanted = "images"
    if wanted not in FORMATS:
        raise DeliveryError(
            f"{name}: unknown format; name the file .parquet, .arrow, .csv, .json, .jsonl, or .tar "
            "for images, or say the format",
            code="wrong_format",
        )
    size = file.size()
    if size == 0:
        raise DeliveryError(f"{name}: no records: it is empty", code="zero_rows")
    found = _sniff(bytes(file.read_at(min(size, 4096), 0)))
    if found != wanted:
        raise DeliveryError(
            f"{name}: named or declared as {_NAMES[wanted]}, but its bytes are "
            f"{_NAMES.get(found, found)}",
            code="wrong_format",
        )
    magic = {"parquet": b"PAR1", "arrow": b"ARROW1"}.get(wanted)
    if magic and (
        size < 2 * len(magic) or bytes(file.read_at(len(magic), size - len(magic))) != magic
    ):
        raise DeliveryError(
            f"{name}: the {_NAMES[wanted]} is truncated: its last bytes are not "
            f"{magic.decode()}; send it again",
            code="truncated",
        )
    return wanted


def is_no_text(head: bytes) -> bool:
    """Whether first bytes are those of another kind of file, whatever text may be encoded in."""
    return any(head.startswith(magic) for magic in _MAGIC if len(magic) > 1)


def _sniff(head: bytes) -> str:
    """Name of the format that the first bytes show."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "images"
    if b"\0" in head:
        return "binary"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "a JSON array (name it .json, or deliver one object per line)"
    return "jsonl" if text.startswith(b"{") else "csv"
