"""Whom wrong predictions draw on more than right ones do, and how much right ones vary in that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
MOST_BESIDE = 20_000
"""Records of other labels that predictions are compared with."""
_LARGEST_GROUP = 0.25


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of right predictions of any class, treated as the wrong ones of one class are.

    Attributes:
        slope: by how much the standardised sum of a source rises, when the predictions are closer
            to its records of other labels by one.
        sources: (groups,) largest standardised sum of a source in each group, less what follows
            from that.
        batches: (groups,) the same of a batch within its source, just as it is.
        spreads: (groups,) the largest of those whatever its sign: how far batches differ.
    """

    slope: float
    sources: Floats
    batches: Floats
    spreads: Floats


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
        beside: by tested class, how much closer the wrong predictions are than right ones to each
            source's records of other labels, (sources,), standardised.
    """

    drive: Floats
    usual: Floats
    tested: dict[int, Groups]
    untested: list[int]
    beside: dict[int, Floats]

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
    them, with its nearest ones, is a group that is treated as the wrong predictions are. What is
    particular to a source shows in its records of other labels, too: what follows from that is
    taken off, as far as it does for the groups.

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
    seen: dict[int, list[_Seen]] = {int(size): [] for size in asked[tested]}
    random = np.random.default_rng(seed)
    some = np.sort(random.choice(n, min(n, MOST_BESIDE), replace=False))
    beside: dict[int, Floats] = {}
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
            by_source, by_batch = source_units(given, rows), batch_units(given, rows)
            others = some[given.labels[some] != label]
            away = _beside(given, inputs, others, right[known].mean(0))
            if label in tested:
                beside[label] = away(wrong[queries].mean(0)[None])[:, 0]
            for size, kept in seen.items():
                near = _near(right[known], size)
                excess = _shares(scores @ near) - ordinary[:, None]
                batches = by_batch.standardised(excess)
                kept.append(
                    _Seen(
                        by_source.standardised(excess),
                        away(near.T @ right[known]),
                        batches.max(0),
                        np.abs(batches).max(0),
                    )
                )
        if progress is not None:
            progress(label + 1, n_classes)
    groups = {size: _together(kept) for size, kept in seen.items()}
    return Contrast(
        drive,
        usual,
        {int(label): groups[int(asked[label])] for label in tested},
        sorted(set(np.flatnonzero(asked).tolist()) - set(tested.tolist())),
        beside,
    )


class _Seen(NamedTuple):
    """Groups of right predictions of one class: sums of sources, beside, and of batches."""

    sources: Floats
    beside: Floats
    batches: Floats
    spreads: Floats


def _together(kept: Sequence[_Seen]) -> Groups:
    """The groups of all classes, and what follows in them from what is particular to sources."""
    sources, beside, batches, spreads = (
        np.concatenate(part, axis=-1) for part in zip(*kept, strict=True)
    )
    slope = float((sources * beside).sum() / max(float((beside**2).sum()), 1e-12))
    return Groups(slope, (sources - slope * beside).max(0), batches, spreads)


def _beside(
    given: Checked, inputs: Floats, rows: Ints, usual: Floats
) -> Callable[[Floats], Floats]:
    """How much closer than the usual predictions others are to each source's records."""
    units = Units(given.sources[rows], len(given.source_names), given.labels[rows])
    return lambda means: units.standardised(inputs[rows] @ (means - usual).T)


def source_units(given: Checked, rows: Ints) -> Units:
    """Sources of records of one label, which change places."""
    return Units(given.sources[rows], len(given.source_names), np.zeros(len(rows), np.int64))


def batch_units(given: Checked, rows: Ints) -> Units:
    """Batches of records of one label, which change places within their source."""
    return Units(given.batches[rows], len(given.batch_names), given.sources[rows])


def _shares(scores: Floats) -> Floats:
    """Scores of one class's records as shares of all influence in it, for and against."""
    return np.asarray(scores / np.maximum(np.abs(scores).sum(0), 1e-300))


def _near(right: Floats, size: int) -> Floats:
    """Weights of the right predictions in the mean of each one's group, (n, groups)."""
    count = max(2, min(size, int(_LARGEST_GROUP * len(right))))
    squares = (right**2).sum(1)
    distances = squares[:, None] + squares - 2 * right @ right.T
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    member = np.zeros((len(right), len(right)))
    np.put_along_axis(member, nearest, 1 / count, axis=1)
    return member.T
