"""A catalog whose rows were changed is made what the ledger says, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from histories import eventful
from tampering import intruder, other_value, row_is, rows_of
from yard import blobs

from lazaretto import lineage
from lazaretto.dataset import admission
from lazaretto.errors import LedgerError, SystemFaultError
from lazaretto.health import check, rebuild
from lazaretto.health.fold import STATE
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import CatalogRebuilt
from lazaretto.ledger.report import Outcome
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.storage import tables
from lazaretto.values import Action

if TYPE_CHECKING:
    import pyarrow as pa
    from yard import Yard

pytestmark = pytest.mark.alike


def _all_rows(yard: Yard) -> dict[str, list[Any]]:
    with yard.workspace.catalog.read() as connection:
        return {table.name: rows_of(connection, table) for table in STATE}


def _spoil(yard: Yard) -> None:
    """Changes, deletes or adds rows in every table."""
    with intruder(yard.workspace, stay=True) as connection:
        for number, table in enumerate(STATE):
            rows = rows_of(connection, table)
            if number % 3 == 0:
                connection.execute(table.delete())
                continue
            keys, rest = list(table.primary_key), [c for c in table.c if not c.primary_key]
            changed = rest if rest and number % 3 == 1 else keys[:1]
            values = {c.name: other_value(c, rows[0]._mapping[c.name]) for c in changed}
            connection.execute(table.update().where(*row_is(table, rows[0])).values(values))
            copy = dict(rows[-1]._mapping)
            for key in (*table.primary_key, *_unique(table)):
                # Twice: the only row of a table has the first other key by now.
                copy[key.name] = other_value(key, other_value(key, copy[key.name]))
            connection.execute(table.insert().values(copy))
        connection.execute(tables.lineage_edge.delete())
        connection.execute(tables.lineage_node.update().values(source="nobody"))


def _unique(table: sa.Table) -> list[sa.Column[Any]]:
    rules = [rule for rule in table.constraints if isinstance(rule, sa.UniqueConstraint)]
    return [column for rule in rules for column in rule.columns]


def test_every_table_is_made_what_the_ledger_says(yard: Yard) -> None:
    eventful(yard)
    workspace = yard.workspace
    lineage.catch_up(workspace)
    traced = lineage.trace_source(workspace, "vendor-a").model_ids
    before = _all_rows(yard)
    _spoil(yard)
    assert not check(workspace).sound
    spoilt = _all_rows(yard)

    planned = rebuild(workspace, write=False)
    assert planned.needed
    assert not planned.done
    assert set(planned.rows) == {t.name for t in STATE} | {"lineage_node", "lineage_edge"}
    assert _all_rows(yard) == spoilt

    done = rebuild(workspace, write=True)
    assert (done.done, done.rows) == (True, planned.rows)
    assert _all_rows(yard) == before
    assert check(workspace, deep=True).sound
    assert lineage.trace_source(workspace, "vendor-a").model_ids == traced
    assert done.seq is not None
    with workspace.catalog.read() as connection:
        told = entry(connection, done.seq)
    assert told.event == CatalogRebuilt(done.rows)
    assert told.actor == workspace.actor
    assert verify(workspace).outcome is Outcome.HOLDS

    again = rebuild(workspace, write=True)
    assert (again.needed, again.seq) == (False, None)


@pytest.mark.parametrize("lost", ["rows", "mark"])
def test_what_was_published_is_known_without_the_catalog(yard: Yard, lost: str) -> None:
    eventful(yard)
    held = tables.held_record
    before = _all_rows(yard)[held.name]
    assert any(row.part for row in before)
    gone = held.delete() if lost == "rows" else held.update().values(part=None)
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(gone)
    rebuild(yard.workspace, write=True)
    assert _all_rows(yard)[held.name] == before
    assert check(yard.workspace, deep=True).sound


def test_others_released_while_it_was_on_its_way_are_not_of_a_publication(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between intent and entry somebody released more; then all marks in the catalog are lost."""
    yard, workspace = sqlite_yard, sqlite_yard.workspace
    case = str(yard.judge("monday", blobs(60, seed=5, flips=4)).case)

    def killed(*_: Any, **__: Any) -> Any:
        raise SystemFaultError("killed")

    review.decide(workspace, case, Action.RELEASE, all=True, reason="fine")
    later = review.decide(workspace, case, Action.REJECT, ids=["r0", "r3"], reason="not yet")
    with monkeypatch.context() as patched:
        patched.setattr(admission, "write_rows", killed)
        with pytest.raises(SystemFaultError):
            review.publish(workspace, case)
    review.undo(workspace, later.id, reason="now")
    review.publish(workspace, case)
    assert yard.ids() == ["r0", "r1", "r2", "r3"]
    held = tables.held_record
    before = _all_rows(yard)[held.name]
    assert len({row.part for row in before}) == 2
    with workspace.catalog.transaction() as connection:
        connection.execute(held.update().values(part=None))
    rebuild(workspace, write=True)
    assert _all_rows(yard)[held.name] == before


def test_two_batches_whose_digests_were_swapped(yard: Yard) -> None:
    """What must be unique stands in the way of putting it right row by row."""
    yard.receive("monday", _blobs(5))
    yard.receive("tuesday", _blobs(6))
    table = tables.batch
    with intruder(yard.workspace, stay=True) as connection:
        one, two = rows_of(connection, table)
        for row, digest in ((one, "x"), (two, one.digest), (one, two.digest)):
            connection.execute(table.update().where(table.c.id == row.id).values(digest=digest))
    assert rebuild(yard.workspace, write=True).rows == {"batch": {"changed": 2}}
    assert check(yard.workspace).sound


def _blobs(seed: int) -> pa.Table:
    return blobs(30, seed=seed, prefix=f"s{seed}-")


def test_new_work_goes_on_after_a_rebuild(yard: Yard) -> None:
    later = eventful(yard)
    lineage.catch_up(yard.workspace)
    _spoil(yard)
    rebuild(yard.workspace, write=True)
    batch = later.admit("friday", _blobs(9)).batch
    assert lineage.trace_batch(yard.workspace, batch).complete
    assert check(yard.workspace, deep=True).sound


def test_nothing_is_made_of_a_ledger_that_does_not_hold(yard: Yard) -> None:
    yard.receive("monday", _blobs(5))
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.ledger.update().values(actor_id="somebody"))
    for write in (False, True):
        with pytest.raises(LedgerError, match="does not hold"):
            rebuild(yard.workspace, write=write)


def test_records_of_a_lost_file_stay_as_they_are(yard: Yard) -> None:
    judged = yard.judge("monday", blobs(60, seed=5, flips=4))
    rows = _all_rows(yard)["held_record"]
    for path in Path(yard.workspace.store.uri(f"held/{judged.batch}")).iterdir():
        path.unlink()
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.batch.update().values(held=0))
    done = rebuild(yard.workspace, write=True)
    assert done.rows == {"batch": {"changed": 1}}
    assert done.unreadable == [judged.case]
    assert _all_rows(yard)["held_record"] == rows
