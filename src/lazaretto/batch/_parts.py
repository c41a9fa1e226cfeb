"""A folder of part files as one delivery, as Spark, Dask and DuckDB write them.

Names that begin with ``_`` or ``.``, such as ``_SUCCESS``, are no parts.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from lazaretto.batch._format import TEXTS, format_by_name
from lazaretto.batch._partitions import PARTITION
from lazaretto.batch._read_images import checked_path
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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


def find_parts(folder: int, shown: str, pattern: str | None = None) -> Parts | None:
    """The parts of a folder; None where it has none, and is another kind of delivery, or none.

    Where a folder holds nothing but folders such as ``year=2024``, their files are its parts.

    Args:
        folder: descriptor of the open folder.
        shown: its name, for messages.
        pattern: only files whose names match, as a shell does it; other files may be of any format.

    Raises:
        DeliveryError: ``wrong_format``: they are not all of one format; ``too_large``: too many;
            ``bad_file_name``; ``link``.
        NotArrivedError: it is still being written; or no file matches.
    """
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
    if kind in TEXTS and any("/" in name for name in names):
        raise DeliveryError(
            f"{shown}: folders such as {names[0].partition('/')[0][:80]!r} are read with Parquet "
            "and Arrow files in them: deliver those, or the files of one folder",
            code="wrong_format",
        )
    return Parts(kind, [checked_path(name, shown) for name in names])


def _below(folder: int, head: str, depth: int, shown: str) -> Iterator[str]:
    """Paths of all files that are parts, without those that writers leave beside them."""
    there = sorted(os.listdir(folder))
    if _UNFINISHED in there:
        raise NotArrivedError(
            f"{shown} is still being written: it holds {_UNFINISHED}. Nothing is on record: do the "
            "same again once it is complete"
        )
    for name in there:
        if name.startswith(("_", ".")):
            continue
        if PARTITION.fullmatch(name) is None or depth >= _DEEPEST:
            yield f"{head}{name}"
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:  # a file of such a name; or a link, which packing refuses
            yield f"{head}{name}"
            continue
        try:
            yield from _below(below, f"{head}{name}/", depth + 1, shown)
        finally:
            os.close(below)
