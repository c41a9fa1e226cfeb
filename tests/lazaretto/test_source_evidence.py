"""The evidence that a screening leaves is what all screenings before it say, in whatever order."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.drift.source import (
    Evidence,
    Question,
    evidence_before,
    shown_evidence,
    source_steps,
)
from lazaretto.health.fold import changes
from lazaretto.ledger.chain import head
from lazaretto.ledger.events import BatchReceived, BatchScreened, SourceRegistered
from lazaretto.ledger.state import record
from lazaretto.stats.martingale import BatchFacts, Past, batch_p_value
from lazaretto.stats.martingale import rank as rank_of
from lazaretto.values import (
    BatchEvidence,
    DriftSummary,
    PolicyRef,
    Signature,
    SignatureStatus,
    StoredFile,
    TrustTier,
    Verdict,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import Event
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

START = datetime(2026, 5, 1, tzinfo=UTC)
FILE = StoredFile("batches/x/file.parquet", 9, "cd" * 32)
OWN = PolicyRef("digits", "ab" * 32, "ac" * 32, "policy.yaml")
EDITED = PolicyRef("digits", "ad" * 32, "ae" * 32, "policy.yaml")
FOREIGN = PolicyRef("digits", "bb" * 32, "bc" * 32, "mine.yaml")
CALIBRATION = 400
_examples = itertools.count()


@dataclass
class Feed:
    """One source of which entries are written as the stages write them."""

    workspace: Workspace
    source: str
    arrivals: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, workspace: Workspace) -> Feed:
        feed = cls(workspace, f"feed-{next(_examples)}")
        feed.write(SourceRegistered(feed.source, TrustTier.REVIEWED))
        return feed

    def write(self, event: Event) -> int:
        with self.workspace.catalog.transaction() as connection:
            return record(connection, event, changes, actor=self.workspace.actor).seq

    def receive(self) -> str:
        number = len(self.arrivals)
        batch = f"{self.source}/{number:032x}"
        digest = f"{self.source}{number}".encode().hex().ljust(64, "0")[:64]
        event = BatchReceived(
            batch=batch,
            source=self.source,
            trust_tier=TrustTier.REVIEWED,
            uri="/drop/a.parquet",
            format="parquet",
            digest=digest,
            delivered=FILE,
            stored=FILE,
            rows=100,
            columns=[],
            received_at=START + timedelta(hours=number),
            collected_from=None,
            collected_to=None,
            signature=Signature(SignatureStatus.UNSIGNED),
        )
        self.arrivals[batch] = self.write(event)
        return batch

    def question(self, reference: str = "r1", policies: frozenset[str] | None = None) -> Question:
        counted = frozenset({OWN.meaning, EDITED.meaning}) if policies is None else policies
        return Question(self.source, reference, counted)

    def screening(
        self, batch: str, test: float, policy: PolicyRef = OWN, reference: str = "r1"
    ) -> BatchScreened:
        """What a screening that begins now would put on record."""
        question = self.question(reference)
        with self.workspace.catalog.read() as connection:
            before = evidence_before(connection, question, self.arrivals[batch])
            seen = head(connection)
        facts = BatchFacts(test, 3, 100)
        p_value = batch_p_value(facts, before.past, CALIBRATION)
        drift = DriftSummary(100, 4, int(4 * test), 0, 0.01, [], None, FILE)
        after = before.after(p_value, facts, drift.share)
        return BatchScreened(
            batch=batch,
            policy=policy,
            reference="digits",
            reference_version="1",
            reference_digest=reference,
            verdict=Verdict.PASS,
            rows=100,
            held=0,
            false_quarantine_rate=0.01,
            min_detectable=None,
            detectors=[],
            tests=[],
            scores=FILE,
            inputs="00" * 32,
            batch_p_value=p_value,
            evidence=BatchEvidence(facts.tests, facts.small, facts.scored),
            source_evidence=after.to_record(question.counted, seen),
            drift=drift,
        )

    def screen(self, batch: str, test: float, **more: Any) -> None:
        self.write(self.screening(batch, test, **more))

    def require_same(self, question: Question) -> None:
        """What is read from the newest record is what all entries say."""
        with self.workspace.catalog.read() as connection:
            whole = source_steps(connection, question)
            steps = source_steps(connection, question, limit=3)
            told = evidence_before(connection, question, None)
        assert steps == whole[-3:]
        last = whole[-1].evidence if whole else 1.0
        assert shown_evidence(told.process) == pytest.approx(last, rel=1e-9)
        assert told.process.batches == (whole[-1].batches if whole else 0)
        assert told.past.scored == 100 * len(whole)
        assert sum(count for _, count in told.past.tests) == len(whole)
        assert list(told.moved) == [s.moved for s in whole if s.moved is not None][-20:]


# A step: a batch comes; one of those there is screened, by which policy, against which reference;
# or two are screened at once, neither seeing the other.
tests = st.floats(1e-6, 1.0)
policies = st.sampled_from([OWN, OWN, OWN, EDITED, FOREIGN])
references = st.sampled_from(["r1", "r1", "r1", "r2"])
screens = st.tuples(st.just("screen"), st.integers(0, 7), tests, policies, references)
both = st.tuples(st.just("both"), st.integers(0, 7), st.integers(0, 7), tests, tests)
steps = st.lists(st.one_of(st.just(("receive",)), screens, screens, both), max_size=14)


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_in_whatever_order_batches_are_screened_the_record_is_the_whole(
    workspace: Workspace, steps: list[tuple[Any, ...]]
) -> None:
    feed = Feed.start(workspace)
    feed.receive()
    for kind, *arguments in steps:
        known = list(feed.arrivals)
        if kind == "receive":
            feed.receive()
        elif kind == "screen":
            number, test, policy, reference = arguments
            feed.screen(known[number % len(known)], test, policy=policy, reference=reference)
        else:
            one, other, first, second = arguments
            waiting = [
                feed.screening(known[number % len(known)], test)
                for number, test in ((one, first), (other, second))
            ]
            for event in waiting:
                feed.write(event)
        for reference in ("r1", "r2"):
            feed.require_same(feed.question(reference))


def _entries_read(connection: Connection) -> Counter[str]:
    """Counts statements that read entries of the ledger."""
    read: Counter[str] = Counter()

    def before(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "ledger.payload" in statement:
            read["entries"] += 1

    sa.event.listen(connection, "before_cursor_execute", before)
    return read


def test_the_next_screening_reads_one_entry_however_many_there_were(workspace: Workspace) -> None:
    feed = Feed.start(workspace)
    for number in range(30):
        feed.screen(feed.receive(), 0.2 + number / 100)
    following = feed.receive()
    with workspace.catalog.read() as connection:
        read = _entries_read(connection)
        evidence_before(connection, feed.question(), feed.arrivals[following])
    assert read["entries"] == 1


def test_a_backfill_in_order_reads_no_history_and_corrects_the_evidence(
    workspace: Workspace,
) -> None:
    """A wrong policy raised the alarm; all batches are screened again under an edited one."""
    feed = Feed.start(workspace)
    batches = [feed.receive() for _ in range(12)]
    for batch in batches:
        feed.screen(batch, 1e-6)
    with workspace.catalog.read() as connection:
        alarmed = evidence_before(connection, feed.question(), None)
    assert alarmed.process.raises(1e-6)
    for batch in batches:
        with workspace.catalog.read() as connection:
            read = _entries_read(connection)
            evidence_before(connection, feed.question(), feed.arrivals[batch])
        assert read["entries"] <= 1
        feed.screen(batch, 0.5, policy=EDITED)
    with workspace.catalog.read() as connection:
        corrected = evidence_before(connection, feed.question(), None)
    assert not corrected.process.raises(0.5)
    feed.require_same(feed.question())


def test_evidence_of_other_policies_is_another_s(workspace: Workspace) -> None:
    """Once another policy is registered, what was left for the old set of policies is not used."""
    feed = Feed.start(workspace)
    for _ in range(4):
        batch = feed.receive()
        feed.screen(batch, 0.01)
        feed.screen(batch, 0.9, policy=FOREIGN)
    feed.require_same(feed.question())
    feed.require_same(feed.question(policies=frozenset({OWN.meaning, FOREIGN.meaning})))
    feed.require_same(feed.question(policies=frozenset()))


def test_a_record_survives_the_ledger(workspace: Workspace) -> None:
    feed = Feed.start(workspace)
    batch = feed.receive()
    event = feed.screening(batch, 0.3)
    assert event.source_evidence is not None
    told = Evidence.of_record(event.source_evidence)
    assert told.to_record("x", 7) == replace(event.source_evidence, counted="x", seen=7)
    nothing = Evidence()
    assert Evidence.of_record(nothing.to_record("x", 0)) == nothing


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 1))
def test_a_rank_is_never_too_small_and_hardly_too_large(known: list[float], new: float) -> None:
    past = Past()
    for p_value in known:
        past = past.after(BatchFacts(p_value, 0, 0))

    def exact(limit: float) -> float:
        return (1 + sum(p <= limit for p in known)) / (1 + len(known))

    rank = rank_of(new, past.tests)
    assert rank >= exact(new)
    assert rank <= exact(max(new, 2.0**-40) * 2**0.25 * (1 + 1e-9))
