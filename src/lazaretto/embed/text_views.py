"""Views of one text that mean about the same: a stretch of its words, some of them left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_WORDS = 256
"""Words of a view, at most."""
_LONGEST_WORD, _FARTHEST = 16, 100_000
_WORD = re.compile(rf"\s*\S{{1,{_LONGEST_WORD}}}")


def words(text: str) -> list[str]:
    """Pieces that make up the text again, each with the space before it.

    What is longer than 16 characters is several pieces, so that a script without spaces has
    views, too. Only the first 100,000 characters are looked at.
    """
    return _WORD.findall(text[:_FARTHEST].strip())


def text_view(
    pieces: list[str], *, span: float, dropout: float, generator: np.random.Generator
) -> str:
    """A random stretch of the words, without some of them.

    Stretches after Giorgi, Nitski, Wang, Bader (2021), "DeCLUTR: Deep contrastive learning for
    unsupervised textual representations", section 3: views are spans of one document, which may
    overlap or lie beside each other. Words are left out as in the word deletion that Gao, Yao,
    Chen (2021), "SimCSE: Simple contrastive learning of sentence embeddings", section 3, compare.

    Args:
        pieces: of `words`, at least one.
        span: least share of the words that the stretch has, above 0, at most 1.
        dropout: most of the stretch's words that are left out, a share from 0 to below 1.
        generator: of chance.

    Returns:
        Of n words at least ``ceil(span * n)``, or `MOST_WORDS` where that is less, without at most
        ``floor(dropout * length)`` of them; in their order, and at least one.
    """
    count = len(pieces)
    most = min(count, MOST_WORDS)
    least = min(most, max(1, -int(-span * count // 1)))
    length = int(generator.integers(least, most + 1))
    start = int(generator.integers(0, count - length + 1))
    left_out = int(generator.integers(0, int(dropout * length) + 1))
    gone = set(generator.permutation(length)[:left_out].tolist())
    stretch = pieces[start : start + length]
    return "".join(one for place, one in enumerate(stretch) if place not in gone).strip()
