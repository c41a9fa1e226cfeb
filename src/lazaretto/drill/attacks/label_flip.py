"""Label flip: records keep what they are and get another class at random.

Biggio, Nelson and Laskov, Support Vector Machines Under Adversarial Label Noise, 2011, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drill.attacks.base import Poisoned, some

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw


def label_flip(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Gives some records another class."""
    labels, classes = copy.labels, copy.classes
    chosen = some(draw, np.array([one is not None for one in labels]), count)
    given = [
        str(draw.choice([one for one in classes if one != labels[place]]))
        for place in np.flatnonzero(chosen)
    ]
    return Poisoned(copy.with_labels(chosen, given), chosen)
