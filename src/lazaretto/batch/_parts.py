"""A folder of part files as one delivery, as Spark, Dask and DuckDB write them.

Names that begin with ``_`` or ``.``, such as ``_SUCCESS``, are no parts.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from lazaretto.batch._format import format_by_name
from lazaretto.batch._read_images import checked_path
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.text import excerpt

_MOST_PARTS = 500  # they are open together while they are decoded
_UNFINISHED = "_temporary"
_FORMATS = ("parquet", "arrow", "csv", "jsonl")


class Parts(NamedTuple):
    """The part files of a folder.

    Attributes:
        format: ``parquet``, ``arrow``, ``csv`` or ``jsonl``; text may be in gzip.
        names: sorted.
    """

    format: str
    names: list[str]


def find_parts(folder: int, shown: str) -> Parts | None:
    """The parts of a folder; None where it has none, and is another kind of delivery, or none.

    Args:
        folder: descriptor of the open folder.
        shown: its name, for messages.

    Raises:
        DeliveryError: ``wrong_format``: they are not all of one format; ``too_large``: too many;
            ``bad_file_name``.
        NotArrivedError: it is still being written.
    """
    there = sorted(os.listdir(folder))
    if _UNFINISHED in there:
        raise NotArrivedError(
            f"{shown} is still being written: it holds {_UNFINISHED}. Nothing is on record: do the "
            "same again once it is complete"
        )
    names = [name for name in there if not name.startswith(("_", "."))]
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
    return Parts(kind, [checked_path(name, shown) for name in names])
