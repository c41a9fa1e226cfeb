"""Words and characters that trusted texts of the kind do not have: triggers are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.parts import BLOCK, TRAITS, UNIT, blocks, traits
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split

_NAMES = {2: ("prompt", "response"), 3: ("prompt", "chosen text", "rejected text")}
LEAST = 0.05 * UNIT
"""Least spread of a trait: where trusted texts have no rare word at all, one is not news enough."""
_SAID = {
    "rarest": "rarest words",
    "unseen": "share of words that no trusted text has",
    "symbols": "share of symbols",
    "length": "length",
}


class RareTokens:
    """How far the traits of a record's texts lie above those of trusted ones, a view for each text.

    The rarity of words is the signal of ONION (Qi et al., 2021, section 3) without a language
    model: an inserted trigger is a word that texts of this kind do not have. Each trait counts by
    how many spreads (to the ninth decile of trusted texts) it lies above their median; length
    counts on both sides.
    """

    name: ClassVar[str] = "rare_tokens"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.75, 0.75, 0.5)

    def __init__(self) -> None:
        self._middle: Floats | None = None
        self._spread: Floats | None = None

    def fit(self, reference: Split) -> Self:
        """Measures median and spread of each trait."""
        rows = [traits(block) for block in blocks(reference.rows.embedding)]
        found = np.stack([part.astype(np.float64) for part in rows])
        middle = np.median(found, axis=1)
        spread = np.quantile(found, 0.9, axis=1) - middle
        least = np.maximum(1e-3 * np.abs(middle), LEAST)
        return self.restore({"middle": middle, "spread": np.maximum(spread, least)}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n, texts): the root mean square of the traits' excesses."""
        return np.stack([np.sqrt(np.square(e).mean(1)) for e in self._excesses(chunk)], 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """Which trait of which text."""
        excesses = self._excesses(chunk)
        names = TRAITS[-excesses[0].shape[1] :]
        said = []
        for row in range(len(chunk)):
            found = np.stack([part[row] for part in excesses])
            text, trait = np.unravel_index(int(found.argmax()), found.shape)
            what = _SAID[names[int(trait)]]
            which, far = _NAMES[len(excesses)][int(text)], found[text, trait]
            said.append(f"the {what} of its {which} is {far:.3g} spreads beyond trusted ones'")
        return said

    def state(self) -> dict[str, State]:
        """Medians and spreads."""
        if self._middle is None or self._spread is None:
            raise UsageError("rare_tokens: fit it before scoring")
        return {"middle": self._middle, "spread": self._spread}

    def restore(self, state: dict[str, State], reference: Split) -> Self:  # noqa: ARG002
        """Brings them back."""
        self._middle, self._spread = state["middle"], state["spread"]
        return self

    def _excesses(self, chunk: Chunk) -> list[Floats]:
        """Per text, float64 (n, t)."""
        if self._middle is None or self._spread is None:
            raise UsageError("rare_tokens: fit it before scoring")
        found = []
        for part, block in enumerate(blocks(chunk.embedding)):
            far = (traits(block).astype(np.float64) - self._middle[part]) / self._spread[part]
            if block.shape[1] == BLOCK:
                far[:, -1] = np.abs(far[:, -1])
            found.append(np.maximum(far, 0))
        return found
