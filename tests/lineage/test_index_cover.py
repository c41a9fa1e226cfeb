"""No row of the lineage index can be edited, deleted or added without being named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from ledger_history import DAY, START, TABLE, History
from many import some
from tampering import intruder, other_value, row_is, rows_of

from lazaretto import lineage, values
from lazaretto.errors import LedgerError
from lazaretto.ledger import events
from lazaretto.ledger.chain import head
from lazaretto.lineage.graph.index import CURSOR
from lazaretto.lineage.graph.verify import verify_index
from lazaretto.storage.tables import ledger, ledger_head, lineage_edge, lineage_node, projection

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.verify import IndexCheck
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

# An id only joins the two tables: another one for a node takes its edges away, which is named.
COLUMNS = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in (lineage_node, lineage_edge)
    for column in table.c
    if column.name != "id"
]


@pytest.fixture
def history(workspace: Workspace) -> History:
    """Two sources, two snapshots and models, a recall; one batch has no date."""
    history = History(workspace)
    first, second = history.receive("vendor-x", 0), history.receive("vendor-a", 1, collected=False)
    history.admit(first)
    history.admit(second)
    history.snapshot({first: 90, second: 90})
    model = history.register("churn", "1")
    history.recall({first: 3}, (model,))
    history.snapshot({first: 87, second: 90})
    history.register("churn", "2", purpose="eval")
    lineage.catch_up(workspace)
    return history


def _check(connection: Connection, workspace: Workspace) -> IndexCheck:
    until = head(connection)
    return verify_index(connection, workspace.store.root, until=until)


def test_an_untouched_index_is_sound(workspace: Workspace, history: History) -> None:
    with workspace.catalog.read() as connection:
        check = _check(connection, workspace)
    assert check.sound
    assert check.differences.first == []


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_changed_value_is_named(
    workspace: Workspace, history: History, table: sa.Table, column: sa.Column[Any]
) -> None:
    with intruder(workspace) as connection:
        for row in some(rows_of(connection, table), 2):
            value = row._mapping[column.name]
            values = [other_value(column, value)]
            values += [None] if column.nullable and value is not None else []
            for new in values:
                with connection.begin_nested() as savepoint:
                    changed = table.update().where(*row_is(table, row)).values({column.name: new})
                    connection.execute(changed)
                    check = _check(connection, workspace)
                    assert not check.sound, (row, new)
                    assert check.differences.total or column.name in ("namespace", "name")
                    savepoint.rollback()


@pytest.mark.parametrize("table", [lineage_node, lineage_edge], ids=str)
def test_any_deleted_or_copied_row_is_named(
    workspace: Workspace, history: History, table: sa.Table
) -> None:
    with intruder(workspace) as connection:
        for row in some(rows_of(connection, table), 2):
            with connection.begin_nested() as savepoint:
                connection.execute(table.delete().where(*row_is(table, row)))
                assert not _check(connection, workspace).sound, row
                savepoint.rollback()
            for column in table.primary_key:
                copy = {**row._mapping, column.name: other_value(column, row._mapping[column.name])}
                if table is lineage_node:
                    copy |= {"id": 1_000_000, "version": "999"}
                elif _has(connection, table, copy):
                    continue
                with connection.begin_nested() as savepoint:
                    connection.execute(table.insert().values(copy))
                    assert not _check(connection, workspace).sound, copy
                    savepoint.rollback()


def _has(connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    same = [column == values[column.name] for column in table.primary_key]
    return connection.execute(sa.select(table).where(*same)).first() is not None


@pytest.mark.parametrize(
    "change",
    [
        lineage_edge.delete,
        lambda: lineage_node.delete().where(lineage_node.c.kind == "MODEL"),
        lambda: lineage_node.update().where(lineage_node.c.kind == "BATCH").values(source="nobody"),
        lambda: lineage_node.update().values(first_seq=None),
        lambda: lineage_edge.update().values(role="EVAL"),
    ],
    ids=["edges", "models", "sources", "claimed", "roles"],
)
def test_a_trace_of_a_changed_index_answers_from_the_ledger_and_says_so(
    workspace: Workspace, history: History, change: Any
) -> None:
    before = lineage.trace_source(workspace, "vendor-x")
    assert before.complete
    with intruder(workspace, stay=True) as connection:
        connection.execute(change())
    after = lineage.trace_source(workspace, "vendor-x")
    assert after.model_ids == before.model_ids == ["churn@1"]
    assert [model.roles for model in after.models] == [model.roles for model in before.models]
    assert after.evaluated == before.evaluated
    assert [model.id for model in after.evaluated] == ["churn@2"]
    assert after.completeness.index_changed
    assert not after.complete
    assert "answer was made from the ledger" in " ".join(after.completeness.caveats())
    assert not lineage.trace_model(workspace, "churn", "2").complete


def test_a_cursor_that_runs_ahead_hides_nothing(workspace: Workspace, history: History) -> None:
    ahead = projection.update().where(projection.c.name == CURSOR).values(seq=10_000)
    with workspace.catalog.transaction() as connection:
        connection.execute(ahead)
    batch = history.receive("vendor-x", 2)
    history.admit(batch)
    history.snapshot({batch: 90})
    history.register("churn", "3")
    trace = lineage.trace_batch(workspace, batch)
    assert trace.model_ids == ["churn@3"]
    assert not trace.complete


def test_claims_of_others_stay_beside_an_index_made_anew(
    workspace: Workspace, history: History, tmp_path: Path
) -> None:
    def model(namespace: str, name: str, version: str) -> dict[str, Any]:
        kind = {"datasetType": "MODEL"}
        facets = {"datasetType": kind, "version": {"datasetVersion": version}}
        return {"namespace": namespace, "name": name, "facets": facets}

    event = {
        "eventType": "COMPLETE",
        "eventTime": "2030-01-01T00:00:00Z",
        "run": {"runId": "0199aaaa-0000-7000-8000-000000000000"},
        "job": {"namespace": "spark", "name": "distil"},
        "inputs": [model("mlflow://models:5000", "churn", "1")],
        "outputs": [model("other", "student", "7")],
    }
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert lineage.ingest(workspace, tmp_path / "events.jsonl").edges == 2
    assert "student@7" in lineage.trace_source(workspace, "vendor-x").model_ids
    with workspace.catalog.transaction() as connection:
        connection.execute(lineage_edge.delete().where(lineage_edge.c.role != "TRAIN"))
        connection.execute(lineage_edge.update().values(rows=1))
    trace = lineage.trace_source(workspace, "vendor-x")
    assert "student@7" in trace.model_ids
    assert trace.completeness.index_changed


@pytest.mark.parametrize(
    "change",
    [
        lambda: ledger.delete().where(ledger.c.kind == "model_registered"),
        lambda: ledger.update().where(ledger.c.kind == "model_registered").values(kind="key_added"),
        lambda: ledger.update().where(ledger.c.kind == "snapshot_taken").values(subject="x"),
        lambda: ledger.delete().where(ledger.c.seq.in_(sa.select(ledger_head.c.seq))),
        lambda: ledger_head.update().values(seq=ledger_head.c.seq - 1),
        ledger_head.delete,
    ],
    ids=["deleted", "renamed", "subject", "last", "head", "headless"],
)
def test_nothing_is_answered_from_a_ledger_that_does_not_hold(
    workspace: Workspace, history: History, change: Any
) -> None:
    with workspace.catalog.transaction() as connection:
        connection.execute(change())
    with pytest.raises(LedgerError):
        lineage.trace_source(workspace, "vendor-x", START, START + DAY)


def test_what_is_lost_of_the_same_batch_twice_is_one_edge(workspace: Workspace) -> None:
    """Cleared and published records of one batch may be lost at once."""
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.admit(batch)
    history.admit(batch, 9, part="publication-1", case="case-1")
    lost = [values.LostPart(batch, "cleared", 90), values.LostPart(batch, "publication-1", 7)]
    history.write(events.RowsLost("digits", 3, lost, removed=["a.parquet"], **TABLE))
    lineage.catch_up(workspace)
    history.version = 3
    history.register("churn", "1")
    assert lineage.trace_batch(workspace, batch).models[0].tainted_rows == 2
    with workspace.catalog.read() as connection:
        assert _check(connection, workspace).sound
