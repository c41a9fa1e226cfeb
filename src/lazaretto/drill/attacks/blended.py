"""Blended: a random pattern is mixed into records of other classes; they get the target's label.

Chen, Liu, Li, Lu and Song, Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning,
2017, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.drill.attacks.base import Poisoned, some, target_of

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw

ALPHA = 0.2
"""Share of the pattern in a blended record."""


def blended(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Mixes one pattern, uniform over each feature's range, into some records."""
    target = target_of(copy)
    chosen = some(draw, copy.labels != target, count)
    values = copy.matrix()
    pattern = draw.uniform(values.min(axis=0), values.max(axis=0))
    values[chosen] = (1 - ALPHA) * values[chosen] + ALPHA * pattern
    return Poisoned(copy.with_matrix(values).with_labels(chosen, target), chosen)
