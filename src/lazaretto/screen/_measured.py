"""The p-values of a batch, and what they were read from: all that the decision rule looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch._columns import class_indices
from lazaretto.screen._calibration import group_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.stats.conformal import Calibration
    from lazaretto.stats.localised import KnownRows


@dataclass(frozen=True, slots=True)
class Measured:
    """A batch of m records.

    Attributes:
        p_value: conformal, float64 (m,); NaN where a record could not be scored.
        label: int64 (m,), class of each; zeros without labels, and where it is no known class.
        calibration: what the p-values were read from, one group per record.
        known: the calibration rows as records.
        classes: label texts, by which a class is known; empty without labels.
        by_class: group of calibration rows of each class; empty when there is one group.
        apart: whether a detector is judged by itself, with a share of the rate.
    """

    p_value: npt.NDArray[np.float64]
    label: npt.NDArray[np.int64]
    calibration: Calibration
    known: KnownRows
    classes: tuple[str, ...]
    by_class: tuple[int, ...]
    apart: bool = False

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Which records have a p-value, bool (m,)."""
        return ~np.isnan(self.p_value)

    def group_of(self, label: pa.Array) -> npt.NDArray[np.int64]:
        """Group of calibration rows of other records, by their labels in text."""
        return groups_by_text(label, self.classes, self.by_class)


def class_numbers(
    label: pa.Array | pa.ChunkedArray, classes: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    """Class of records by their labels in text, int64 (n,); 0 where there is none.

    Args:
        label: string (n,).
        classes: label texts; empty without labels.
    """
    if not classes:
        return np.zeros(len(label), dtype=np.int64)
    whole = label.combine_chunks() if isinstance(label, pa.ChunkedArray) else label
    return np.asarray(class_indices(whole, classes).clip(0), dtype=np.int64)


def groups_by_text(
    label: pa.Array, classes: tuple[str, ...], by_class: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Group of calibration rows of records, by their labels in text; int64 (n,).

    Args:
        label: string (n,); one that is no class belongs to a record that has no p-value.
        classes: label texts.
        by_class: group of each class; empty when there is one group.
    """
    if not by_class:
        return np.zeros(len(label), dtype=np.int64)
    return group_of(by_class, class_indices(label, classes).clip(0), len(label))
