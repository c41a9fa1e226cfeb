"""Two texts compared word by word: which words of the one are not in the other, in this order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from lazaretto.text import visible

MOST_WORDS = 250
"""Words of each text that are compared at most: the time grows with the cube of it."""
# A word has the blanks before it; the blanks at the end are one as well.
_WORD = re.compile(r"\s*\S+|\s+\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words of a text.

    Attributes:
        text: in which nothing is invisible.
        differs: whether the other text does not have them here.
    """

    text: str
    differs: bool


def differing(text: str, other: str, most: int = MOST_WORDS) -> list[Piece]:
    """A text in pieces, those marked that another text does not have in the same order.

    Matched as `difflib` does, after Ratcliff and Obershelp (1988). Blanks do not count. Behind the
    first `most` words nothing is compared, and so nothing is marked.

    Args:
        text: what is shown; its pieces together are ``visible(text, keep_newlines=True)``.
        other: what it is compared with.
        most: words of each that are compared.

    Example:
        >>> [piece.text for piece in differing("call me now", "call me later") if piece.differs]
        [' now']
    """
    words = _WORD.findall(text)
    mine = [word.strip() for word in words[:most]]
    theirs = [word.strip() for word in _WORD.findall(other)[:most]]
    # Words that are frequent are words like others: they are not left out.
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    pieces, end = [], 0
    for block in blocks:
        pieces.append(Piece("".join(words[end : block.a]), differs=True))
        end = block.a + block.size
        pieces.append(Piece("".join(words[block.a : end]), differs=False))
    pieces.append(Piece("".join(words[len(mine) :]), differs=False))
    return [
        Piece(visible(piece.text, keep_newlines=True), piece.differs)
        for piece in pieces
        if piece.text
    ]
