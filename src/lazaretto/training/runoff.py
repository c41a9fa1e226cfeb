"""Run-off election: of the two classes with most votes, the one that more models prefer.

Rezaei, Banihashem, Chegini, Feizi (2023), "Run-off election: improved provable defense against data
poisoning attacks". Here the certificate asks for both rounds at once, for whole numbers of models,
where the paper takes the larger of two bounds.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import UsageError
from lazaretto.training.votes import Certified, count_votes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.int64]


def run_off(scores: ArrayLike) -> Certified:
    """The winner of a run-off, and how many base models must change before another class wins.

    First each model votes for its highest class. Among the two classes with most votes, each model
    then votes for the one that it scores higher. All ties go to the class with the smaller number.

    Args:
        scores: floats (models, n, classes), such as logits; at least 2 classes. NaN is refused.

    Raises:
        UsageError: the shape is another, or a score is not a number.

    Examples:
        >>> import numpy as np
        >>> done = run_off(np.eye(3)[[0, 0, 0, 1, 2]][:, None, :])
        >>> done.prediction.tolist(), done.radius.tolist()
        ([0], [1])
    """
    given = np.asarray(scores, np.float64)
    if given.ndim != 3 or given.shape[2] < 2 or not len(given) or np.isnan(given).any():
        raise UsageError("scores are numbers (models, rows, classes) of at least two classes")
    models, rows, classes = given.shape
    first = given.argmax(2)
    votes = count_votes(first, classes)
    rows_at = np.arange(rows)
    a = votes.argmax(1)
    without = votes.copy()
    without[rows_at, a] = -1
    b = without.argmax(1)
    low, high = np.minimum(a, b), np.maximum(a, b)
    prefer_high = (_of(given, high) > _of(given, low)).sum(0)
    won = np.where(2 * prefer_high > models, high, low)
    fewest = np.full(rows, models, np.int64)
    for other in range(classes):
        fewest = np.minimum(fewest, _overtaken(given, first, votes, won, other))
    for pair in combinations(range(classes), 2):
        fewest = np.minimum(fewest, _pushed_out(votes, won, pair, models))
    return Certified(won, fewest - 1, votes)


def _of(scores: NDArray[np.float64], classes: Numbers) -> NDArray[np.float64]:
    """Scores (models, n) of one class for each row."""
    return np.take_along_axis(scores, classes[None, :, None], axis=2)[:, :, 0]


def _overtaken(
    scores: NDArray[np.float64], first: Numbers, votes: Numbers, won: Numbers, other: int
) -> Numbers:
    """Fewest models (n,) that bring a class among the first two and let it win the second round.

    All of them vote for it then. It needs more first votes than every class but the winner: where
    it lacks many over a class, votes must be taken from that class. And it needs preferences of
    models that preferred the winner, so these are changed first.
    """
    models, rows, classes = scores.shape
    theirs = scores[:, :, other]
    mine = _of(scores, won)
    prefers_won = (mine > theirs) | ((mine == theirs) & (won[None, :] < other))
    # Votes of each class by models that would still have to be won over.
    useful = np.stack([((first == c) & prefers_won).sum(0) for c in range(classes)], 1)
    lacks = votes - votes[:, [other]] + (np.arange(classes) < other)
    lacks[:, other] = 0
    lacks[np.arange(rows), won] = 0
    # How many of those who prefer the winner are too many: the smaller class wins a draw.
    to_take = prefers_won.sum(0) - (models - (other > won)) // 2
    fewest = np.full(rows, models, np.int64)
    for t in range(models, -1, -1):
        forced = np.maximum(0, lacks - t)
        fits = (forced.sum(1) <= t) & (forced <= votes).all(1)
        taken = np.minimum(forced, useful).sum(1)
        left = useful.sum(1) - taken
        won_over = taken + np.minimum(t - forced.sum(1), left)
        fits &= won_over >= to_take
        fewest = np.where(fits, t, fewest)
    return np.where(won == other, models, fewest)


def _pushed_out(votes: Numbers, won: Numbers, pair: tuple[int, int], models: int) -> Numbers:
    """Fewest models (n,) that leave the winner behind both classes of a pair."""
    at = votes[np.arange(len(votes)), won]
    lacks = [np.maximum(0, at - votes[:, c] + (won < c)) for c in pair]
    # A vote that one of the pair gets from the winner is two steps for it and one for the other.
    together = (lacks[0] + lacks[1] + 2) // 3
    fewest = np.maximum((np.maximum(lacks[0], lacks[1]) + 1) // 2, together)
    return np.where((won == pair[0]) | (won == pair[1]), models, fewest)
