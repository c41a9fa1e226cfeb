"""Votes of base models, and how many of them must be another's before the outcome changes.

All ties go to the class with the smaller number. A certificate of k means: whatever k base models
answer instead, the outcome stays. Where each record, or each source, trains one base model only,
k records or sources cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Certified:
    """The outcome of a vote on some rows.

    Attributes:
        prediction: int64 (n,), the class that won.
        radius: int64 (n,), how many records or sources may be poisoned without any other outcome.
        votes: int64 (n, classes), first votes.
    """

    prediction: NDArray[np.int64]
    radius: NDArray[np.int64]
    votes: NDArray[np.int64]

    def certified_accuracy(self, labels: ArrayLike, k: int) -> float:
        """Share of rows that are right, and stay right whatever k records or sources do.

        Args:
            labels: int (n,), the right classes.
            k: how many are poisoned; 0: plain accuracy.
        """
        right = self.prediction == np.asarray(labels)
        return float((right & (self.radius >= k)).mean())


def count_votes(answers: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Votes int64 (n, classes) of answers (models, n).

    Raises:
        UsageError: an answer is no class.

    Examples:
        >>> count_votes([[0, 1], [0, 0]], 2).tolist()
        [[2, 0], [1, 1]]
    """
    given = np.asarray(answers)
    if given.ndim != 2 or not len(given):
        raise UsageError(f"answers are (models, rows), not {given.shape}")
    if given.size and not (given.min() >= 0 and given.max() < classes):
        raise UsageError(f"answers are classes from 0 to {classes - 1}")
    votes: NDArray[np.int64] = (given[:, :, None] == np.arange(classes)).sum(0)
    return votes


def plurality(answers: ArrayLike, classes: int) -> Certified:
    """The class with most votes: deep partition aggregation (Levine and Feizi 2021, theorem 1).

    The certificate is exact: some change of ``radius + 1`` answers changes the outcome, where that
    many models are there.

    Args:
        answers: int (models, n), the class that each base model gives; a model without any record
            must give a class that does not depend on the data.
        classes: how many there are, at least 2.

    Raises:
        UsageError: an answer is no class.

    Examples:
        >>> done = plurality([[0], [0], [0], [0], [1]], 2)
        >>> done.prediction.tolist(), done.radius.tolist()
        ([0], [1])
    """
    votes = count_votes(answers, classes)
    won = votes.argmax(1)
    lead = _needed(votes, won)
    lead[np.arange(len(votes)), won] = np.iinfo(np.int64).max
    # Each changed answer takes a vote from the winner and gives it to the other: two steps.
    radius = (lead.min(1) + 1) // 2 - 1
    return Certified(won, radius, votes)


def finite_aggregation(answers: ArrayLike, classes: int, spread: ArrayLike) -> Certified:
    """The class with most votes, where models share parts (Wang, Levine, Feizi 2022, theorem 2).

    A poisoned part reaches every model that learned from it. The certificate adds up what the worst
    k parts could do; models that two of them share are counted twice, so it is sound and not always
    exact for k above 1.

    Args:
        answers: int (models, n).
        classes: how many there are, at least 2.
        spread: int (models, degree), the parts of each model, as `spread_parts` gives.

    Raises:
        UsageError: an answer is no class, or the shapes do not fit.

    Examples:
        >>> done = finite_aggregation([[0], [0], [0], [0], [1]], 2, [[0], [1], [2], [3], [4]])
        >>> done.prediction.tolist(), done.radius.tolist()
        ([0], [1])
    """
    given, parts = np.asarray(answers), np.asarray(spread)
    votes = count_votes(given, classes)
    if parts.ndim != 2 or len(parts) != len(given) or parts.min() < 0:
        raise UsageError(f"spread is (models, degree) for {len(given)} models, not {parts.shape}")
    won = votes.argmax(1)
    lead = _needed(votes, won)
    reached = np.zeros((int(parts.max()) + 1, len(given)), np.int64)
    for model, mine in enumerate(parts):
        reached[mine, model] = 1
    radius = np.full(len(won), len(reached), np.int64)
    for other in range(classes):
        # What a model's change brings the other class: two where it votes for the winner.
        brings = np.where(given == won, 2, np.where(given == other, 0, 1))
        worst = -np.sort(-(reached @ brings), axis=0)
        short = (worst.cumsum(0) < lead[:, other]).sum(0)
        rivals = won != other
        radius[rivals] = np.minimum(radius[rivals], short[rivals])
    return Certified(won, radius, votes)


def _needed(votes: NDArray[np.int64], won: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps (n, classes) that each class lacks to win over the winner: its lead, one more on ties.

    A step is a vote less for the winner, or one more for the other.
    """
    classes = votes.shape[1]
    lead = votes[np.arange(len(votes)), won][:, None] - votes
    wins_ties = np.arange(classes)[None, :] < won[:, None]
    return np.where(wins_ties, lead, lead + 1)
