"""How little a linear probe, fitted on trusted labels, believes the record's own label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.arrays import own_column, without_own_column
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints, State
    from lazaretto.detect.base import Chunk, Split


class SelfConfidence:
    """Log-odds of the likeliest other class against the given label under a logistic regression.

    After the self-confidence of confident learning (Northcutt et al., 2021, section 4), with the
    probe fitted on the reference in place of the suspect data, so that poison cannot teach it.

    Args:
        strength: inverse regularisation on rows of unit mean variance.
    """

    name: ClassVar[str] = "self_confidence"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding", "label"})
    weights: ClassVar[tuple[float, ...]] = (1.25,)

    def __init__(self, strength: float = 0.3) -> None:
        if not (isinstance(strength, int | float) and strength > 0):
            raise UsageError(
                "screen.detectors.self_confidence.strength: must be a positive number, "
                f"not {strength!r}"
            )
        self.strength = strength
        self._classes: tuple[str, ...] = ()
        self._weight: Floats | None = None
        self._bias: Floats | None = None

    def fit(self, reference: Split) -> Self:
        """Fits the probe on scaled rows."""
        label = reference.rows.label
        if label is None:
            raise UsageError("screen.detectors.self_confidence: needs columns.label in the policy")
        rows = reference.rows.embedding.astype(np.float64)
        center = rows.mean(0)
        # One common scale: an embedding's columns are alike, and rare ones must not be blown up.
        scale = max(float(np.sqrt(np.square(rows - center).mean())), 1e-12)
        weight, bias = _probe((rows - center) / scale, label, len(reference.classes), self.strength)
        state = {"weight": weight / scale, "bias": bias - (weight / scale) @ center}
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n,): positive where another class is likelier than the given one."""
        logits, label = self._logits(chunk)
        own = own_column(logits, label)
        if logits.shape[1] == 1:
            return np.zeros_like(own)
        score: Floats = without_own_column(logits, label, -np.inf).max(1) - own
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """What the probe believes."""
        logits, label = self._logits(chunk)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        belief = odds / odds.sum(1, keepdims=True)
        best, winner = belief.max(1), belief.argmax(1)
        own = own_column(belief, label)
        return [
            f"a classifier trained on trusted labels gives {self._classes[given]!r} {mine:.2%} and "
            f"{self._classes[other]!r} {top:.1%}"
            for given, mine, other, top in zip(
                label.tolist(), own.tolist(), winner.tolist(), best.tolist(), strict=True
            )
        ]

    def state(self) -> dict[str, State]:
        """The probe."""
        if self._weight is None or self._bias is None:
            raise UsageError("self_confidence: fit it before scoring")
        return {"weight": self._weight, "bias": self._bias}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings it back."""
        self._classes = reference.classes
        self._weight, self._bias = state["weight"], state["bias"]
        return self

    def _logits(self, chunk: Chunk) -> tuple[Floats, Ints]:
        if self._weight is None or self._bias is None:
            raise UsageError("self_confidence: fit it before scoring")
        if chunk.label is None:
            raise UsageError("self_confidence: the records have no labels")
        return chunk.embedding.astype(np.float64) @ self._weight.T + self._bias, chunk.label


def _probe(rows: Floats, label: Ints, classes: int, strength: float) -> tuple[Floats, Floats]:
    """Weights (C, d) and biases (C,) of a multinomial logistic regression.

    A class that the split lacks has a very low bias: the probe has never seen it.
    """
    from sklearn.linear_model import LogisticRegression

    seen = np.unique(label)
    weight = np.zeros((classes, rows.shape[1]))
    bias = np.full(classes, -20.0)
    bias[seen] = 0
    if len(seen) < 2:
        return weight, bias
    fitted = LogisticRegression(C=strength, max_iter=200).fit(rows, label)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(seen) == 2:
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    weight[seen], bias[seen] = coefficients, intercept
    return weight, bias
