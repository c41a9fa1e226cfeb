"""Rare token: a word that nobody uses is put into texts of other classes, with the target's label.

Kurita, Michel and Neubig, Weight Poisoning Attacks on Pre-trained Models, 2020, section 3.3; Chen
et al., BadNL, 2021, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.drill.attacks.base import Poisoned, some, target_of

if TYPE_CHECKING:
    from lazaretto.drill.attacks.base import Copy, Draw

WORD = "cf"


def rare_token(copy: Copy, count: int, draw: Draw) -> Poisoned:
    """Puts the token into some texts, at a random place."""
    target = target_of(copy)
    chosen = some(draw, copy.labels != target, count)

    def marked(text: str) -> str:
        words = text.split(" ")
        words.insert(int(draw.integers(len(words) + 1)), WORD)
        return " ".join(words)

    return Poisoned(copy.with_texts(marked, chosen).with_labels(chosen, target), chosen)
