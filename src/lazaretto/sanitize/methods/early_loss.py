"""Early loss: is a row learned earlier than its class?

Li, Lyu, Koren, Lyu, Li, Ma (2021), "Anti-backdoor learning: training clean models on poisoned
data", section 3.2: many rows with one strong trigger are easier than what they replace, and their
loss falls in the first epochs. The paper isolates the rows with the least loss of all; here each is
compared with its class, because classes differ in how hard they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData

EARLY = 0.25
"""Share of the epochs that count as early, at least one."""


def early_loss(layer: LayerData) -> Scores:
    """Scores every row by how small its loss was early, one over its geometric mean; positive."""
    train = _earliness(layer.train.rows)
    trusted = None if layer.trusted is None else _earliness(layer.trusted.rows)
    return Scores(train, trusted, view="others")


def _earliness(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    epochs = rows.shape[1] // 2
    early = rows[:, : max(1, round(EARLY * epochs))]
    return np.asarray(np.exp(-early.mean(1, dtype=np.float64)), np.float32)
