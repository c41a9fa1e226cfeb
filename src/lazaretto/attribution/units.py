"""Sums over sources or batches, held against those of records dealt out anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_TOGETHER = 64
"""Shuffles whose sums are standardised at once."""


class Units:
    """Records in strata, and the unit of each: its source, or its batch.

    If no unit is to blame, records of one stratum could have come from any unit that is in it.

    Args:
        units: (n,) index of each record's unit.
        n_units: number of units.
        strata: (n,) stratum of each record.
    """

    def __init__(self, units: Ints, n_units: int, strata: Ints) -> None:
        self._order = np.argsort(strata, kind="stable")
        _, codes = np.unique(strata[self._order], return_inverse=True)
        self._strata, self._units, self.n_units = codes, units[self._order], n_units
        self._sizes = np.bincount(codes)
        cells, self._members = np.unique(codes * n_units + self._units, return_counts=True)
        self._cell_stratum, self._cell_unit = cells // n_units, cells % n_units

    def standardised(self, values: Floats) -> Floats:
        """Each unit's sum, less its mean under shuffling, over its deviation under shuffling.

        Args:
            values: (n, k), of the records in their own order.

        Returns:
            (units, k); zero where a unit's sum cannot change.
        """
        return self._standardised(values[self._order])

    def _standardised(self, values: Floats) -> Floats:
        sums, spread = self._moments(values)
        totals = np.stack([np.bincount(self._units, column, self.n_units) for column in values.T])
        return _ratio(totals.T - sums, spread)

    def _moments(self, values: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of each unit's sum when records change places within strata."""
        n = self._sizes[:, None].astype(np.float64)
        means = self._by_stratum(values) / n
        spare = self._by_stratum((values - means[self._strata]) ** 2) / np.maximum(n - 1, 1)
        members = self._members[:, None]
        here = self._cell_stratum
        sums = np.zeros((self.n_units, values.shape[1]))
        spread = np.zeros_like(sums)
        np.add.at(sums, self._cell_unit, members * means[here])
        np.add.at(spread, self._cell_unit, spare[here] * members * (n[here] - members) / n[here])
        return sums, spread

    def _by_stratum(self, values: Floats) -> Floats:
        starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        return np.asarray(np.add.reduceat(values, starts, axis=0))

    def p_values(
        self,
        values: Floats,
        shuffles: int,
        seed: int,
        statistics: Sequence[Statistic],
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Floats]:
        """Chance that anything stands out as much, when records change places within strata.

        The largest value of a statistic is compared, so that its p-values hold for all that it is
        of together (Westfall and Young, 1993, section 2.3).

        Args:
            values: (n, columns), of the records in their own order.
            shuffles: how often records are dealt out anew.
            seed: of the shuffling.
            statistics: what is compared.
            progress: called with shuffles done and shuffles in all.

        Returns:
            Of each statistic the p-values, (things,).
        """
        mine, random = values[self._order], np.random.default_rng(seed)
        sums, spread = self._moments(mine)
        own = self._standardised(mine)
        seen = [each.of(own[:, [each.column]])[:, 0] / each.noise for each in statistics]
        reached, done = [np.zeros(len(each), np.int64) for each in seen], 0
        while done < shuffles:
            now = min(_TOGETHER, shuffles - done)
            totals = np.stack([self._dealt(mine, random) for _ in range(now)], axis=1)
            dealt = _ratio(totals - sums[:, None], np.broadcast_to(spread[:, None], totals.shape))
            for place, each in enumerate(statistics):
                largest = each.of(dealt[:, :, each.column]).max(0)
                reached[place] += (largest >= seen[place][:, None] - 1e-9).sum(1)
            done += now
            if progress is not None:
                progress(done, shuffles)
        return [np.asarray((1 + count) / (1 + shuffles)) for count in reached]

    def _dealt(self, values: Floats, random: np.random.Generator) -> Floats:
        """Sums of the units after one shuffle within strata, (units, columns)."""
        units, start = self._units.copy(), 0
        for size in self._sizes.tolist():
            random.shuffle(units[start : start + size])
            start += size
        columns = [np.bincount(units, column, self.n_units) for column in values.T]
        return np.stack(columns, axis=1).astype(np.float64)


class Statistic(NamedTuple):
    """What `Units.p_values` compares.

    Attributes:
        of: makes it of the units' standardised sums of one column, (units, k): (things, k).
        column: which.
        noise: the seen one is divided by it, for each thing or for all: by how much it varies
            more than shuffling says.
    """

    of: Callable[[Floats], Floats]
    column: int = 0
    noise: Floats | float = 1.0


def _ratio(above: Floats, spread: Floats) -> Floats:
    # Rounding leaves a tiny spread where all values are the same: that is none.
    real = spread > 1e-12 * np.maximum(spread.max(0, initial=0.0), 1e-300)
    return np.where(real, above / np.sqrt(np.where(real, spread, 1.0)), 0.0)


def as_they_are(sums: Floats) -> Floats:
    """A `Statistic`: the sums themselves."""
    return sums


def spread_of(owners: Ints, n_owners: int, sums: Floats) -> Floats:
    """How far the units of each owner differ: the largest of their sums, whatever its sign.

    Args:
        owners: (units,) index of each unit's owner.
        n_owners: number of owners.
        sums: (units, k), standardised.
    """
    found = np.zeros((n_owners, sums.shape[1]))
    np.maximum.at(found, owners, np.abs(sums))
    return found
