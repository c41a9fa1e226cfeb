"""The ledger: what is appended comes back, and whatever is done to it afterwards shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchScreened, SourceRegistered
from lazaretto.ledger.report import LedgerReport, Outcome
from lazaretto.ledger.verify import verify
from lazaretto.storage import tables
from lazaretto.values import Actor, ActorType, PolicyRef, StoredFile, TrustTier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike
ANN = Actor(ActorType.HUMAN, "user:ann")


def _event(name: str) -> SourceRegistered:
    return SourceRegistered(name, TrustTier.REVIEWED)


def _write(workspace: Workspace, count: int = 5) -> None:
    for number in range(count):
        with workspace.catalog.transaction() as connection:
            ledger.append(connection, _event(f"vendor-{number}"), actor=ANN)


def _holds(entries: int) -> LedgerReport:
    return LedgerReport(Outcome.HOLDS, entries, covered=0, problems=[], checkpoints=[])


def test_entries_come_back_as_they_were_written(workspace: Workspace) -> None:
    at = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
    with workspace.catalog.transaction() as connection:
        assert ledger.append(connection, _event("vendor-ü\n"), actor=ANN, at=at).seq == 1
        assert ledger.append(connection, _event("b"), actor=ANN).seq == 2
    with workspace.catalog.read() as connection:
        first, second = ledger.entries(connection)
        assert (first.seq, first.at, first.event) == (1, at, _event("vendor-ü\n"))
        assert first.prev == ledger.GENESIS
        assert second.prev == first.hash
        assert [e.seq for e in ledger.entries(connection, after=1)] == [2]
        assert list(ledger.entries(connection, kinds=["batch_received"])) == []
        assert ledger.entry(connection, 2) == second
        with pytest.raises(LedgerError):
            ledger.entry(connection, 3)


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@settings(
    max_examples=examples(30),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
def test_any_text_survives_and_verifies(sqlite_workspace: Workspace, name: str) -> None:
    with sqlite_workspace.catalog.transaction() as connection:
        seq = ledger.append(connection, _event(name), actor=ANN).seq
    with sqlite_workspace.catalog.read() as connection:
        assert ledger.entry(connection, seq).event == _event(name)
    assert verify(sqlite_workspace).ok


def test_what_has_no_canonical_form_is_refused_before_it_is_written(workspace: Workspace) -> None:
    event = BatchScreened(
        "b",
        PolicyRef("d", "s", "m"),
        "r",
        "1",
        "x",
        Verdict.PASS,
        2**60,
        0,
        0.01,
        None,
        [],
        [],
        StoredFile("s", 1, "d"),
        "i",
    )
    with pytest.raises(UsageError, match="batch_screened"), workspace.catalog.transaction() as c:
        ledger.append(c, event, actor=ANN)
    assert verify(workspace).outcome is Outcome.NOTHING


def test_a_rolled_back_stage_leaves_no_entry_and_no_gap(workspace: Workspace) -> None:
    _write(workspace, 2)
    with pytest.raises(sa.exc.IntegrityError):
        _append_and_fail(workspace)
    _write(workspace, 1)
    assert verify(workspace) == _holds(3)


def _append_and_fail(workspace: Workspace) -> None:
    with workspace.catalog.transaction() as connection:
        ledger.append(connection, _event("gone"), actor=ANN)
        connection.execute(tables.ledger_head.insert().values(id=1, seq=9, hash="-"))


def _edit(c: sa.Connection) -> None:
    c.execute(
        sa.text(
            "UPDATE ledger SET payload = replace(payload, 'vendor-2', 'vendor-9') WHERE seq = 3"
        )
    )


def _edit_time(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE ledger SET at = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 3"))


def _edit_kind(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE ledger SET kind = 'key_added' WHERE seq = 3"))


def _spoil(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE ledger SET payload = '[' WHERE seq = 3"))


def _nest(c: sa.Connection) -> None:
    deep = "[" * 5000 + "]" * 5000
    c.execute(sa.text("UPDATE ledger SET payload = :deep WHERE seq = 3"), {"deep": deep})


def _edit_actor(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE ledger SET actor_id = 'user:bob' WHERE seq = 3"))


def _edit_subject(c: sa.Connection) -> None:
    c.execute(sa.text("UPDATE ledger SET subject = 'source:other' WHERE seq = 3"))


def _drop_head(c: sa.Connection) -> None:
    c.execute(sa.text("DELETE FROM ledger_head"))


def _drop(c: sa.Connection) -> None:
    c.execute(sa.text("DELETE FROM ledger WHERE seq = 3"))


def _drop_and_close_the_gap(c: sa.Connection) -> None:
    _drop(c)
    for seq in (4, 5):
        c.execute(sa.text(f"UPDATE ledger SET seq = {seq - 1} WHERE seq = {seq}"))


def _swap(c: sa.Connection) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        c.execute(sa.text(f"UPDATE ledger SET seq = {new} WHERE seq = {old}"))


def _drop_first(c: sa.Connection) -> None:
    c.execute(sa.text("DELETE FROM ledger WHERE seq = 1"))


def _drop_tail(c: sa.Connection) -> None:
    c.execute(sa.text("DELETE FROM ledger WHERE seq > 3"))


@pytest.mark.parametrize(
    ("tamper", "bad"),
    [
        (_edit, 3),
        (_edit_time, 3),
        (_edit_kind, 3),
        (_edit_actor, 3),
        (_edit_subject, 3),
        (_drop_head, 5),
        (_spoil, 3),
        (_nest, 3),
        (_drop, 3),
        (_drop_and_close_the_gap, 3),
        (_swap, 3),
        (_drop_first, 1),
        (_drop_tail, 4),
    ],
)
def test_tampering_is_found_at_the_first_bad_entry(
    workspace: Workspace, tamper: Callable[[sa.Connection], None], bad: int
) -> None:
    _write(workspace)
    assert verify(workspace) == _holds(5)
    with workspace.catalog.transaction() as connection:
        tamper(connection)
    report = verify(workspace)
    assert report.outcome is Outcome.VIOLATED
    assert report.problems[0].first == bad
    assert str(bad) in report.problems[0].what


_APPEND_MANY = """
import sys
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import SourceRegistered
from lazaretto.storage.catalog import Catalog
from lazaretto.values import Actor, ActorType, TrustTier
catalog = Catalog.open(sys.argv[1])
for number in range(25):
    with catalog.transaction() as connection:
        actor = Actor(ActorType.HUMAN, "user:ann")
        event = SourceRegistered(f"{sys.argv[2]}-{number}", TrustTier.REVIEWED)
        ledger.append(connection, event, actor=actor)
"""


def test_two_processes_append_at_once_and_the_chain_holds(
    workspace: Workspace, catalog_url: str, at_once: Callable[..., None]
) -> None:
    at_once(_APPEND_MANY, [catalog_url, "a"], [catalog_url, "b"])
    assert verify(workspace) == _holds(50)
    with workspace.catalog.read() as connection:
        names = [entry.event.source for entry in ledger.entries(connection)]  # type: ignore[attr-defined]
    assert sorted(names) == sorted(f"{n}-{i}" for n in "ab" for i in range(25))


def test_an_entry_older_than_the_one_before_it_is_named_and_refused_nowhere(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=400)
    event = SourceRegistered("vendor", TrustTier.REVIEWED)
    with workspace.catalog.transaction() as connection:
        ledger.append(connection, event, actor=ANN, at=ahead)
        ledger.append(connection, event, actor=ANN, at=ahead - timedelta(milliseconds=900))
        assert caplog.messages == []
        behind = ledger.append(connection, event, actor=ANN)
    (told,) = caplog.messages
    assert "clock of this machine is 3" in told
    assert "entry 3" in told
    report = verify(workspace)
    assert report.outcome is Outcome.HOLDS
    (step,) = report.clock_steps
    assert (step.seq, step.actor) == (3, ANN.id)
    assert datetime.fromisoformat(step.at) == behind.at
