"""What a version of a reference would change: past batches under it, and as they were judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.events import BatchEmbedded, BatchScreened, BatchValidated
from lazaretto.received import find_batch, open_stored
from lazaretto.registry.references import load_stored
from lazaretto.storage.sidecars import read_table
from lazaretto.values import PromotionChange, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pyarrow as pa

    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.stored import StoredReference
    from lazaretto.storage.workspace import Workspace

LAST = 10


def compare_versions(
    workspace: Workspace,
    old: StoredReference,
    new: StoredReference,
    policy: Policy,
    *,
    last: int = LAST,
) -> list[Change]:
    """Screens the last batches against a new version, beside how the old one judged them.

    Where a batch was screened against the old version, that judgement counts as it is on record;
    otherwise the old version judges it now.

    Args:
        workspace: catalog and store; nothing is written.
        old: the version in use.
        new: the candidate.
        policy: that the candidate is to be used with.
        last: the batches that were screened last against any version of this name, so many.

    Returns:
        One change per batch, oldest first.

    Raises:
        NotFoundError: a side-car or a reference is gone.
        ReferenceMismatchError: a version or a batch does not fit the policy.

    Examples:
        >>> from lazaretto.registry.fit_version import fit_version
        >>> from lazaretto.registry.references import list_references
        >>> old = list_references(workspace, "reviews")[0]
        >>> new, _ = fit_version(workspace, "trusted.parquet", policy, version="2", seed=1)
        >>> len(compare_versions(workspace, old, new, policy))  # of the last batches
        2
    """
    candidate = load_stored(workspace, new)
    in_use: Reference | None = None
    changes = []
    for screened in _last_screenings(workspace, old.name, last):
        batch = screened.batch
        if screened.reference_digest == old.digest:
            before = _on_record(workspace, screened)
        else:
            in_use = in_use or load_stored(workspace, old)
            before = _judged_now(workspace, batch, in_use, policy)
        changes.append(change(batch, before, _judged_now(workspace, batch, candidate, policy)))
    return changes


def summed(changes: list[Change]) -> PromotionChange:
    """The changes in four numbers, for the ledger."""
    return PromotionChange(
        batches=len(changes),
        verdicts=sum(one.verdict_changed for one in changes),
        no_longer_held=sum(len(one.no_longer_held) for one in changes),
        newly_held=sum(len(one.newly_held) for one in changes),
    )


def _last_screenings(workspace: Workspace, name: str, last: int) -> list[BatchScreened]:
    """The newest screenings against a reference name, one per batch, oldest first."""
    found: dict[str, BatchScreened] = {}
    with workspace.catalog.read() as connection:
        for entry in entries(connection, kinds=[BatchScreened.kind], newest_first=True):
            if isinstance(entry.event, BatchScreened) and entry.event.reference == name:
                found.setdefault(entry.event.batch, entry.event)
            if len(found) == last:
                break
    return list(found.values())[::-1]


def _on_record(workspace: Workspace, screened: BatchScreened) -> Judged:
    scores = read_table(workspace.store, screened.scores, columns=["record_id", "held"])
    held = scores.filter(scores["held"])["record_id"]
    return Judged(screened.verdict, scores.num_rows, held)


def _judged_now(workspace: Workspace, batch: str, reference: Reference, policy: Policy) -> Judged:
    """By the policy of today: what the contract failed stays out, as it did."""
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        validated = newest(connection, f"batch:{batch}", [BatchValidated.kind])
        kinds = [BatchEmbedded.kind]
        embedded = [
            entry.event
            for entry in entries(
                connection, subject=f"batch:{batch}", kinds=kinds, newest_first=True
            )
            if isinstance(entry.event, BatchEmbedded)
        ]
    failing: set[str] = set()
    if validated is not None and isinstance(validated.event, BatchValidated):
        failures = read_table(workspace.store, validated.event.failures, columns=["record_id"])
        failing = set(failures["record_id"].to_pylist())
    vectors = None
    if policy.embed.encoder != "column":
        digest = reference.encoder.digest
        made = [event.vectors for event in embedded if event.encoder_digest == digest]
        # Without vectors of this encoder the batch is encoded anew, which only takes longer.
        vectors = read_table(workspace.store, made[0]) if made else None
    data = open_stored(workspace, received)
    return judge_again(data, reference, policy, exclude=failing, embeddings=vectors)


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
        no_longer_held: ids that only the old version holds.
        newly_held: ids that only the new version holds.
    """

    batch: str
    rows: int
    old: Verdict
    new: Verdict
    no_longer_held: tuple[str, ...]
    newly_held: tuple[str, ...]

    @property
    def verdict_changed(self) -> bool:
        """Whether the batch's verdict differs."""
        return self.old is not self.new


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

    screening = screen(batch, reference, policy, exclude=exclude, embeddings=embeddings)
    held = screening.records.filter(screening.records["held"])["record_id"]
    return Judged(screening.verdict, screening.records.num_rows, held)


def change(name: str, before: Judged, after: Judged) -> Change:
    """The difference between two judgements of one batch."""
    return Change(
        batch=name,
        rows=after.rows,
        old=before.verdict,
        new=after.verdict,
        no_longer_held=_without(before.held, after.held),
        newly_held=_without(after.held, before.held),
    )


def _without(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> tuple[str, ...]:
    left = ids.filter(pc.invert(pc.is_in(ids, others.combine_chunks())))
    return tuple(left.to_pylist())
