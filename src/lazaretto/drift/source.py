"""Evidence that a source's batches drift together. Long: the fold and what it may rest on.

Each screening leaves on record what its batch and those before it tell together. The next one goes
on from there, and reads what was screened since. Nothing but the ledger is asked what a screening
found; the catalog only says which batches are a source's, and in which order they came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from itertools import islice
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.stats.looks import Looks
from lazaretto.stats.martingale import BatchFacts, EProcess, Past
from lazaretto.stats.slow import Slow
from lazaretto.storage import tables
from lazaretto.values import SlowEvidence, SourceEvidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

WAYS = 2
"""Ways in which a source can raise the alarm; each has an equal share of the chance."""
_LARGEST = 1e300
_PREVIOUS = 20
"""Batches of which it is kept how many columns had moved."""
_PAGE = 50


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a source's batches tell together.

    Attributes:
        process: the evidence against the source.
        past: what its batches contributed to it.
        moved: share of columns that had moved, of the last batches where that was measured.
        slow: what the odd records of its batches tell, class by class.
        looks: what neighbourhoods over several of its batches tell.
    """

    process: EProcess = field(default_factory=EProcess)
    past: Past = field(default_factory=Past)
    moved: tuple[float, ...] = ()
    slow: Slow = field(default_factory=Slow)
    looks: Looks = field(default_factory=Looks)

    @property
    def added_up(self) -> float:
        """P-value of what is added up over batches: odd records, and neighbourhoods."""
        return min(1.0, 2 * min(self.slow.p_value, self.looks.p_value))

    def after(
        self, p_value: float | None, facts: BatchFacts | None, moved: float | None
    ) -> Evidence:
        """With one more batch; None for what its screening did not find out."""
        return Evidence(
            self.process if p_value is None else self.process.update(p_value),
            self.past if facts is None else self.past.after(facts),
            self.moved if moved is None else (*self.moved, moved)[-_PREVIOUS:],
            self.slow if facts is None else self.slow.after(facts.odd, facts.known),
            self.looks if facts is None else self.looks.after(facts.together),
        )

    def raises(self, alpha: float) -> bool:
        """Whether the source raises the alarm: each of the two ways has half of the chance."""
        return self.process.raises(alpha / WAYS) or self.added_up <= alpha / WAYS

    def to_record(self, counted: str, seen: int) -> SourceEvidence:
        """As it goes on the ledger; see `SourceEvidence`."""
        process = self.process
        return SourceEvidence(
            counted=counted,
            seen=seen,
            batches=process.batches,
            logs=list(process.logs) if process.batches else [],
            small=self.past.small,
            scored=self.past.scored,
            tests=list(self.past.tests),
            moved=list(self.moved),
            slow=_slow_record(self.slow),
            local=list(self.past.local),
            looks=self.looks.count,
            looks_p=self.looks.p_value,
        )

    @classmethod
    def of_record(cls, said: SourceEvidence) -> Evidence:
        """As the ledger has it."""
        process = EProcess(said.batches, tuple(said.logs)) if said.batches else EProcess()
        past = Past(said.small, said.scored, _counts(said.tests), _counts(said.local))
        looks = Looks(said.looks, said.looks_p)
        return cls(process, past, tuple(said.moved), _slow_of(said.slow), looks)


def _counts(said: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((into, count) for into, count in said)


@dataclass(frozen=True, slots=True)
class Step:
    """The evidence after one batch.

    Attributes:
        batch: its id.
        arrived: when it was received.
        seq: ledger entry of the screening that counts.
        reference: ``name/version`` that it was screened against.
        p_value: of the batch, given those before; None when its screening gave none.
        evidence: value of the e-process: 1 at the start, at most 1 on average for a clean source.
        held: records that screening held.
        rows: records that were screened.
        moved: share of its columns that had moved from the reference; None when not measured.
        batches: how many p-values are in the evidence.
    """

    batch: str
    arrived: datetime
    seq: int
    reference: str
    p_value: float | None
    evidence: float
    held: int
    rows: int
    moved: float | None
    batches: int


@dataclass(frozen=True, slots=True)
class Question:
    """Whose screenings are folded.

    Attributes:
        source: name of the source.
        reference: digest of the reference that its batches were screened against. Another version
            is another fold.
        policies: meanings of the policies whose screenings count; None: of any. What somebody
            else's policy found is no evidence.
    """

    source: str
    reference: str
    policies: frozenset[str] | None = None

    @property
    def counted(self) -> str:
        """sha256 (hex) of the meanings, in order."""
        text = "any" if self.policies is None else "\n".join(sorted(self.policies))
        return hashlib.sha256(text.encode()).hexdigest()

    def counts(self, event: object) -> bool:
        """Whether a screening counts."""
        return (
            isinstance(event, BatchScreened)
            and event.reference_digest == self.reference
            and (self.policies is None or event.policy.meaning in self.policies)
        )


def evidence_before(connection: Connection, question: Question, until: int | None) -> Evidence:
    """What a source's batches before one tell together, in order of arrival.

    Of a batch that was screened again the last screening counts, so that a retry is no second bet.
    The newest record is taken from which nothing has changed: no batch that came before its own has
    been screened since it was made. What came after is added to it. So one entry is read where
    batches are screened one after the other, and more only where an earlier one is screened again.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        question: which screenings.
        until: only batches received before this ledger entry; None: all.
    """
    found, later = Evidence(), list[BatchScreened]()
    changed: _Screened | None = None
    for one in _newest_first(connection, question, until):
        said = one.event.source_evidence
        if said is not None and said.counted == question.counted:
            if not _is_stale(one, said, changed):
                found_since = _changed_since(connection, question, one.arrival, said.seen)
                changed = found_since or changed
            if not _is_stale(one, said, changed):
                found = Evidence.of_record(said)
                break
        later.append(one.event)
    for event in reversed(later):
        found = _after(found, event)
    return found


def source_steps(
    connection: Connection, question: Question, *, limit: int | None = None
) -> list[Step]:
    """The evidence after each of a source's batches, in order of arrival.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        question: which screenings.
        limit: only the newest so many batches; None: all, each folded anew from the first on,
            whatever is on record of the evidence.

    Examples:
        >>> from lazaretto.registry.references import list_references
        >>> [reference] = list_references(workspace, "reviews")
        >>> with workspace.catalog.read() as connection:
        ...     steps = source_steps(connection, Question("vendor", reference.digest))
        >>> len(steps)  # one for each batch that was screened
        2
    """
    newest = list[_Screened]()
    for one in _newest_first(connection, question, None):
        if len(newest) == limit:
            break
        newest.append(one)
    found = Evidence()
    if limit is not None and newest:
        found = evidence_before(connection, question, newest[-1].arrival)
    steps = []
    for one in reversed(newest):
        event = one.event
        found = _after(found, event)
        steps.append(
            Step(
                batch=event.batch,
                arrived=one.arrived,
                seq=one.seq,
                reference=f"{event.reference}/{event.reference_version}",
                p_value=event.batch_p_value,
                evidence=shown_evidence(found.process),
                held=event.held,
                rows=event.rows,
                moved=_moved(event),
                batches=found.process.batches,
            )
        )
    return steps


def screened_before(
    connection: Connection, question: Question, until: int, limit: int
) -> list[tuple[int, BatchScreened]]:
    """The screenings of a source's last batches, each with its ledger entry, the newest first.

    Args:
        connection: of `Catalog.read`.
        question: which screenings.
        until: only batches received before this ledger entry.
        limit: so many batches.
    """
    found = islice(_newest_first(connection, question, until), limit)
    return [(one.seq, one.event) for one in found]


def last_screening(connection: Connection, source: str) -> BatchScreened | None:
    """What the screening of a source's newest screened batch found; None where there is none."""
    for batch in _arrivals(connection, source, None):
        for seq in batch.screenings:
            event = entry(connection, seq).event
            if isinstance(event, BatchScreened):
                return event
    return None


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A batch, the ledger entry of its receipt, and those of its screenings, the newest first."""

    arrival: int
    arrived: datetime
    screenings: list[int]


@dataclass(frozen=True, slots=True)
class _Screened:
    """A screening that counts: when its batch came, its entry, and what it says."""

    arrival: int
    arrived: datetime
    seq: int
    event: BatchScreened


def _newest_first(
    connection: Connection, question: Question, until: int | None
) -> Iterator[_Screened]:
    """The screening that counts of each batch, from the last batch that came to the first."""
    for batch in _arrivals(connection, question.source, until):
        for seq in batch.screenings:
            event = entry(connection, seq).event
            if isinstance(event, BatchScreened) and question.counts(event):
                yield _Screened(batch.arrival, batch.arrived, seq, event)
                break


def _arrivals(connection: Connection, source: str, until: int | None) -> Iterator[_Arrival]:
    """A source's batches that were screened, from the last that came to the first."""
    batch, ledger = tables.batch, tables.ledger
    query = sa.select(batch.c.id, batch.c.seq, batch.c.received_at).where(batch.c.source == source)
    query = query.order_by(batch.c.seq.desc())
    size = 2  # mostly, one is enough
    while True:
        page = query if until is None else query.where(batch.c.seq < until)
        rows = connection.execute(page.limit(size)).all()
        about = [f"batch:{row.id}" for row in rows]
        screened = (
            sa.select(ledger.c.subject, ledger.c.seq)
            .where(ledger.c.subject.in_(about), ledger.c.kind == BatchScreened.kind)
            .order_by(ledger.c.seq.desc())
        )
        found: dict[str, list[int]] = {}
        for subject, seq in connection.execute(screened):
            found.setdefault(subject, []).append(seq)
        for row, subject in zip(rows, about, strict=True):
            if subject in found:
                yield _Arrival(row.seq, row.received_at, found[subject])
        if len(rows) < size:
            return
        until, size = rows[-1].seq, _PAGE


def _changed_since(
    connection: Connection, question: Question, before: int, seen: int
) -> _Screened | None:
    """A screening, made after an entry, of a batch that came before another; None: there is none.

    Args:
        connection: of the catalog.
        question: which screenings count.
        before: entry of the receipt of the other batch.
        seen: the entry.
    """
    batch, ledger = tables.batch, tables.ledger
    query = (
        sa.select(batch.c.seq.label("arrival"), batch.c.received_at, ledger.c.seq)
        .join(batch, batch.c.id == sa.func.substr(ledger.c.subject, len("batch:") + 1))
        .where(ledger.c.kind == BatchScreened.kind, ledger.c.seq > seen)
        .where(batch.c.source == question.source, batch.c.seq < before)
        .order_by(ledger.c.seq.desc())
    )
    for row in connection.execute(query):
        event = entry(connection, row.seq).event
        if isinstance(event, BatchScreened) and question.counts(event):
            return _Screened(row.arrival, row.received_at, row.seq, event)
    return None


def _is_stale(one: _Screened, said: SourceEvidence, changed: _Screened | None) -> bool:
    """Whether a batch that came before was screened after the record had been made."""
    return changed is not None and changed.arrival < one.arrival and changed.seq > said.seen


def _after(before: Evidence, event: BatchScreened) -> Evidence:
    facts = event.evidence
    own = None
    if facts is not None:
        own = BatchFacts(
            facts.tests,
            facts.small,
            facts.scored,
            tuple(facts.odd),
            tuple(facts.known),
            facts.local,
            facts.together,
        )
    return before.after(event.batch_p_value, own, _moved(event))


def _moved(event: BatchScreened) -> float | None:
    return None if event.drift is None else event.drift.share


def shown_evidence(process: EProcess) -> float:
    """The value of an e-process, finite and short."""
    return float(f"{min(process.value, _LARGEST):.6g}")


def _slow_record(slow: Slow) -> SlowEvidence | None:
    if not slow.batches:
        return None
    said = {name: getattr(slow, name) for name in Slow.__slots__}
    return SlowEvidence(**said | {"totals": list(slow.totals)})


def _slow_of(said: SlowEvidence | None) -> Slow:
    if said is None:
        return Slow()
    known = {name: getattr(said, name) for name in Slow.__slots__}
    return Slow(**known | {"totals": tuple(said.totals)})


SOURCE_DRIFT = "source_drift"
