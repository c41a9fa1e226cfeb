"""What a method returns: one score per row of each side, comparable between the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scores:
    """Cross-fitted scores: no row is judged by anything that was fitted on the row itself.

    Attributes:
        train: float32 (n,), higher = more anomalous; NaN where a class cannot be judged.
        trusted: float32 (m,), the same score of the trusted rows.
    """

    train: NDArray[np.float32]
    trusted: NDArray[np.float32]
