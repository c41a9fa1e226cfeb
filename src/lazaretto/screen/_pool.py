"""A small batch and its source's other small batches, judged together where each is too small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.screen._sizes import sizes_of
from lazaretto.stats.conformal import suspects
from lazaretto.stats.pooled import Part, joined, long_look, members_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.policy import Policy
    from lazaretto.screen._measured import Measured
    from lazaretto.stats.conformal import Calibration
    from lazaretto.stats.pooled import LongLook
    from lazaretto.stats.sizes import JudgeableSizes

TOLD = 5
"""Ids of suspected records of other batches that a note names, at most."""


@dataclass(frozen=True, slots=True)
class Companion:
    """Another small batch of the same source, as it was screened against the same reference.

    Attributes:
        batch: its id.
        records: its screened records: ``record_id``, ``label``, ``p_value`` and ``held``, as of
            `Screening.records`.
    """

    batch: str
    records: pa.Table


@dataclass(frozen=True, slots=True)
class Pool:
    """What a small batch may be judged with.

    Attributes:
        sizes: which batches can be judged alone; this one is smaller than the smallest of those.
        batches: ids of the other batches, the nearest first.
        others: their scored records.
        ids: ids of those records.
        together: with how many of them the batch is judged; 0: alone; None: all are too few.
    """

    sizes: JudgeableSizes
    batches: tuple[str, ...]
    others: tuple[Part, ...]
    ids: tuple[pa.ChunkedArray, ...]
    together: int | None

    @property
    def records(self) -> int:
        """Scored records of those that it is judged with; of all of them where they are too few."""
        return sum(map(len, self.others[: self.together]))

    @property
    def is_joint(self) -> bool:
        """Whether the batch is judged together with others."""
        return bool(self.together)


def pooled_below(measured: Measured, policy: Policy) -> JudgeableSizes | None:
    """Which batches can be judged alone; None where small ones are not pooled."""
    screen, known = policy.screen, measured.calibration
    if screen.small_batches.mode == "alone" or not screen.decides:
        return None
    return sizes_of(known.rows, policy, known.delta)


def pool_for(
    measured: Measured,
    sizes: JudgeableSizes,
    policy: Policy,
    companions: Sequence[Companion],
) -> Pool:
    """The pool of a small batch.

    Args:
        measured: the batch.
        sizes: which batches can be judged alone.
        policy: under which it was screened, as the others.
        companions: the others, screened against the same reference, the nearest first.
    """
    screen = policy.screen
    own = measured.calibration.keep(measured.usable)
    read = [_part(one.records, measured) for one in companions]
    parts = tuple(part for part, _ in read)
    together = members_needed(
        own,
        parts,
        share=screen.min_poison_share,
        rate=screen.false_quarantine_rate,
        alpha=screen.batch.alpha,
        rule=screen.hold,
    )
    batches = tuple(one.batch for one in companions)
    return Pool(sizes, batches, parts, tuple(ids for _, ids in read), together)


def _part(records: pa.Table, measured: Measured) -> tuple[Part, pa.ChunkedArray]:
    """The records of another batch that have a p-value, and their ids."""
    left = records.filter(pa.compute.is_valid(records["p_value"]))
    part = Part(
        left["p_value"].to_numpy().astype(np.float64),
        measured.group_of(left["label"].combine_chunks()),
        left["held"].to_numpy().astype(bool),
    )
    return part, left["record_id"]


def joint_suspects(
    p_value: npt.NDArray[np.float64], own: Calibration, pool: Pool, policy: Policy
) -> tuple[npt.NDArray[np.bool_], Calibration, str]:
    """Which records of a batch to hold, by the pool; what that was read from; and a note.

    Args:
        p_value: of the batch, float64 (m,).
        own: its calibration.
        pool: that it is judged with.
        policy: the policy.
    """
    screen = policy.screen
    others = joined(pool.others[: pool.together])
    known = replace(own, group=np.concatenate([own.group, others.group]))
    flagged = suspects(
        np.concatenate([p_value, others.p_value]),
        known,
        rate=screen.false_quarantine_rate,
        alpha=screen.batch.alpha,
        rule=screen.hold,
    )
    mine, theirs = flagged[: len(p_value)], flagged[len(p_value) :] & ~others.held
    deliveries = "delivery" if pool.together == 1 else "deliveries"
    note = (
        f"Judged together with {len(others)} records of {pool.together} other small {deliveries} "
        f"of its source: alone, this reference can judge {pool.sizes.words}."
    )
    if theirs.any():
        note += f" Together they make records suspect that were not held: {_named(pool, theirs)}."
    return mine, known, note


def _named(pool: Pool, flagged: npt.NDArray[np.bool_]) -> str:
    """Records of other batches, by their ids."""
    named, start = [], 0
    for batch, part, ids in zip(pool.batches, pool.others, pool.ids, strict=True):
        if start >= len(flagged):
            break
        rows = np.flatnonzero(flagged[start : start + len(part)]).tolist()
        named += [f"{batch}#{ids[row].as_py()}" for row in rows]
        start += len(part)
    more = f" and {len(named) - TOLD} more" if len(named) > TOLD else ""
    return ", ".join(named[:TOLD]) + more


def small_p_values(
    own: Part, calibration: Calibration, pool: Pool, policy: Policy
) -> tuple[float, str]:
    """The batch test of that name, over the batch and the other small batches of its source.

    Args:
        own: the batch's scored records.
        calibration: of them.
        pool: the other batches.
        policy: the policy.
    """
    look: LongLook = long_look(
        [own, *pool.others],
        calibration,
        first=1 + (pool.together or 0),
        rate=policy.screen.false_quarantine_rate,
    )
    batches = "batch" if look.batches == 1 else f"{look.batches} small batches of its source"
    return look.p_value, (
        f"{look.count} of {look.records} records of the {batches} that are not held have "
        f"p <= {look.level:.3g}; {look.expected:.1f} are expected"
    )
