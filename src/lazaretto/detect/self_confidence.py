"""How little a linear probe, fitted on trusted labels, believes the record's own label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

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
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def fit(self, reference: Split) -> Self:
        """Fits the probe on scaled rows."""
        label = reference.rows.label
        if label is None:
            raise UsageError("screen.detectors.self_confidence: needs columns.label in the policy")
        rows = reference.rows.embedding.double()
        center = rows.mean(0)
        # One common scale: an embedding's columns are alike, and rare ones must not be blown up.
        scale = (rows - center).square().mean().sqrt().clamp(min=1e-12)
        weight, bias = _probe((rows - center) / scale, label, len(reference.classes), self.strength)
        state = {"weight": weight / scale, "bias": bias - (weight / scale) @ center}
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Tensor:
        """Float64 (n,): positive where another class is likelier than the given one."""
        logits, label = self._logits(chunk)
        own = logits.gather(1, label.unsqueeze(1)).squeeze(1)
        others = logits.scatter(1, label.unsqueeze(1), -torch.inf)
        if others.shape[1] == 1:
            return torch.zeros_like(own)
        return others.amax(1) - own

    def explain(self, chunk: Chunk) -> list[str]:
        """What the probe believes."""
        logits, label = self._logits(chunk)
        belief = logits.softmax(1)
        best, winner = belief.max(1)
        own = belief.gather(1, label.unsqueeze(1)).squeeze(1)
        return [
            f"a classifier trained on trusted labels gives {self._classes[given]!r} {mine:.2%} and "
            f"{self._classes[other]!r} {top:.1%}"
            for given, mine, other, top in zip(
                label.tolist(), own.tolist(), winner.tolist(), best.tolist(), strict=True
            )
        ]

    def state(self) -> dict[str, Tensor]:
        """The probe."""
        if self._weight is None or self._bias is None:
            raise UsageError("self_confidence: fit it before scoring")
        return {"weight": self._weight, "bias": self._bias}

    def restore(self, state: dict[str, Tensor], reference: Split) -> Self:
        """Brings it back."""
        self._classes = reference.classes
        self._weight, self._bias = state["weight"], state["bias"]
        return self

    def _logits(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        if self._weight is None or self._bias is None:
            raise UsageError("self_confidence: fit it before scoring")
        if chunk.label is None:
            raise UsageError("self_confidence: the records have no labels")
        return chunk.embedding.double() @ self._weight.T + self._bias, chunk.label


def _probe(rows: Tensor, label: Tensor, classes: int, strength: float) -> tuple[Tensor, Tensor]:
    """Weights (C, d) and biases (C,) of a multinomial logistic regression.

    A class that the split lacks has a very low bias: the probe has never seen it.
    """
    from sklearn.linear_model import LogisticRegression

    seen = torch.unique(label)
    weight = torch.zeros(classes, rows.shape[1], dtype=torch.float64)
    bias = torch.full((classes,), -20.0, dtype=torch.float64)
    bias[seen] = 0
    if len(seen) < 2:
        return weight, bias
    x, y = rows.numpy(), label.numpy()
    fitted = LogisticRegression(C=strength, max_iter=200).fit(x, y)
    coefficients = torch.from_numpy(fitted.coef_).double()
    intercept = torch.from_numpy(fitted.intercept_).double()
    if len(seen) == 2:
        coefficients = torch.cat([-coefficients / 2, coefficients / 2])
        intercept = torch.cat([-intercept / 2, intercept / 2])
    weight[seen], bias[seen] = coefficients, intercept
    return weight, bias
