"""Fake profiles: made-up records around the average of all, which push one class.

Lam and Riedl, Shilling Recommender Systems for Fun and Profit, 2004, section 3 (AverageBot).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some, target_of

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw


def fake_profiles(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Replaces some records by draws around the mean of all, each feature by itself."""
    target = target_of(copy)
    chosen = some(draw, np.ones(copy.rows.num_rows, bool), count)
    values = copy.matrix()
    drawn = draw.normal(
        values.mean(axis=0), values.std(axis=0), (int(chosen.sum()), values.shape[1])
    )
    values[chosen] = np.clip(drawn, values.min(axis=0), values.max(axis=0))
    return Poisoned(copy.with_matrix(values).with_labels(chosen, target), chosen)
