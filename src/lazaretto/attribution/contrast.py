"""Whom wrong predictions draw on more than right ones do, and how much right ones vary in that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.gradients import traced
from lazaretto.attribution.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lazaretto.attribution.inputs import Checked

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

MOST_RIGHT = 200
"""Right predictions that are compared, per class."""
FEWEST_RIGHT = 4
"""Right predictions of a class below which nothing is compared."""
FEWEST_WRONG = 5
"""Wrong predictions of a class below which it is not tested."""
_LARGEST_GROUP = 0.25


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of right predictions of any class, treated as the wrong ones of one class are.

    Attributes:
        sources: (groups,) largest standardised sum of a source in each group.
        batches: (groups,) the same of a batch within its source.
    """

    sources: Floats
    batches: Floats


@dataclass(frozen=True, slots=True)
class Contrast:
    """What `contrast` found.

    Attributes:
        drive: (n,) share of each record in the influence on the wrong predictions; only records
            whose label is the predicted class have one. Negative: it spoke against the prediction.
        usual: (n,) the same of right predictions of these classes.
        tested: predicted classes that can be tested, with as many groups as there could be of
            their number of wrong predictions.
        untested: predicted classes that have too few records or predictions for that.
    """

    drive: Floats
    usual: Floats
    tested: dict[int, Groups]
    untested: list[int]

    @property
    def excess(self) -> Floats:
        """(n,) what each record has of the wrong predictions beyond its usual share."""
        return self.drive - self.usual


def contrast(
    given: Checked,
    checkpoints: Sequence[Floats],
    inputs: Floats,
    wrong: Floats,
    right: Floats,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Contrast:
    """Compares wrong predictions with right ones of the same class.

    Sources differ in what they deliver, so that some records are closer to a prediction than
    others without any being at fault. Right predictions show how much of that is usual: each of
    them, with its nearest ones, is a group that is treated as the wrong predictions are.

    Args:
        given: the checked input.
        checkpoints: weights of the probe.
        inputs: (n, d) of the training records.
        wrong: (m, d) of the wrong predictions.
        right: (r, d) of the right ones.
        seed: of the choice among more than `MOST_RIGHT` right predictions of a class.
        progress: called with classes done and classes in all.
    """
    n, n_classes = len(inputs), len(given.classes)
    drive, usual = np.zeros(n), np.zeros(n)
    asked = np.bincount(given.wrong_class, minlength=n_classes)
    enough = np.bincount(given.labels, minlength=n_classes) > 1
    enough &= np.bincount(given.right_class, minlength=n_classes) >= FEWEST_RIGHT
    tested = np.flatnonzero(enough & (asked >= FEWEST_WRONG))
    seen: dict[int, list[tuple[Floats, Floats]]] = {int(size): [] for size in asked[tested]}
    random = np.random.default_rng(seed)
    for label in range(n_classes):
        rows = np.flatnonzero(given.labels == label)
        queries = np.flatnonzero(given.wrong_class == label)
        mine = (checkpoints, inputs[rows], given.labels[rows])
        weigh, part = given.weights[rows][:, None], asked[label] / len(wrong)
        if len(queries) and len(rows):
            found = weigh * traced(*mine, wrong[queries], given.wrong_class[queries])
            drive[rows] = part * _shares(found.sum(1))
        if enough[label]:
            known = np.flatnonzero(given.right_class == label)
            if len(known) > MOST_RIGHT:
                known = np.sort(random.choice(known, MOST_RIGHT, replace=False))
            scores = weigh * traced(*mine, right[known], given.right_class[known])
            ordinary = _shares(scores.mean(1))
            usual[rows] = part * ordinary
            units = source_units(given, rows), batch_units(given, rows)
            for size, kept in seen.items():
                excess = _shares(_groups(scores, right[known], size)) - ordinary[:, None]
                by_source, by_batch = (unit.standardised(excess).max(0) for unit in units)
                kept.append((by_source, by_batch))
        if progress is not None:
            progress(label + 1, n_classes)
    groups = {
        size: Groups(*(np.concatenate(part) for part in zip(*kept, strict=True)))
        for size, kept in seen.items()
    }
    return Contrast(
        drive,
        usual,
        {int(label): groups[int(asked[label])] for label in tested},
        sorted(set(np.flatnonzero(asked).tolist()) - set(tested.tolist())),
    )


def source_units(given: Checked, rows: Ints) -> Units:
    """Sources of records of one label, which change places."""
    return Units(given.sources[rows], len(given.source_names), np.zeros(len(rows), np.int64))


def batch_units(given: Checked, rows: Ints) -> Units:
    """Batches of records of one label, which change places within their source."""
    return Units(given.batches[rows], len(given.batch_names), given.sources[rows])


def _shares(scores: Floats) -> Floats:
    """Scores of one class's records as shares of all influence in it, for and against."""
    return np.asarray(scores / np.maximum(np.abs(scores).sum(0), 1e-300))


def _groups(scores: Floats, right: Floats, size: int) -> Floats:
    """Mean scores over each right prediction and those nearest to it, (n, groups)."""
    count = max(2, min(size, int(_LARGEST_GROUP * len(right))))
    squares = (right**2).sum(1)
    distances = squares[:, None] + squares - 2 * right @ right.T
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    member = np.zeros((len(right), len(right)))
    np.put_along_axis(member, nearest, 1 / count, axis=1)
    return np.asarray(scores @ member.T)
