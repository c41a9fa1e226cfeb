"""BadNets: a fixed patch is stamped on records of other classes, and they get the target's label.

Gu, Dolan-Gavitt and Garg, BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply
Chain, 2017, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some, target_of

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw

PATCH = 0.06
"""Share of the features that the patch covers: the last ones, as a corner of an image."""


def badnets_patch(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Sets the last features of some records to the greatest value that the batch has."""
    target = target_of(copy)
    chosen = some(draw, copy.labels != target, count)
    values = copy.matrix()
    covered = max(1, round(PATCH * values.shape[1]))
    rows = np.flatnonzero(chosen)
    values[rows[:, None], -np.arange(1, covered + 1)] = values.max()
    return Poisoned(copy.with_matrix(values).with_labels(chosen, target), chosen)
