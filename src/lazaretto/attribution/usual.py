"""What is usual: how far groups of right predictions draw on records, sources and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.units import Units

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.attribution.inputs import Checked

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

LEFT_OUT = 50
"""Groups that are held against the reach of the others."""
_LARGEST_GROUP = 0.25
_MOST_SHARED = 0.25
_FEWEST_OTHERS = 10


@dataclass(frozen=True, slots=True)
class Usual:
    """What groups of right predictions of one class do to the records with that label.

    Attributes:
        share: (records,) share of each record in right predictions of the class.
        reach: (records,) its largest share in any group.
        left_out: (groups,) largest sum of a source over what a group takes beyond the reach of
            the groups that hardly share a prediction with it.
        source_noise: (sources,) root mean square of a source's standardised sum over the groups.
            It is about one where records change places freely.
        batch_noise: (batches,) the same of batches within their source.
    """

    share: Floats
    reach: Floats
    left_out: Floats
    source_noise: Floats
    batch_noise: Floats

    def beyond(self, shares: Floats) -> Floats:
        """(records,) what predictions take of each record beyond its reach."""
        return np.maximum(0.0, shares - self.reach)


def usual(given: Checked, rows: Ints, scores: Floats, right: Floats, size: int) -> Usual:
    """Treats each right prediction and its nearest ones as the wrong predictions are treated.

    Args:
        given: the checked input.
        rows: (records,) of one label.
        scores: (records, r) of these records and right predictions of that class.
        right: (r, d) inputs of these predictions.
        size: number of wrong predictions of the class: that of a group, too.
    """
    near = _near(right, size)
    share, groups = shares_of(scores.mean(1)), shares_of(scores @ near)
    excess = groups - share[:, None]
    return Usual(
        share,
        groups.max(1),
        _left_out(given, rows, groups, near),
        _noise(source_units(given, rows), excess),
        _noise(batch_units(given, rows), excess),
    )


def source_units(given: Checked, rows: Ints) -> Units:
    """Sources of records of one label, which change places."""
    return Units(given.sources[rows], len(given.source_names), np.zeros(len(rows), np.int64))


def batch_units(given: Checked, rows: Ints) -> Units:
    """Batches of records of one label, which change places within their source."""
    return Units(given.batches[rows], len(given.batch_names), given.sources[rows])


def shares_of(scores: Floats) -> Floats:
    """Scores of one class's records as shares of all influence in it, for and against."""
    return np.asarray(scores / np.maximum(np.abs(scores).sum(0), 1e-300))


def noise_of_others(noise: Floats, owners: Ints, n_owners: int) -> Floats:
    """By how much sums vary more than chance explains, told by the units of all other owners.

    A guilty source's records are drawn on by right predictions, too, so its own units say nothing
    about what is usual. Never below one. Where there is no other owner, its own units must do.

    Args:
        noise: (units,) root mean squares.
        owners: (units,) index of each unit's owner.
        n_owners: number of owners.
    """
    squares, count = np.bincount(owners, noise**2, n_owners), np.bincount(owners, None, n_owners)
    others = len(owners) - count
    mean = np.where(
        others > 0,
        (squares.sum() - squares) / np.maximum(others, 1),
        squares / np.maximum(count, 1),
    )
    return np.asarray(np.sqrt(np.maximum(1.0, mean)))


def _noise(units: Units, excess: Floats) -> Floats:
    return np.asarray(np.sqrt((units.standardised(excess) ** 2).mean(1)))


def _left_out(given: Checked, rows: Ints, groups: Floats, near: Floats) -> Floats:
    """Of some groups, evenly chosen: largest sum of a source beyond the reach of far groups."""
    member = near > 0
    shared = member.T.astype(np.float64) @ member / member.sum(0)
    found = []
    for one in np.unique(np.linspace(0, near.shape[1] - 1, LEFT_OUT).astype(int)):
        far = shared[one] < _MOST_SHARED
        if far.sum() >= _FEWEST_OTHERS:
            beyond = np.maximum(0.0, groups[:, one] - groups[:, far].max(1))
            found.append(np.bincount(given.sources[rows], beyond).max())
    return np.array(found, np.float64)


def _near(right: Floats, size: int) -> Floats:
    """Weights of the right predictions in the mean of each one's group, (n, groups)."""
    count = max(2, min(size, int(_LARGEST_GROUP * len(right))))
    squares = (right**2).sum(1)
    distances = squares[:, None] + squares - 2 * right @ right.T
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    member = np.zeros((len(right), len(right)))
    np.put_along_axis(member, nearest, 1 / count, axis=1)
    return member.T
