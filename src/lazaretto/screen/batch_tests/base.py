"""What a batch-level test gets and gives: samples of batch and reference in, one p-value out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints

ENOUGH = 25
FINER = 5
"""A p-value near the level is drawn so many times as finely as the level needs: else whether a test
fires would hang on one or two permutations, and so on the seed."""
FIRST_BLOCK, LARGEST_BLOCK = 50, 250


@dataclass(frozen=True, slots=True)
class Pair:
    """Uniform samples of a batch's records and of the reference's rows, neither held nor unusable.

    Both are in random order.

    Attributes:
        batch: float32 (m, d).
        reference: float32 (n, d).
        batch_label: int64 (m,); None without labels, as the next.
        reference_label: int64 (n,).
        classes: class names.
        resolution: smallest p-value that permutation tests must be able to give.
        seed: of permutations.
    """

    batch: Floats
    reference: Floats
    batch_label: Ints | None
    reference_label: Ints | None
    classes: tuple[str, ...]
    resolution: float
    seed: int

    def first(self, rows: int) -> Pair:
        """At most so many rows of either side; their order is random, so they are a sample."""
        label, known = self.batch_label, self.reference_label
        return replace(
            self,
            batch=self.batch[:rows],
            reference=self.reference[:rows],
            batch_label=None if label is None else label[:rows],
            reference_label=None if known is None else known[:rows],
        )

    @property
    def permutations(self) -> int:
        """Permutations that give the resolution with some to spare."""
        return min(20_000, int(np.ceil(2 / self.resolution)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test found.

    Attributes:
        p_value: valid when batch and reference are exchangeable.
        detail: the evidence in words.
        members: rows of the sample that carry the evidence, bool (m,); None where it is everywhere.
        radius: rows of the batch this close to a member carry it too (for batches larger than the
            sample).
    """

    p_value: float
    detail: str
    members: npt.NDArray[np.bool_] | None = None
    radius: float = 0.0


def permutation_p(
    observed: float,
    draw: Callable[[int], npt.NDArray[Any]],
    *,
    permutations: int,
    slack: float,
    finer: int = 1,
) -> float:
    """Permutation p-value, stopped early where more permutations would be no news.

    ``(1 + b) / (1 + B)``: never zero, valid at any B (Phipson and Smyth, 2010). It stops at
    `ENOUGH` permutations at least as extreme and then answers ``ENOUGH / drawn`` (valid: Besag and
    Clifford, 1991), so that a clean batch costs a few dozen permutations.

    With `finer` it also stops, with ``1 / (1 + B)``, where none of the first B is as extreme, and
    else goes on to ``finer * B``. An outcome's p-value is then its chance and that of all rarer
    ones under exchangeability: of none among the first B, and of ``1 … b`` among all that are not
    all behind the first B. (It leaves out the outcomes of none among the first B and `ENOUGH`
    later: less than a thousandth of any p-value.)

    Args:
        observed: the statistic of what was observed; large is extreme.
        draw: gives the statistics of so many permutations, float (B,).
        permutations: at most, or B.
        slack: how much lower than the observed statistic counts as the same, for rounding.
        finer: how many times B are drawn for a p-value that is not the smallest.
    """
    most = finer * permutations
    drawn = extreme = 0
    while drawn < most:
        end = permutations if drawn < permutations else most
        rows = min(LARGEST_BLOCK if drawn else FIRST_BLOCK, end - drawn)
        above = (draw(rows) >= observed - slack).cumsum()
        if extreme + above[-1] >= ENOUGH:
            return float(ENOUGH / (drawn + 1 + int(np.searchsorted(above, ENOUGH - extreme))))
        drawn, extreme = drawn + rows, extreme + int(above[-1])
        if drawn == permutations and not extreme:
            break
    p_value, all_behind = 1 / (1 + permutations), 1.0
    for number in range(extreme):
        all_behind *= (most - permutations - number) / (most - number)
        p_value += (1 - all_behind) / (1 + most)
    return p_value


def relabeled_p(
    observed: float,
    statistic: Callable[[Floats], Floats],
    *,
    first: int,
    second: int,
    permutations: int,
    seed: int,
) -> float:
    """Permutation p-value of a statistic of group membership.

    Args:
        observed: the statistic of the real membership.
        statistic: of memberships (B, first + second), weights ``1 / first`` for rows called first
            and ``-1 / second`` for the others, so that a product with features is a difference of
            means.
        first: rows of the batch.
        second: rows of the reference.
        permutations: that can reach the level; see `permutation_p`.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)

    def draw(rows: int) -> Floats:
        return statistic(drawn_membership(rng, rows, first, second))

    slack = 1e-6 * max(1e-12, abs(observed))
    return permutation_p(observed, draw, permutations=permutations, slack=slack, finer=FINER)


def drawn_membership(rng: np.random.Generator, rows: int, first: int, second: int) -> Floats:
    """So many memberships at random, float32 (rows, first + second), as `relabeled_p` weighs."""
    keys = rng.random((rows, first + second), dtype=np.float32)
    chosen = np.argpartition(keys, first - 1, axis=1)[:, :first]
    weights = np.full(keys.shape, -1 / second, dtype=np.float32)
    np.put_along_axis(weights, chosen, np.float32(1 / first), axis=1)
    return weights


def membership(first: int, second: int) -> Floats:
    """The real membership, float32 (1, first + second), as `relabeled_p` weighs it."""
    each = np.array([1 / first, -1 / second], dtype=np.float32)
    return np.repeat(each, [first, second])[None]
