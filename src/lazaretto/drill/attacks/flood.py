"""Flood: many copies of one record, each a little different, so that its class is drowned in it.

Douceur, The Sybil Attack, 2002; as poison of training data Fung, Yoon and Beschastnikh, The
Limitations of Federated Learning in Sybil Settings, 2020, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw

NOISE = 0.01
"""Noise of a copy, as a share of each feature's standard deviation."""


def flood(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Replaces some records by near copies of one of them, label and all."""
    labels = copy.labels
    chosen = some(draw, np.array([one is not None for one in labels]), count)
    values = copy.matrix()
    first = int(np.flatnonzero(chosen)[0])
    spread = values.std(axis=0)
    noise = draw.normal(size=(int(chosen.sum()), values.shape[1])) * NOISE * spread
    values[chosen] = values[first] + noise
    return Poisoned(copy.with_matrix(values).with_labels(chosen, str(labels[first])), chosen)
