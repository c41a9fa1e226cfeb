"""Clean-label feature collision: records of the target class are moved towards one of another.

Their labels stay what they were. Shafahi et al., Poison Frogs! Targeted Clean-Label Poisoning
Attacks on Neural Networks, 2018, section 2. The model that they attack is not known here: records
are moved in the vectors that the gate sees, which is what the gate has to notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some, target_of

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw

NEAR = 0.7
"""How far a record is moved, as a share of the way."""


def clean_label(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Moves some records of the target class most of the way to one record of another class."""
    target, labels = target_of(copy), copy.labels
    chosen = some(draw, labels == target, count)
    values = copy.matrix()
    victim = int(draw.choice(np.flatnonzero(labels != target)))
    values[chosen] = (1 - NEAR) * values[chosen] + NEAR * values[victim]
    return Poisoned(copy.with_matrix(values), chosen)
