"""No row of a state table can be edited, deleted or added without being named by the check."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from histories import eventful
from many import in_full
from tampering import intruder, other_value, row_is, rows_of
from yard import Yard, make_yard

from lazaretto.health.fold import RECORDS, STATE
from lazaretto.health.state import StateCheck, state_check
from lazaretto.ledger.chain import whole
from lazaretto.ledger.differences import Differences
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.differences import Difference

pytestmark = pytest.mark.alike
ROWS = 4 if in_full() else 2  # of each table


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def yard(
    request: pytest.FixtureRequest,
    fitted_reference: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Yard]:
    """A yard in which everything happened; every test leaves it as it was."""
    folder = tmp_path_factory.mktemp("eventful")
    url = f"sqlite:///{folder / 'catalog.db'}"
    if request.param == "pg":
        url = request.getfixturevalue("postgres_server").format(name="postgres")
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    made = make_yard(workspace, fitted_reference, folder)
    eventful(made)
    yield made
    workspace.catalog.engine.dispose()


@contextmanager
def _at_work(yard: Yard, *, deep: bool = True) -> Iterator[tuple[Connection, StateCheck]]:
    """An intruder, and a check that has read the ledger."""
    with (
        intruder(yard.workspace) as connection,
        state_check(connection, yard.workspace.store if deep else None) as state,
    ):
        for entry in whole(connection):
            state.fold.add(entry)
        yield connection, state


def _found(state: StateCheck, table: sa.Table) -> list[Difference]:
    """What the check says of one table; all of them take too long for each single change."""
    missing = list(state.fold.finish(state.catalog)) if table in RECORDS else []
    return missing + [pair.difference for pair in state.pairs(table)]


@pytest.mark.parametrize("deep", [False, True])
def test_an_untouched_catalog_differs_in_nothing(yard: Yard, deep: bool) -> None:
    differences = Differences()
    with _at_work(yard, deep=deep) as (_, state):
        assert state.compare(differences) > 20
    assert differences.first == []


def test_every_table_has_rows_to_change(yard: Yard) -> None:
    with yard.workspace.catalog.read() as connection:
        empty = [table.name for table in STATE if not rows_of(connection, table)]
    assert empty == []


# No column is exempt: the ledger tells of all of them, times included.
@pytest.mark.parametrize("table", STATE, ids=str)
def test_any_changed_value_is_named(yard: Yard, table: sa.Table) -> None:
    with _at_work(yard) as (connection, state):
        for column, row in product(table.c, rows_of(connection, table)[:ROWS]):
            value = row._mapping[column.name]
            values = [other_value(column, value)]
            values += [None] if column.nullable and value is not None else []
            for new in values:
                with connection.begin_nested() as savepoint:
                    changed = table.update().where(*row_is(table, row)).values({column.name: new})
                    connection.execute(changed)
                    found = _found(state, table)
                    assert found, (column, row, new)
                    if not column.primary_key:
                        assert any(column.name in one.columns for one in found), (new, found)
                    savepoint.rollback()


@pytest.mark.parametrize("table", STATE, ids=str)
def test_any_deleted_or_copied_row_is_named(yard: Yard, table: sa.Table) -> None:
    unique = [rule for rule in table.constraints if isinstance(rule, sa.UniqueConstraint)]
    renamed = {column.name for rule in unique for column in rule.columns}
    with _at_work(yard) as (connection, state):
        for row in rows_of(connection, table)[:ROWS]:
            with connection.begin_nested() as savepoint:
                connection.execute(table.delete().where(*row_is(table, row)))
                assert "missing" in {one.problem for one in _found(state, table)}, row
                savepoint.rollback()
            for key in table.primary_key:
                copy = dict(row._mapping)
                for name in {key.name, *renamed}:
                    copy[name] = other_value(table.c[name], copy[name])
                with connection.begin_nested() as savepoint:
                    connection.execute(table.insert().values(copy))
                    assert "added" in {one.problem for one in _found(state, table)}, copy
                    savepoint.rollback()


@pytest.mark.parametrize("table", RECORDS, ids=str)
def test_without_reading_files_records_are_counted(yard: Yard, table: sa.Table) -> None:
    with _at_work(yard, deep=False) as (connection, state):
        row = rows_of(connection, table)[0]
        connection.execute(table.delete().where(*row_is(table, row)))
        differences = Differences()
        state.compare(differences)
    assert set(differences.counts) == {table.name}
    assert "of " in differences.first[0].key


def test_what_sqlite_keeps_in_any_column_is_named_and_breaks_nothing(sqlite_yard: Yard) -> None:
    """A text where a time, a number or JSON belongs: SQLite takes it."""
    eventful(sqlite_yard)
    with _at_work(sqlite_yard) as (connection, state):
        for table in STATE:
            for column in table.c:
                if isinstance(column.type, sa.String) or column.primary_key:
                    continue
                name = f'"{table.name}"'
                with connection.begin_nested() as savepoint:
                    connection.exec_driver_sql(f"UPDATE {name} SET \"{column.name}\" = 'x y'")
                    assert any(column.name in one.columns for one in _found(state, table)), column
                    savepoint.rollback()
