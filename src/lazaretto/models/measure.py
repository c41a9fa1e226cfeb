"""Figures of a model's answers: accuracy by class and slice, and calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.models.answers import Answers

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

BINS = 15
SMALLEST_GROUP = 10
"""Rows below which a class or slice says nothing: it is shown, and is never the worst."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one class or slice.

    Attributes:
        name: of the class, or ``column=value``.
        rows: how many.
        right: how many of them were answered right.
    """

    name: str
    rows: int
    right: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence; see `Calibration`.

    Attributes:
        confidence: their mean confidence.
        accuracy: share of them that is right.
        rows: how many.
    """

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence is from being right (Guo et al. 2017, section 2).

    Attributes:
        error: expected calibration error, over 15 bins of equal width.
        curve: the reliability curve: bins with answers, by confidence.
        temperature: by which the logits would have to be divided, fitted on every second row
            (section 4.2); None: there are too few rows.
        error_with_temperature: error on the other rows when that is done.
    """

    error: float
    curve: list[Bin] = field(default_factory=list)
    temperature: float | None = None
    error_with_temperature: float | None = None


def groups(answers: Answers, truth: Sequence[str], names: Sequence[str]) -> list[Group]:
    """Right answers by group, in the order of the names.

    Args:
        answers: of the model.
        truth: (rows,) labels that must come.
        names: (rows,) group of each row.

    Examples:
        >>> from lazaretto.models.answers import Answers
        >>> found = groups(Answers(["a", "b"]), ["a", "a"], ["x", "x"])
        >>> found[0].accuracy
        0.5
    """
    rows: dict[str, int] = {}
    right: dict[str, int] = {}
    for said, must, name in zip(answers.labels, truth, names, strict=True):
        rows[name] = rows.get(name, 0) + 1
        right[name] = right.get(name, 0) + (said == must)
    return [Group(name, rows[name], right[name]) for name in sorted(rows)]


def worst(found: Sequence[Group]) -> Group | None:
    """The group with the smallest share of right answers among those with enough rows."""
    enough = [one for one in found if one.rows >= SMALLEST_GROUP]
    return min(enough, key=lambda one: (one.accuracy, one.name), default=None)


def accuracy(answers: Answers, truth: Sequence[str]) -> float:
    """Share of right answers.

    Examples:
        >>> from lazaretto.models.answers import Answers
        >>> accuracy(Answers(["a", "b", None]), ["a", "b", "c"])
        0.6666666666666666
    """
    return float(np.mean([a == b for a, b in zip(answers.labels, truth, strict=True)]))


def agreement(answers: Answers, before: Mapping[int, str | None]) -> float:
    """Share of rows to which another model gave the same answer.

    Args:
        answers: of this model.
        before: of the other, by the number of the row.
    """
    same = [answers.labels[row] == said for row, said in before.items()]
    return float(np.mean(same)) if same else 0.0


def calibration(answers: Answers, truth: Sequence[str]) -> Calibration | None:
    """Confidence held against what is right; None where the model gives no probabilities."""
    if answers.probabilities is None or answers.classes is None or not len(truth):
        return None
    place = {name: number for number, name in enumerate(answers.classes)}
    probable = answers.probabilities
    right = np.array([a == b for a, b in zip(answers.labels, truth, strict=True)], bool)
    error, curve = _error(probable.max(axis=1), right)
    target = np.array([place.get(label, -1) for label in truth], np.int64)
    fitted = np.arange(len(truth)) % 2 == 0
    usable = fitted & (target >= 0)
    if usable.sum() < SMALLEST_GROUP or (~fitted).sum() < SMALLEST_GROUP:
        return Calibration(error, curve)
    logits = np.log(np.clip(probable, 1e-12, 1))
    temperature = _temperature(logits[usable], target[usable])
    scaled = _scaled(logits[~fitted], temperature)
    after, _ = _error(scaled.max(axis=1), right[~fitted])
    return Calibration(error, curve, temperature, after)


def _error(confidence: Floats, right: npt.NDArray[np.bool_]) -> tuple[float, list[Bin]]:
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    curve = [
        Bin(float(confidence[bins == b].mean()), float(right[bins == b].mean()), int(n))
        for b in range(BINS)
        if (n := (bins == b).sum())
    ]
    total = sum(one.rows for one in curve)
    error = sum(abs(one.confidence - one.accuracy) * one.rows for one in curve) / max(total, 1)
    return float(error), curve


def _temperature(logits: Floats, target: Ints) -> float:
    """By golden-section search over its logarithm: the loss has one minimum in it."""
    low, high, ratio = -3.0, 3.0, (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits, target, left) < _loss(logits, target, right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def _loss(logits: Floats, target: Ints, log_temperature: float) -> float:
    probable = _scaled(logits, float(np.exp(log_temperature)))
    return float(-np.log(np.clip(probable[np.arange(len(target)), target], 1e-12, 1)).mean())


def _scaled(logits: Floats, temperature: float) -> Floats:
    scaled = logits / temperature
    shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found
