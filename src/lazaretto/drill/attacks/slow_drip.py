"""Slow drip: the same flips, spread over several small batches that come one after the other.

Each batch alone has too little to be noticed: Biggio and Roli, Wild Patterns, 2018, section 3.3, on
poison that enters through updates over time ("boiling frog": Rubinstein et al., ANTIDOTE, 2009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.drill.attacks.label_flip import label_flip

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw, Poisoned

BATCHES = 4
"""How many batches the copy is delivered as."""


def slow_drip(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Flips labels; who delivers the copy cuts it into `BATCHES` batches."""
    return label_flip(copy, count, draw)
