"""What payload the store holds, and what still needs it. Long: it is one fold of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.admission import CLEARED
from lazaretto.dataset.compare import compare_table
from lazaretto.health.every_entry import every_entry
from lazaretto.ledger.chain import head
from lazaretto.ledger.deletions import DELIVERED, HELD
from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchEmbedded,
    BatchJudged,
    BatchReceived,
    BatchScreened,
    BatchValidated,
    CaseClosed,
    JudgementSetAside,
    PayloadDeleted,
    RecordsDecided,
    RowsLost,
    SnapshotTaken,
    TrainingSanitized,
)
from lazaretto.quarantine.opening import held_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from lazaretto.ledger.chain import Entry
    from lazaretto.policy.model import Retention
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef, StoredFile


@dataclass(frozen=True, slots=True)
class Kept:
    """Payload that is old enough to be deleted, and is still needed.

    Attributes:
        batch: its batch.
        what: ``delivered`` or ``held``.
        case: the case of held rows; None for what was delivered.
        why: what needs it, in words.
    """

    batch: str
    what: str
    case: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Due:
    """Payload that nothing needs and no policy keeps any longer.

    Attributes:
        batch: its batch.
        what: ``delivered`` or ``held``.
        case: the case of held rows; None for what was delivered.
        cases: every case of the batch.
        policies: in force for the datasets that it was judged for.
        days: the longest that they keep it.
        since: from when on that counts.
        files: what is deleted.
    """

    batch: str
    what: str
    case: str | None
    cases: tuple[str, ...]
    policies: tuple[PolicyRef, ...]
    days: int
    since: datetime
    files: tuple[StoredFile, ...]

    def kept(self, why: str) -> Kept:
        """The same, kept for a reason."""
        return Kept(self.batch, self.what, self.case, why)


@dataclass(slots=True)
class _Case:
    """A case: where its rows are, and when it ended."""

    id: str
    dataset: str
    file: StoredFile
    ended: datetime | None = None


@dataclass(slots=True)
class _Batch:
    """What the ledger says of a batch."""

    received: BatchReceived
    made: list[StoredFile] = field(default_factory=list)
    judged: dict[str, BatchJudged] = field(default_factory=dict)
    cases: dict[str, _Case] = field(default_factory=dict)
    admitted: dict[tuple[str, str], int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def files(self) -> list[StoredFile]:
        """What was delivered, in each form in which it is kept."""
        return [self.received.delivered, self.received.stored, *self.made]


@dataclass(slots=True)
class Holdings:
    """Batches, their cases and their files, folded from the whole ledger.

    Attributes:
        batches: by id.
        rules: by dataset, the policy in force and what it says of retention.
        snapshots: by dataset, the newest version of which a snapshot was taken.
        unsettled: datasets whose table is not what the ledger says.
        deleted: paths that retention deleted.
        until: last ledger entry that was read.
    """

    batches: dict[str, _Batch] = field(default_factory=dict)
    rules: dict[str, tuple[PolicyRef, Retention]] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    until: int = 0

    def add(self, entry: Entry) -> None:
        """Takes the next entry."""
        match entry.event:
            case BatchReceived() as event:
                self.batches.setdefault(event.batch, _Batch(event))
            case BatchEmbedded() | BatchScreened() | BatchValidated() as event:
                self.batches[event.batch].made += _made(event)
            case BatchJudged() as event:
                batch = self.batches[event.batch]
                self._end(batch, batch.judged.get(event.policy.dataset), entry)
                batch.judged[event.policy.dataset] = event
                self._open(entry)
            case JudgementSetAside() as event:
                batch = self.batches[event.batch]
                self._end(batch, batch.judged.pop(event.dataset, None), entry)
            case TrainingSanitized():
                self._open(entry)
            case RecordsDecided() as event:
                self.batches[event.batch].cases[event.case].ended = None
            case CaseClosed() as event:
                self.batches[event.batch].cases[event.case].ended = entry.at
            case BatchAdmitted() as event:
                batch = self.batches[event.batch]
                batch.admitted[event.dataset, event.part] = event.version
                batch.lost.discard(event.dataset)
            case RowsLost() as event:
                for part in event.parts:
                    self.batches[part.batch].lost.add(event.dataset)
            case SnapshotTaken() as event:
                newest = max(event.version, self.snapshots.get(event.dataset, 0))
                self.snapshots[event.dataset] = newest
            case PayloadDeleted() as event:
                self.deleted |= set(event.files)
        self.until = entry.seq

    def due(self, now: datetime) -> tuple[list[Due], list[Kept]]:
        """What is to be deleted, and what is old enough and needed.

        Args:
            now: from when the days count back.
        """
        due: list[Due] = []
        kept: list[Kept] = []
        for name, batch in self.batches.items():
            for one in self._old(name, batch, now):
                why = self._needs(batch, one)
                if why is None:
                    due.append(one)
                else:
                    kept.append(one.kept(why))
        # A file is deleted once, and not while anything else keeps it.
        still = {file.path for one in kept for file in self._files(one)}
        still |= {file.path for _, case in self._live(now) for file in (case.file,)}
        clear = [one for one in due if not {file.path for file in one.files} & still]
        shared = [one for one in due if one not in clear]
        kept += [one.kept("another case has the same rows, and is kept") for one in shared]
        return clear, kept

    def _old(self, name: str, batch: _Batch, now: datetime) -> Iterator[Due]:
        """What no policy keeps any longer, needed or not."""
        cases = tuple(batch.cases)
        datasets = sorted({*batch.judged, *(case.dataset for case in batch.cases.values())})
        found = self._rules(datasets)
        days = [rule.delivered_days for _, rule in found]
        left = tuple(file for file in batch.files() if file.path not in self.deleted)
        if batch.judged and left and days and len(days) == len(datasets) and None not in days:
            longest = max(day for day in days if day is not None)
            since = batch.received.received_at
            if since + timedelta(days=longest) <= now:
                refs = tuple(ref for ref, _ in found)
                yield Due(name, DELIVERED, None, cases, refs, longest, since, left)
        for case in batch.cases.values():
            for ref, rule in self._rules([case.dataset]):
                if rule.held_days is None or case.file.path in self.deleted:
                    continue
                since = case.ended or batch.received.received_at
                if since + timedelta(days=rule.held_days) <= now:
                    files = (case.file,)
                    yield Due(name, HELD, case.id, cases, (ref,), rule.held_days, since, files)

    def _needs(self, batch: _Batch, due: Due) -> str | None:
        """What still needs payload, in words; None: nothing does."""
        open_cases = [case.id for case in batch.cases.values() if case.ended is None]
        if due.what == HELD:
            open_cases = [case for case in open_cases if case == due.case]
        if open_cases:
            return f"case {open_cases[0]} is open: decide on its records and publish it"
        for ref in due.policies:
            dataset = ref.dataset
            if dataset in self.unsettled:
                return f"the table of {dataset!r} is not what the ledger says: `catalog reconcile`"
            if dataset in batch.lost:
                return f"rows of it were lost from {dataset!r}, and may be admitted again"
            judged = batch.judged.get(dataset)
            comes = judged is not None and judged.cleared and not judged.verdict.holds_batch
            if due.what == DELIVERED and comes and (dataset, CLEARED) not in batch.admitted:
                return f"its cleared records are not admitted to {dataset!r} yet"
            versions = [v for (name, _), v in batch.admitted.items() if name == dataset]
            if versions and max(versions) > self.snapshots.get(dataset, -1):
                return f"no snapshot of {dataset!r} was taken since its records were admitted"
        return None

    def _rules(self, datasets: Iterable[str]) -> list[tuple[PolicyRef, Retention]]:
        return [self.rules[name] for name in datasets if name in self.rules]

    def _files(self, kept: Kept) -> list[StoredFile]:
        batch = self.batches[kept.batch]
        return batch.files() if kept.case is None else [batch.cases[kept.case].file]

    def _live(self, now: datetime) -> Iterator[tuple[str, _Case]]:
        """Cases whose rows are not due yet."""
        for name, batch in self.batches.items():
            due = {one.case for one in self._old(name, batch, now) if one.what == HELD}
            yield from ((name, case) for case in batch.cases.values() if case.id not in due)

    def _open(self, entry: Entry) -> None:
        event = entry.event
        for name, file in held_files(event):
            match event:
                case BatchJudged():
                    batch, dataset = event.batch, event.policy.dataset
                case TrainingSanitized():
                    batch = next(one.batch for one in event.cases if one.case == name)
                    dataset = event.dataset
                case _:
                    continue
            self.batches[batch].cases[name] = _Case(name, dataset, file)

    def _end(self, batch: _Batch, before: BatchJudged | None, entry: Entry) -> None:
        """The case of a judgement that was replaced or taken back ends."""
        if before is not None and before.case is not None:
            case = batch.cases[before.case]
            case.ended = case.ended or entry.at


def _made(event: BatchEmbedded | BatchScreened | BatchValidated) -> list[StoredFile]:
    """What a stage made of a batch's payload that goes with it."""
    match event:
        case BatchEmbedded():
            return [event.vectors]
        case BatchScreened():
            prints = None if event.prints is None else event.prints.file
            return [made for made in (event.suspects, prints) if made is not None]
        case BatchValidated():
            fixes = None if event.cleaned is None else event.cleaned.fixes
            return [] if fixes is None else [fixes]


def read_holdings(workspace: Workspace, sizes: dict[str, int]) -> Holdings:
    """Reads the whole ledger in one view.

    Args:
        workspace: catalog and store.
        sizes: of every file of the store, by path.

    Raises:
        LedgerError: the ledger does not hold.
        PolicyError: a policy in force cannot be read by this version.
        ChangedStateError: the catalog's row of a policy does not say what the ledger says.
    """
    found = Holdings()
    with workspace.catalog.read() as connection:
        for entry in every_entry(connection):
            found.add(entry)
        found.until = head(connection)
        datasets = {name for batch in found.batches.values() for name in batch.judged}
        datasets |= {c.dataset for batch in found.batches.values() for c in batch.cases.values()}
        for name in sorted(datasets):
            known = policy_in_force(connection, name)
            if known is not None:
                found.rules[name] = known.event.policy, known.rules.retention
    for name in found.rules:
        plan = compare_table(workspace, name, sizes)
        if plan is not None:
            found.unsettled.add(name)
    return found
