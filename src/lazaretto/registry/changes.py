"""What a version of a reference would change: past batches under it, and as they were judged."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.errors import DeletedPayloadError
from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.deletions import delivery_deleted
from lazaretto.ledger.events import BatchEmbedded, BatchScreened, BatchValidated
from lazaretto.received import find_batch, open_stored
from lazaretto.registry.references import load_stored
from lazaretto.screen import Companion, screen
from lazaretto.storage.sidecars import read_table
from lazaretto.values import PromotionChange, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.stored import StoredReference
    from lazaretto.screen import Screening
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
    after = _Judge(workspace, candidate, policy)
    in_use: _Judge | None = None
    changes = []
    for screened in _last_screenings(workspace, old.name, last):
        if screened.reference_digest == old.digest:
            before = _on_record(workspace, screened)
        else:
            in_use = in_use or _Judge(workspace, load_stored(workspace, old), policy)
            before = in_use.judged(screened)
        changes.append(change(screened.batch, before, after.judged(screened)))
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
    """The newest screenings against a reference name, one per batch, oldest first.

    Of batches whose records are there: retention may have deleted those of others.
    """
    found: dict[str, BatchScreened] = {}
    with workspace.catalog.read() as connection:
        for entry in entries(connection, kinds=[BatchScreened.kind], newest_first=True):
            event = entry.event
            if not isinstance(event, BatchScreened) or event.reference != name:
                continue
            if event.batch not in found and delivery_deleted(connection, event.batch) is None:
                found[event.batch] = event
            if len(found) == last:
                break
    return list(found.values())[::-1]


def _on_record(workspace: Workspace, screened: BatchScreened) -> Judged:
    scores = read_table(workspace.store, screened.scores, columns=["record_id", "held"])
    held = scores.filter(scores["held"])["record_id"]
    return Judged(screened.verdict, scores.num_rows, held)


@dataclass(slots=True)
class _Judge:
    """Judges past batches by one version and the policy of today.

    Attributes:
        workspace: catalog and store.
        reference: the version.
        policy: the policy.
        alone: the records of batches that were screened for others' sake, by batch.
    """

    workspace: Workspace
    reference: Reference
    policy: Policy
    alone: dict[str, pa.Table] = field(default_factory=dict)

    def judged(self, screened: BatchScreened) -> Judged:
        """A batch as this version judges it: a small one with the companions that it had."""
        members = [] if screened.pool is None else screened.pool.members
        companions = []
        for one in members:
            with suppress(DeletedPayloadError):
                companions.append(Companion(one.batch, self._records(one.batch)))
        screening = self._screen(screened.batch, companions)
        self.alone.setdefault(screened.batch, screening.records)
        return Judged.of(screening)

    def _records(self, batch: str) -> pa.Table:
        if batch not in self.alone:
            self.alone[batch] = self._screen(batch, ()).records
        return self.alone[batch]

    def _screen(self, batch: str, companions: Sequence[Companion]) -> Screening:
        """What the contract failed stays out, as it did."""
        with self.workspace.catalog.read() as connection:
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
        store, failing, vectors = self.workspace.store, set[str](), None
        if validated is not None and isinstance(validated.event, BatchValidated):
            failures = read_table(store, validated.event.failures, columns=["record_id"])
            failing = set(failures["record_id"].to_pylist())
        if self.policy.embed.encoder != "column":
            digest = self.reference.encoder.digest
            made = [event.vectors for event in embedded if event.encoder_digest == digest]
            # Without vectors of this encoder the batch is encoded anew, which only takes longer.
            vectors = read_table(store, made[0]) if made else None
        return screen(
            open_stored(self.workspace, received),
            self.reference,
            self.policy,
            exclude=failing,
            embeddings=vectors,
            companions=companions,
        )


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

    @classmethod
    def of(cls, screening: Screening) -> Judged:
        """What a comparison needs of a screening."""
        held = screening.records.filter(screening.records["held"])["record_id"]
        return cls(screening.verdict, screening.records.num_rows, held)


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
