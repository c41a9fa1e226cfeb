"""Slow to learn: is a row's label learned later than those of its class?

Toneva et al. (2019), "An empirical study of example forgetting during deep neural network
learning", and Pleiss et al. (2020), "Identifying mislabeled data using the area under the margin
ranking": wrong labels contradict their neighbours, so they are learned last. A backdoor's rows are
wrong labels until the trigger is learned, and a few rows need some epochs for that, even where the
model that is left at the end agrees with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData


LEAST = 2
"""Epochs that are read, at least. In the first one alone, chance decides which rows come late."""

EASE = 0.3
"""Added to the loss, which is compared with its class's median by ratio: in a class that is all
learned, a small loss is not far out because the others are smaller still. With `LEAST` chosen on
development networks (`benchmarks/dynamics.py`)."""


def slow_to_learn(layer: LayerData) -> Scores:
    """Scores every row by its mean loss until most rows are learned; positive.

    That is until the median loss is below log 2, where the model holds a given label more likely
    than not, and at least two epochs. Later a trigger may be learned, too, and its rows have small
    losses.

    Where most rows are learned within the first epoch, it judges nothing. What is late then is what
    is hard: on development networks of MNIST no poison was among it, neither by epochs nor by
    losses that were noted up to 16 times in an epoch, and it kept what other methods find from
    being held.

    Args:
        layer: of trajectories, see `lazaretto.sanitize.dynamics`. Nothing is fitted on any row.
    """
    middle = np.median(layer.train.rows[:, : layer.width // 2], axis=0)
    learned = np.flatnonzero(middle < np.log(np.log(2)))
    if len(learned) and learned[0] == 0:
        return Scores(*layer.empty_scores(), skipped="most rows are learned in the first epoch")
    until = max(LEAST, int(learned[0]) + 1) if len(learned) else layer.width // 2
    train = _mean_loss(layer.train.rows, until)
    trusted = None if layer.trusted is None else _mean_loss(layer.trusted.rows, until)
    return Scores(train, trusted, view="others")


def _mean_loss(rows: NDArray[np.floating], until: int) -> NDArray[np.float32]:
    losses = np.exp(rows[:, : min(until, rows.shape[1] // 2)], dtype=np.float64)
    return np.asarray(EASE + losses.mean(1), np.float32)
