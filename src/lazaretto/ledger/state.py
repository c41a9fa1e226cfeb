"""State: the rows of the catalog that an entry makes, said once for the writer and for the check.

A room says what its entries do to its tables by a function from an entry to `Change`. Whoever
appends an entry writes those changes in the same transaction. `lazaretto catalog check` makes the
same rows anew from the whole ledger and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from lazaretto.ledger.chain import append
from lazaretto.storage.bulk import upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event
    from lazaretto.values import Actor


@dataclass(frozen=True, slots=True)
class Put:
    """A row that is there from now on; one of the same key takes the values.

    Attributes:
        table: of the catalog.
        values: by column, the primary key among them.
        first: by column, for a row that is new; one that is there keeps its own.
    """

    table: sa.Table
    values: Mapping[str, object]
    first: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Other values in the rows that are there.

    Attributes:
        table: of the catalog.
        where: what those rows have, by column.
        values: what they get.
    """

    table: sa.Table
    where: Mapping[str, object]
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PutFound:
    """A row that takes some columns from another table: of the row with the least ``seq`` there.

    Where that table has no such row, there is none. A row of the same key stays as it is. It is for
    entries that name something by less than its whole key.

    Attributes:
        table: of the catalog.
        values: by column.
        source: the table that the rest is taken from.
        where: what the row there has, by column.
        takes: the columns that are taken over.
    """

    table: sa.Table
    values: Mapping[str, object]
    source: sa.Table
    where: Mapping[str, object]
    takes: tuple[str, ...]


Change: TypeAlias = Put | PutFound | Update


def entry_columns(entry: Entry) -> dict[str, object]:
    """The columns by which a row names the entry that it is the state of."""
    return {"seq": entry.seq, "entry": entry.hash}


def record(
    connection: Connection,
    event: Event,
    changes: Callable[[Entry], Iterable[Change]],
    *,
    actor: Actor,
    at: datetime | None = None,
) -> Entry:
    """Appends an entry, and writes the rows that it makes.

    Args:
        connection: of an open `Catalog.transaction`.
        event: what happened.
        changes: what such an entry does to the tables of its room.
        actor: who did it.
        at: aware time of the entry; now by default.

    Raises:
        UsageError: as `append`.
    """
    entry = append(connection, event, actor=actor, at=at)
    write(connection, changes(entry))
    return entry


def write(connection: Connection, changes: Iterable[Change]) -> None:
    """Makes changes inside the caller's transaction."""
    pending = Pending(connection)
    pending.add(changes)
    pending.flush()


@dataclass(frozen=True, slots=True)
class Pending:
    """Changes that wait to be made, so that many of one form are made at once.

    Of each table rows are put first, and updated then: no `Update` is meant for a row that is put
    only after it. What is found in other tables is put in between.

    Attributes:
        connection: of a transaction.
        puts: values of rows by the form of the statement.
        found: values of rows that take some from another table, by the form of the statement.
        updates: forms with their values, in order.
    """

    connection: Connection
    puts: dict[_PutForm, list[dict[str, object]]] = field(default_factory=dict)
    found: dict[_FoundForm, list[dict[str, object]]] = field(default_factory=dict)
    updates: list[tuple[_UpdateForm, list[dict[str, object]]]] = field(default_factory=list)

    def add(self, changes: Iterable[Change]) -> None:
        """Takes changes."""
        for change in changes:
            match change:
                case Put(table, values, first):
                    form = _PutForm(table, tuple(values), tuple(first))
                    self.puts.setdefault(form, []).append({**first, **values})
                case PutFound(table, values, source, where, takes):
                    one = _FoundForm(table, tuple(values), source, tuple(where), takes)
                    self.found.setdefault(one, []).append(_bound(where, values))
                case Update(table, where, values):
                    updated = _UpdateForm(table, tuple(where), tuple(values))
                    bound = _bound(where, values)
                    if not self.updates or self.updates[-1][0] != updated:
                        self.updates.append((updated, []))
                    self.updates[-1][1].append(bound)

    def flush(self) -> None:
        """Makes what waits."""
        for form, rows in self.puts.items():
            self.connection.execute(form.statement(self.connection), rows)
        for one, rows in self.found.items():
            self.connection.execute(one.statement(self.connection), rows)
        for updated, rows in self.updates:
            self.connection.execute(updated.statement(), rows)
        self.puts.clear()
        self.found.clear()
        self.updates.clear()


def _bound(where: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    bound = {f"where_{name}": value for name, value in where.items()}
    return bound | {f"value_{name}": value for name, value in values.items()}


class _PutForm(NamedTuple):
    """A table, the columns of a `Put` and those that only a new row takes."""

    table: sa.Table
    values: tuple[str, ...]
    first: tuple[str, ...]

    def statement(self, connection: Connection) -> Any:
        insert = upsert(connection, self.table)
        keys = [column.name for column in self.table.primary_key]
        rest = {name: insert.excluded[name] for name in self.values if name not in keys}
        if not rest:
            return insert.on_conflict_do_nothing(index_elements=keys)
        return insert.on_conflict_do_update(index_elements=keys, set_=rest)


class _FoundForm(NamedTuple):
    """A table, the columns of a `PutFound`, and where the rest is taken from."""

    table: sa.Table
    values: tuple[str, ...]
    source: sa.Table
    where: tuple[str, ...]
    takes: tuple[str, ...]

    def statement(self, connection: Connection) -> Any:
        given = [sa.bindparam(f"value_{n}", type_=self.table.c[n].type) for n in self.values]
        asked = [self.source.c[n] == sa.bindparam(f"where_{n}") for n in self.where]
        taken = sa.select(*given, *(self.source.c[name] for name in self.takes)).where(*asked)
        first = taken.order_by(self.source.c.seq).limit(1)
        rows = upsert(connection, self.table).from_select([*self.values, *self.takes], first)
        return rows.on_conflict_do_nothing()


class _UpdateForm(NamedTuple):
    """A table, and the columns of an `Update`."""

    table: sa.Table
    where: tuple[str, ...]
    values: tuple[str, ...]

    def statement(self) -> sa.Update:
        found = [self.table.c[name] == sa.bindparam(f"where_{name}") for name in self.where]
        values: dict[str, Any] = {name: sa.bindparam(f"value_{name}") for name in self.values}
        return sa.update(self.table).where(*found).values(values)
