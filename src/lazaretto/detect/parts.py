"""How a vector of the encoder `instruction` is laid out: a block for each text of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats

WIDTH = 32
"""Numbers that say what a text is about."""
TRAITS = ("rarest", "unseen", "symbols", "length")
"""Numbers behind them: how rare its rarest words are, the share of words that no trusted text has,
the share of characters that are neither letters nor spaces, and the logarithm of its length."""
BLOCK = WIDTH + len(TRAITS)
UNIT = 0.05
"""What a trait is multiplied by, so that distances are about the content."""
PAIR, PREFERENCE = 2, 3


def blocks(rows: Floats) -> list[Floats]:
    """The blocks of vectors (n, d), each (n, w): prompt and response, or prompt, chosen, rejected.

    Vectors of another encoder are taken for two blocks of equal width.

    Examples:
        >>> [block.shape for block in blocks(np.zeros((1, 3 * BLOCK)))]
        [(1, 36), (1, 36), (1, 36)]
    """
    width = rows.shape[1]
    count = width // BLOCK if width in (PAIR * BLOCK, PREFERENCE * BLOCK) else PAIR
    each = max(1, width // count)
    return [
        rows[:, at * each : (at + 1) * each] if at * each < width else rows for at in range(count)
    ]


def contents(block: Floats) -> Floats:
    """What a text is about, (n, w)."""
    return block[:, :WIDTH] if block.shape[1] == BLOCK else block


def traits(block: Floats) -> Floats:
    """The traits of a text, (n, t)."""
    return np.asarray(block[:, -min(len(TRAITS), block.shape[1]) :])
