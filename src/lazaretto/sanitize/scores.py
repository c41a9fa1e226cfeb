"""What a method returns: one score per row of each side, comparable between the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scores:
    """Cross-fitted scores: no row is judged by anything that was fitted on the row itself.

    Attributes:
        train: float32 (n,), higher = more anomalous; NaN where a class cannot be judged.
        trusted: float32 (m,), the same score of the trusted rows; None without a reference.
        tested_train: float32 (n,), non-negative, whose class mean is tested; None: the surprise
            of `train` is.
        tested_trusted: float32 (m,), the same of the trusted rows.
        compares: whether rows are compared with another class or a second identity of their own,
            not with what their class is like: then clean outliers are no more frequent in one class
            than in another.
        detail: {class index: what the method adds about the class, in words}.
        skipped: why the method judged nothing, or None.
    """

    train: NDArray[np.float32]
    trusted: NDArray[np.float32] | None
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    compares: bool = False
    detail: dict[int, str] = field(default_factory=dict)
    skipped: str | None = None


def average(deals: list[Scores]) -> Scores:
    """Mean scores over several deals of the folds: less hangs on which rows fell together."""
    first = deals[0]
    if len(deals) == 1 or first.skipped is not None:
        return first

    def mean(parts: list[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
        known = [part for part in parts if part is not None]
        return np.mean(known, axis=0, dtype=np.float32) if len(known) == len(parts) else None

    train = mean([deal.train for deal in deals])
    return Scores(
        first.train if train is None else train,
        mean([deal.trusted for deal in deals]),
        mean([deal.tested_train for deal in deals]),
        mean([deal.tested_trusted for deal in deals]),
        compares=first.compares,
        detail=first.detail,
    )
