"""What a method returns: one score per row of each side, comparable between the two."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


View = Literal["own", "others", "split"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Cross-fitted scores: no row is judged by anything that was fitted on the row itself.

    Attributes:
        train: float32 (n,), higher = more anomalous; NaN where a class cannot be judged.
        trusted: float32 (m,), the same score of the trusted rows; None without a reference.
        tested_train: float32 (n,), non-negative, whose class mean is tested; None: no mean is.
        tested_trusted: float32 (m,), the same of the trusted rows.
        ranked_train: float32 (n,), by which records of a class that stands out are ranked, of
            the same order of size as `train`; None: `train` is.
        ranked_trusted: float32 (m,), the same of the trusted rows.
        agreement: float64 (classes,), how far the far rows of each class agree in direction beyond
            chance, see `agreement`; NaN where nothing is said; None: the method says nothing of it.
        view: what rows are compared with: "own", what their class is like; "others", other
            classes; "split", a second identity within their class. Tails of classes differ by
            nature in the first view only.
        detail: {class index: what the method adds about the class, in words}.
        skipped: why the method judged nothing, or None.
    """

    train: NDArray[np.float32]
    trusted: NDArray[np.float32] | None
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    ranked_train: NDArray[np.float32] | None = None
    ranked_trusted: NDArray[np.float32] | None = None
    agreement: NDArray[np.float64] | None = None
    view: View = "own"
    detail: dict[int, str] = field(default_factory=dict)
    skipped: str | None = None


def average(repeats: list[Scores]) -> Scores:
    """Mean scores over several splits into folds: less depends on which rows share a fold."""
    first = repeats[0]
    if len(repeats) == 1 or first.skipped is not None:
        return first
    arrays = {
        f.name: value
        for f in fields(first)
        if isinstance(value := getattr(first, f.name), np.ndarray)
    }
    means: dict[str, Any] = {
        name: np.mean([getattr(scores, name) for scores in repeats], axis=0, dtype=value.dtype)
        for name, value in arrays.items()
    }
    return replace(first, **means)
