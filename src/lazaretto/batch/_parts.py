"""A folder of part files as one delivery, as Spark, Dask and DuckDB write them.

Names that begin with ``_`` or ``.``, such as ``_SUCCESS``, are no parts.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from lazaretto.batch._format import format_by_name
from lazaretto.batch._partitions import PARTITION
from lazaretto.batch._read_images import checked_path
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch._whole import Whole

_MOST_PARTS = 500  # they are open together while they are decoded
_UNFINISHED = "_temporary"
_FORMATS = ("parquet", "arrow", "csv", "json", "jsonl")
_DEEPEST = 8


class Parts(NamedTuple):
    """The part files of a folder.

    Attributes:
        format: ``parquet``, ``arrow``, ``csv``, ``json`` or ``jsonl``; text may be packed.
        names: paths, sorted.
    """

    format: str
    names: list[str]


def find_parts(
    folder: Whole, shown: str, *, pattern: str | None = None, listed: Sequence[str] | None = None
) -> Parts | None:
    """The parts of a folder; None where it has none, and is another kind of delivery, or none.

    Where a folder holds nothing but folders such as ``year=2024``, their files are its parts.

    Args:
        folder: open.
        shown: its name, for messages.
        pattern: only files whose names match, as a shell does it; other files may be of any format.
        listed: these files alone, by their paths in it, all of one format.

    Raises:
        DeliveryError: ``wrong_format``: they are not all of one format; ``too_large``: too many;
            ``bad_file_name``; ``link``.
        NotArrivedError: it is still being written; or no file matches, or one is not there.
    """
    if listed is not None:
        names = sorted(listed)
        for name in names[: _MOST_PARTS + 1]:
            if not folder.has(name):
                raise NotArrivedError(
                    f"{excerpt(name, 80)!r} in {shown} is not there (yet). Nothing is on record: "
                    "do the same again once all files are there"
                )
    else:
        names = sorted(_below(folder, "", 0, shown))
    if pattern is not None:
        names = [name for name in names if "/" not in name and fnmatchcase(name, pattern)]
        if not names:
            raise NotArrivedError(
                f"no file in {shown} matches {pattern!r}. Nothing is on record: do the same again "
                "once the files are there"
            )
    formats = [(format_by_name(name) or "").partition(".")[0] for name in names]
    kind = next((one for one in formats if one in _FORMATS), None)
    if kind is None:
        if listed is not None:
            raise DeliveryError(
                f"{shown}: several files are one delivery where they are Parquet, Arrow, CSV or "
                "JSON files; deliver these one by one",
                code="wrong_format",
            )
        return None
    for name, found in zip(names, formats, strict=True):
        if found != kind:
            raise DeliveryError(
                f"{shown}: {excerpt(name, 80)!r} in it is no {kind} file: a folder is one "
                "delivery, of parts of one format",
                code="wrong_format",
            )
    if len(names) > _MOST_PARTS:
        raise DeliveryError(
            f"{shown} has more than {_MOST_PARTS:,} parts: write larger ones", code="too_large"
        )
    return Parts(kind, [checked_path(name, shown) for name in names])


def _below(folder: Whole, head: str, depth: int, shown: str) -> Iterator[str]:
    """Paths of all files that are parts, without those that writers leave beside them."""
    there = folder.entries(head)
    if any(entry.name == _UNFINISHED for entry in there):
        raise NotArrivedError(
            f"{shown} is still being written: it holds {_UNFINISHED}. Nothing is on record: do the "
            "same again once it is complete"
        )
    for name, kind in there:
        if name.startswith(("_", ".")):
            continue
        path = f"{head}/{name}" if head else name
        if kind == "folder" and PARTITION.fullmatch(name) and depth < _DEEPEST:
            yield from _below(folder, path, depth + 1, shown)
        else:  # what is no file is refused when it is packed
            yield path
