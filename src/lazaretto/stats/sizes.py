"""Which sizes of batches a calibration can judge: where the poison that matters could be seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING, Literal

import numpy as np

from lazaretto.stats.conformal import Calibration, hochberg_rate, levels

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 1_000_000
"""Records up to which is looked for a size from which on every batch can be judged."""


@dataclass(frozen=True, slots=True)
class JudgeableSizes:
    """How many records a batch must have for the gate to judge it.

    Attributes:
        share: poisoned share that must be detectable (`screen.min_poison_share`).
        smallest: every batch of at least so many records can be judged; None: none that is large.
        tiny: so can every batch of at most so many records, in which the share is one record; 0:
            none. Between the two the gate abstains, apart from some sizes just below `smallest`.
    """

    share: float
    smallest: int | None
    tiny: int

    @property
    def words(self) -> str:
        """What can be judged, in words: ``batches from 41 records at 5 %``."""
        at = f"at {100 * self.share:.6g} %"
        few = f"of up to {self.tiny} {'record' if self.tiny == 1 else 'records'}"
        if self.smallest is None:
            return f"only batches {few} {at}" if self.tiny else f"no batch {at}"
        if self.smallest == 1:
            return f"batches of any size {at}"
        also = f", and those {few}" if self.tiny else ""
        return f"batches from {self.smallest} records {at}{also}"


def min_detectable(
    calibration: Calibration,
    *,
    rate: float,
    alpha: float,
    rule: Literal["evidence", "rate"] = "evidence",
) -> int:
    """The smallest number of most extreme records that `suspects` can hold in a batch.

    Fewer pass, whatever they look like. More than the batch has means: nothing can ever be held.
    With several groups it is that of the weakest.

    Args:
        calibration: of the batch.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
        rule: of `suspects`.
    """
    groups, records = np.unique(calibration.group).tolist(), len(calibration.group)
    return max(
        (
            detectable_in_group(calibration, group, records, rate=rate, alpha=alpha, rule=rule)
            for group in groups
        ),
        default=1,
    )


def detectable_in_group(
    calibration: Calibration,
    group: int,
    records: int,
    *,
    rate: float,
    alpha: float,
    rule: Literal["evidence", "rate"] = "evidence",
) -> int:
    """`min_detectable` where all of so many records are of one group; grows with their number."""
    smallest = calibration.smallest_p(group)
    if rule == "rate":
        return 1 if smallest <= rate else records + 1
    visible = max(1, ceil(round(records * smallest / hochberg_rate(rate, records), 9)))
    tried = levels(rate, calibration)
    for level in tried:
        null = calibration.count_null(group, records, level)
        if null is not None:
            visible = min(visible, null.rare(alpha / len(tried)))
    return visible


def wanted_records(share: float, records: int) -> int:
    """How many poisoned records a batch must let be seen: its share, at least one."""
    return max(1, ceil(round(share * records, 9)))


@lru_cache(maxsize=64)  # asked for every batch, and the same for all of a feed
def judgeable_sizes(
    rows: tuple[int, ...],
    *,
    share: float,
    rate: float,
    alpha: float,
    rule: Literal["evidence", "rate"] = "evidence",
    delta: float | None = None,
) -> JudgeableSizes:
    """The sizes of batches at which `min_detectable` is at most the wanted share of the batch.

    Where a batch has several groups, it is judged by its weakest; so these are the sizes that the
    group with the fewest calibration rows can judge.

    Args:
        rows: calibration rows of each group, as of `Calibration`.
        share: poisoned share that must be detectable, between 0 and 1.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
        rule: of `suspects`.
        delta: of hard calibration; None for marginal p-values.

    Example:
        >>> judgeable_sizes((1000,), share=0.05, rate=0.01, alpha=0.001).words
        'batches from 41 records at 5 %, and those of up to 10 records'
    """
    weakest = int(np.argmin(rows))
    calibration = Calibration(rows, np.zeros(0, dtype=np.int64), delta)

    def seen(records: int) -> bool:
        """Whether a batch of so many records shows the share."""
        found = detectable_in_group(
            calibration, weakest, records, rate=rate, alpha=alpha, rule=rule
        )
        return found <= wanted_records(share, records)

    def whole(wanted: int) -> bool:
        """Whether all batches that are to show so many records do: the largest of them does.

        What is detectable grows with the batch, and what is wanted is the same for all of them.
        """
        return seen(max(1, floor(round(wanted / share, 9))))

    largest = max(1, ceil(share * LARGEST))
    smallest = _first_of_the_rest(whole, largest)
    if smallest is not None:
        smallest = 1 if smallest == 1 else floor(round((smallest - 1) / share, 9)) + 1
    tiny = max(1, floor(round(1 / share, 9)))
    tiny = _last(seen, tiny) if smallest != 1 else tiny
    return JudgeableSizes(share, smallest, tiny)


def _first_of_the_rest(good: Callable[[int], bool], last: int) -> int | None:
    """The first number from which all up to `last` are good; None where the last is not.

    Good numbers come after bad ones, but near the border whole numbers make them change places:
    it is found by halving, and then looked for bad ones behind it.
    """
    if not good(last):
        return None
    low, high = 0, last  # low is bad, or before the first; high is good
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    bad = low
    for number in range(high, min(last, 2 * high + 10)):
        if not good(number):
            bad = number
    return bad + 1


def _last(good: Callable[[int], bool], last: int) -> int:
    """The last number up to `last` that is good, where good ones come before bad ones; else 0."""
    low, high = 0, last + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low
