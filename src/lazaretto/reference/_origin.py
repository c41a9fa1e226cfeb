"""Deals trusted rows out by where they came from and when, where the policy names such columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._blocks import time_blocks
from lazaretto.reference._partition import (
    FOLDED_BELOW,
    FOLDS,
    Part,
    one_part,
    pairs,
    partition,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.policy import Columns

    Ints = npt.NDArray[np.int64]

FEWEST_GROUPS = 5
"""With fewer, the split is random: two or three groups do not show how far groups differ."""
LEAST_FIT = 1 / 3
"""Smallest share of the rows that FIT may be left with."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when trusted rows were collected.

    Attributes:
        group: int64 (rows,), number of each row's source; None where it is not known.
        time: float64 (rows,), any increasing unit, NaN where unknown; None likewise.
    """

    group: Ints | None = None
    time: npt.NDArray[np.float64] | None = None

    def keep(self, kept: npt.NDArray[np.bool_]) -> Origin:
        """The same of some rows."""
        return Origin(
            None if self.group is None else self.group[kept],
            None if self.time is None else self.time[kept],
        )


def read_origin(trusted: pa.Table | Batch, columns: Columns) -> Origin:
    """Reads the policy's ``reference_group`` and ``reference_time`` of all trusted rows.

    Raises:
        ReferenceMismatchError: a column is missing, or of a kind that it cannot be.
    """
    group, time = columns.reference_group, columns.reference_time
    return Origin(
        None if group is None else _groups(_column(trusted, "reference_group", group), group),
        None if time is None else _times(_column(trusted, "reference_time", time), time),
    )


def split_rows(
    label: Ints | None, rows: int, origin: Origin, *, seed: int, folded: bool | None = None
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Splits rows into FIT, RANK and CAL; groups stay whole, and CAL is what came last.

    A batch is a new day, often of a new supplier: calibrated on rows of the very groups that the
    detectors were fitted on, they would take it for stranger than it is. So a group is never split
    between FIT, RANK and CAL. Where there is one part (`partition`), the order is that of time: FIT
    what is oldest, CAL what is newest. In a cross-fitted reference every row calibrates: there the
    folds are stretches of time, so that a window is not compared with those that overlap it.

    Args:
        label: int64 (rows,), or None.
        rows: how many.
        origin: of each row.
        seed: of what is left to chance.
        folded: as in `partition`.

    Returns:
        The parts, and what to tell where the columns could not be used.
    """
    folds = folded if folded is not None else rows < FOLDED_BELOW
    notes = []
    groups = 0 if origin.group is None else len(np.unique(origin.group))
    units = origin.group
    if units is not None and groups < FEWEST_GROUPS:
        units = None
        notes.append(
            f"columns.reference_group has {groups} groups, and {FEWEST_GROUPS} are needed to keep "
            "them whole: the split is random"
        )
    parts: tuple[Part, ...] = ()
    if folds and units is not None:
        parts = _pairs(units, seed)
    elif folds and origin.time is not None:
        parts = time_blocks(origin.time, FOLDS)
    elif not folds and (units is not None or origin.time is not None):
        parts = (_one_part(units, origin.time, rows, seed),)
    if parts:
        problem = _problem(parts, label, rows)
        if problem is None:
            return parts, tuple(notes)
        notes.append(f"{problem}: the split is random")
    return partition(label, rows, seed=seed, folded=folded), tuple(notes)


def _pairs(group: Ints, seed: int) -> tuple[Part, ...]:
    """Groups to folds, the largest first, always to the fold with the fewest rows."""
    rng = np.random.default_rng(seed)
    names, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    folds = min(FOLDS, len(names))
    size, fold_of = np.zeros(folds, dtype=np.int64), np.empty(len(names), dtype=np.int64)
    order = rng.permutation(len(names))
    for number in order[np.argsort(-counts[order], kind="stable")].tolist():
        fold_of[number] = int(size.argmin())
        size[fold_of[number]] += counts[number]
    return pairs(fold_of[place], folds)


def _one_part(
    group: Ints | None, time: npt.NDArray[np.float64] | None, rows: int, seed: int
) -> Part:
    """Units (groups, or single rows) in the order of time, or of chance, cut at 60 % and 70 %."""
    rng = np.random.default_rng(seed)
    _, unit = np.unique(np.arange(rows) if group is None else group, return_inverse=True)
    count = np.bincount(unit)
    key = rng.random(len(count))
    if time is not None:
        known = np.where(np.isnan(time), -np.inf, time)
        latest = np.full(len(count), -np.inf)
        np.maximum.at(latest, unit, known)
        key = latest
    order = np.lexsort([rng.random(len(count)), key])
    before = np.empty(len(count))
    before[order] = np.cumsum(count[order]) - count[order]
    return one_part(before[unit] / rows, rng)


def _problem(parts: tuple[Part, ...], label: Ints | None, rows: int) -> str | None:
    """Why a split by origin cannot be used; None where it can."""
    left_out = [side for part in parts for side in part.left_out]
    if min(min(len(side.rank), len(side.calibration)) for side in left_out) < 1:
        return "columns.reference_group: one group has too many of the rows"
    if min(len(part.fit) for part in parts) < LEAST_FIT * rows:
        return "columns.reference_group: one group has too many of the rows"
    if label is not None:
        classes = int(label.max()) + 1
        for part in parts:
            if len(np.unique(label[part.fit])) < classes:
                return "a label is found in one group or period only"
    return None


def _column(trusted: pa.Table | Batch, key: str, name: str) -> pa.ChunkedArray:
    from lazaretto.batch import as_chunks

    if name not in trusted.schema.names:
        raise ReferenceMismatchError(
            f"columns.{key}: the trusted rows have no column {name!r} "
            f"(there are: {', '.join(trusted.schema.names)})"
        )
    return pa.chunked_array([chunk.column(0) for chunk in as_chunks(trusted, columns=[name])])


def _groups(column: pa.ChunkedArray, name: str) -> Ints:
    try:
        texts = pc.cast(column, pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReferenceMismatchError(
            f"columns.reference_group: {name!r} has type {column.type}, which names no source"
        ) from error
    coded = pc.fill_null(pc.dictionary_encode(texts).indices, -1)
    return np.asarray(coded.to_numpy(zero_copy_only=False), dtype=np.int64)


def _times(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    kind = column.type
    try:
        if pa.types.is_string(kind):
            column = pc.cast(column, pa.timestamp("us", "UTC" if _zoned(column) else None))
        if pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("s"))
        if pa.types.is_timestamp(column.type):
            column = pc.cast(column, pa.int64())
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReferenceMismatchError(
            f"columns.reference_time: {name!r} has type {kind}, and its values are no times: "
            "write them as timestamps, dates or ISO 8601"
        ) from error
    return np.asarray(numbers, dtype=np.float64)


def _zoned(column: pa.ChunkedArray) -> bool:
    """Whether the first time that is given names its zone."""
    first = next((text for text in column.drop_null().slice(0, 1).to_pylist()), "")
    return first.endswith("Z") or "+" in first[10:] or "-" in first[10:]
