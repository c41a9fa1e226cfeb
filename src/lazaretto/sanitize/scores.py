"""What a method returns: one score per row of each side, comparable between the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
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
        detail: {class index: what the method adds about the class, in words}.
        skipped: why the method judged nothing, or None.
    """

    train: NDArray[np.float32]
    trusted: NDArray[np.float32] | None
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    detail: dict[int, str] = field(default_factory=dict)
    skipped: str | None = None
