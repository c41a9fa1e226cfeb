"""What a new version of a reference would change: both versions judge the same past batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.values import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """One batch under the old and the new version.

    Attributes:
        batch: its name.
        rows: judged records.
        old: verdict of the old version.
        new: verdict of the new version.
        released: ids that only the old version holds.
        seized: ids that only the new version holds.
    """

    batch: str
    rows: int
    old: Verdict
    new: Verdict
    released: tuple[str, ...]
    seized: tuple[str, ...]

    @property
    def verdict_changed(self) -> bool:
        """Whether the batch's verdict differs."""
        return self.old is not self.new


def compare_references(
    old: Reference,
    new: Reference,
    batches: Mapping[str, Batch | pa.Table | str | Path],
    policy: Policy,
) -> list[Change]:
    """Screens past batches against two versions, for a person to see before promoting the new.

    Args:
        old: the version in use.
        new: the candidate.
        batches: by name, such as the last N batches of the dataset.
        policy: that both versions fit.

    Raises:
        ReferenceMismatchError: a version or a batch does not fit the policy.
    """
    from lazaretto.screen import screen

    changes = []
    for name, batch in batches.items():
        before, after = screen(batch, old, policy), screen(batch, new, policy)
        held_before = before.records.filter(before.records["held"])["record_id"]
        held_after = after.records.filter(after.records["held"])["record_id"]
        changes.append(
            Change(
                batch=name,
                rows=after.records.num_rows,
                old=before.verdict,
                new=after.verdict,
                released=_without(held_before, held_after),
                seized=_without(held_after, held_before),
            )
        )
    return changes


def _without(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[str, ...]:
    left = ids.filter(pc.invert(pc.is_in(ids, others.combine_chunks())))
    return tuple(left.to_pylist())
