"""What a new version of a reference would change: both versions judge the same past batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import pyarrow as pa

    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.values import Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """How one version judged one batch.

    Attributes:
        verdict: of the batch.
        rows: judged records.
        held: ids of those that it holds, string.
    """

    verdict: Verdict
    rows: int
    held: pa.ChunkedArray


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
    return [
        change(name, judge_again(batch, old, policy), judge_again(batch, new, policy))
        for name, batch in batches.items()
    ]


def judge_again(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    *,
    exclude: Collection[str] = (),
    embeddings: pa.Table | None = None,
) -> Judged:
    """Screens a batch, as `lazaretto.screen.screen` does, and keeps what a comparison needs."""
    from lazaretto.screen import screen

    found = screen(batch, reference, policy, exclude=exclude, embeddings=embeddings)
    held = found.records.filter(found.records["held"])["record_id"]
    return Judged(found.verdict, found.records.num_rows, held)


def change(name: str, before: Judged, after: Judged) -> Change:
    """The difference between two judgements of one batch."""
    return Change(
        batch=name,
        rows=after.rows,
        old=before.verdict,
        new=after.verdict,
        released=_without(before.held, after.held),
        seized=_without(after.held, before.held),
    )


def _without(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[str, ...]:
    left = ids.filter(pc.invert(pc.is_in(ids, others.combine_chunks())))
    return tuple(left.to_pylist())
