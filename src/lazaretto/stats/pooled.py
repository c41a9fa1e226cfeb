"""Small batches judged together: a pool that is just large enough, and a longer look back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from lazaretto.stats.conformal import excess_of_small_p, levels
from lazaretto.stats.sizes import min_detectable, wanted_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.stats.conformal import Calibration

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

SMALL = 0.05
"""Record p-values up to it are counted first; then those up to the levels of `suspects`."""


@dataclass(frozen=True, slots=True)
class Part:
    """The scored records of one batch.

    Attributes:
        p_value: conformal, float64 (m,), no NaN.
        group: int64 (m,), group of calibration rows of each.
        held: bool (m,), what record-level screening holds of them.
    """

    p_value: Floats
    group: npt.NDArray[np.int64]
    held: Mask

    def __len__(self) -> int:
        return len(self.p_value)


def joined(parts: Sequence[Part]) -> Part:
    """The records of several batches."""
    return Part(
        np.concatenate([part.p_value for part in parts]),
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.held for part in parts]),
    )


def members_needed(
    own: Calibration,
    others: Sequence[Part],
    *,
    share: float,
    rate: float,
    alpha: float,
    rule: Literal["evidence", "rate"] = "evidence",
) -> int | None:
    """How many other batches a batch needs to be judged together with them, the nearest first.

    Only sizes and groups decide, never a p-value: so a clean pool's p-values are as they were, and
    `suspects` keeps its promises on it. For what it holds of one batch that is: conformal p-values
    of records that meet one calibration are positively dependent, and so are those of any pool of
    them (Bates et al., 2023, theorem 2). In a clean pool the chance that anything of the batch is
    held is at most ``rate + alpha``; whatever else the pool has, only records with ``p <= rate``
    are held, so on average at most that share of the clean ones.

    No more than needed: a source that delivers much that is clean beside its poison dilutes it only
    as far as it could in one delivery of that size.

    Args:
        own: what the batch's p-values were read from.
        others: batches that may join, the nearest first.
        share: poisoned share of the pool that must be detectable.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
        rule: of `suspects`.

    Returns:
        0 where the batch can be judged alone; None where all of them are too few.
    """
    for count in range(len(others) + 1):
        group = np.concatenate([own.group, *(part.group for part in others[:count])])
        known = replace(own, group=group)
        seen = min_detectable(known, rate=rate, alpha=alpha, rule=rule)
        if len(group) and seen <= wanted_records(share, len(group)):
            return count
    return None


@dataclass(frozen=True, slots=True)
class LongLook:
    """More small p-values in a stretch of batches than calibration explains.

    Attributes:
        p_value: over all stretches and levels that were tried (Bonferroni).
        level: what counted as small where that was rarest.
        count: records up to it.
        expected: their mean number in clean batches.
        records: of that stretch.
        batches: of that stretch.
    """

    p_value: float
    level: float
    count: int
    expected: float
    records: int
    batches: int


def long_look(
    parts: Sequence[Part], calibration: Calibration, *, first: int, rate: float
) -> LongLook:
    """Looks for too many small p-values over stretches of batches, from a pool to all of them.

    Who spreads poison so thin that no pool shows it delivers it for longer. Each stretch begins
    with the newest batch and has at least twice the records of the one before. In each, the records
    that are not held are counted up to `SMALL` and up to each level of `suspects`, and compared
    with what is exact over calibrations (`excess_of_small_p`). Records that are held do not count,
    so that a batch that was found out does not speak against those that follow.

    Args:
        parts: the batch, then the others, the nearest first; at least one record is not held.
        calibration: of the batch; its rows and delta count.
        first: how many of the parts the first stretch has, at least 1.
        rate: the stated false quarantine rate.
    """
    tried = sorted({SMALL, *levels(rate, calibration)}, reverse=True)
    looks = []
    for count in _stretches([len(part) for part in parts], first):
        left = joined(parts[:count])
        kept = ~left.held
        known = replace(calibration, group=left.group[kept])
        for level in tried:
            found = excess_of_small_p(left.p_value[kept], known, level=level)
            looks.append(
                LongLook(found.p_value, level, found.count, found.expected, int(kept.sum()), count)
            )
    rarest = min(looks, key=lambda look: look.p_value)
    return replace(rarest, p_value=min(1.0, len(looks) * rarest.p_value))


def _stretches(sizes: list[int], first: int) -> list[int]:
    """How many batches each stretch has: the first, at least twice the records, …, all."""
    found, total = [first], sum(sizes[:first])
    for count in range(first + 1, len(sizes) + 1):
        reached = sum(sizes[:count])
        if reached >= 2 * total:
            found.append(count)
            total = reached
    if found[-1] != len(sizes):
        found.append(len(sizes))
    return found
