"""Subpopulation flip: records that are alike, all of one class, get another class.

Jagielski, Severi, Pousette Harger and Oprea, Subpopulation Data Poisoning Attacks, 2021, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw


def subpopulation_flip(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Flips the records of a class that lie nearest to one of them."""
    labels, classes = copy.labels, copy.classes
    values = copy.matrix()
    first = int(np.flatnonzero(some(draw, labels == str(draw.choice(classes)), 1))[0])
    same = np.flatnonzero(labels == labels[first])
    distance = np.linalg.norm(values[same] - values[first], axis=1)
    chosen = np.zeros(len(labels), bool)
    chosen[same[np.argsort(distance, kind="stable")[:count]]] = True
    other = next(one for one in classes if one != labels[first])
    return Poisoned(copy.with_labels(chosen, other), chosen)
