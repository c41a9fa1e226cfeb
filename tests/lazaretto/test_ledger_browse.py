"""Looking entries up: what each filter finds, pages without gaps, and entries that were edited."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from lazaretto.errors import NotFoundError
from lazaretto.ledger.browse import Wanted, look_at, look_up
from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.events import (
    DeliveryRefused,
    IncidentTraced,
    KeyRevoked,
    RecordsDecided,
    SnapshotTaken,
    SourceRegistered,
)
from lazaretto.values import (
    Action,
    Actor,
    ActorType,
    Member,
    Signature,
    SignatureStatus,
    StoredFile,
    TrustTier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.workspace import Workspace

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTORS = [Actor(ActorType.OS_USER, "os:ann@host"), Actor(ActorType.SERVICE, "airflow:dag.task")]
BATCHES = [f"{source}/2026030{n}/{n:064x}" for n in (1, 2) for source in ("vendor", "vendor-2")]
FILE = StoredFile("decisions/x.parquet", 1, "0" * 64)


def events() -> Iterator[Any]:
    for source in ("vendor", "vendor-2", 'o"dd\\%_\u202e'):
        yield SourceRegistered(source, TrustTier.REVIEWED)
        yield KeyRevoked(source, "k" * 64, START, "50% lost_\x1b[2J")
        signature = Signature(SignatureStatus.UNSIGNED)
        yield DeliveryRefused(source, "file", "replay", "again", signature)
        yield IncidentTraced(source, None, None, BATCHES[:2], ["net@1"], complete=True)
    for number, batch in enumerate(BATCHES):
        case = f"case-{number}abc"
        yield RecordsDecided("d", case, batch, Action.REJECT, 1, "0" * 64, FILE, "x")
        members = [Member(batch, 2)]
        yield SnapshotTaken("digits", number, 2, "0" * 64, members, "table", "1" * 64, [], 1)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    from lazaretto.storage.workspace import open_workspace

    folder = tmp_path_factory.mktemp("browse")
    url = f"sqlite:///{folder / 'catalog.db'}"
    opened = open_workspace(catalog_url=url, store=folder / "store")
    fill(opened)
    yield opened
    opened.catalog.engine.dispose()


def fill(workspace: Workspace) -> None:
    with workspace.catalog.transaction() as connection:
        for number, event in enumerate(events()):
            moment = START + timedelta(hours=number)
            append(connection, event, actor=ACTORS[number % 2], at=moment)


def seqs(workspace: Workspace, **wanted: Any) -> list[int]:
    return [entry.seq for entry in look_up(workspace, Wanted(**wanted), limit=100).entries]


def test_each_filter_finds_what_is_about_it(workspace: Workspace) -> None:
    fill(workspace)
    everything = list(range(1, 21))
    assert seqs(workspace) == everything
    assert seqs(workspace, kinds=["key_revoked", "snapshot_taken"]) == [2, 6, 10, 14, 16, 18, 20]
    assert seqs(workspace, source="vendor") == [1, 2, 3, 4, 8, 12, 13, 14, 17, 18]
    assert seqs(workspace, source='o"dd\\%_\u202e') == [9, 10, 11, 12]
    assert seqs(workspace, source="vend") == []
    assert seqs(workspace, batch=BATCHES[0]) == [4, 8, 12, 13, 14]
    assert seqs(workspace, batch="vendor/20260302/") == [17, 18]
    assert seqs(workspace, case="case-1") == [15]
    assert seqs(workspace, dataset="digits") == [14, 16, 18, 20]
    assert seqs(workspace, fields={"reason": "50% lost_\x1b[2J"}) == [2, 6, 10]
    assert seqs(workspace, fields={"reason": "50%"}) == []
    assert seqs(workspace, fields={"version": "1"}) == [16]
    assert seqs(workspace, fields={"model": "net@1", "source": "vendor-2"}) == [8]
    assert seqs(workspace, actor="os:ann@host") == everything[::2]
    assert seqs(workspace, actor="os:ann") == []
    assert seqs(workspace, since=START + timedelta(hours=18)) == [19, 20]
    zone = (START + timedelta(hours=2)).astimezone(
        tz=datetime.fromisoformat("2026-01-01T00:00+05:00").tzinfo
    )
    assert seqs(workspace, until=zone) == [1, 2]
    assert seqs(workspace, source="vendor", kinds=["incident_traced"], actor="os:ann@host") == []


@given(st.integers(1, 8), st.sampled_from(["vendor", "vendor-2", None]))
@settings(deadline=None)
def test_pages_are_the_whole_without_gaps(
    filled: Workspace, limit: int, source: str | None
) -> None:
    wanted = Wanted(source=source)
    whole = look_up(filled, wanted, limit=1000).entries
    read, after = [], 0
    while True:
        page = look_up(filled, wanted, limit=limit, after=after)
        read += page.entries
        assert len(page.entries) <= limit
        if not page.more:
            break
        after = page.entries[-1].seq
    assert read == whole
    newest = look_up(filled, wanted, limit=limit)
    assert newest.entries == whole[-limit:]
    assert newest.more == (len(whole) > limit)


def test_an_entry_is_shown_as_it_lies_there_and_an_edited_one_says_so(
    sqlite_workspace: Workspace,
) -> None:
    fill(sqlite_workspace)
    with sqlite_workspace.catalog.read() as connection:
        there = next(entries(connection, after=1, limit=1))
    shown = look_at(sqlite_workspace, 2)
    assert (shown.hash, shown.prev, shown.kind) == (there.hash, there.prev, "key_revoked")
    assert (shown.actor, shown.intact) == (
        {"type": "SERVICE", "id": "airflow:dag.task"},
        True,
    )
    assert shown.payload is not None
    assert shown.payload["reason"] == "50% lost_\x1b[2J"
    with pytest.raises(NotFoundError, match="no entry 99"):
        look_at(sqlite_workspace, 99)
    for payload in ("{}", "[", "[1]", '{"b": 1, "a": 2}', "9" * 400, "[" * 5000):
        with sqlite_workspace.catalog.transaction() as connection:
            query = sa.text("UPDATE ledger SET payload = :payload WHERE seq = 2")
            connection.execute(query, {"payload": payload})
        shown = look_at(sqlite_workspace, 2)
        assert not shown.intact
        listed = look_up(sqlite_workspace, Wanted(), limit=100).entries
        assert [entry.seq for entry in listed if not entry.intact] == [2]
        assert replace(listed[1], payload=None) == replace(shown, payload=None)
