"""State: the rows of the catalog that an entry makes, said once for the writer and for the check.

A room says what its entries do to its tables by a function from an entry to `Change`. Whoever
appends an entry writes those changes in the same transaction. `lazaretto catalog check` makes the
same rows anew from the whole ledger and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lazaretto.ledger.chain import append

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


Change: TypeAlias = Put | Update


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
    """Makes changes in order, inside the caller's transaction."""
    flavour: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    for change in changes:
        match change:
            case Put(table, values, first):
                insert = flavour.insert(table).values({**first, **values})
                keys = [column.name for column in table.primary_key]
                rest = {name: insert.excluded[name] for name in values if name not in keys}
                statement: Any = (
                    insert.on_conflict_do_update(index_elements=keys, set_=rest)
                    if rest
                    else insert.on_conflict_do_nothing(index_elements=keys)
                )
                connection.execute(statement)
            case Update(table, where, values):
                found = [table.c[name] == value for name, value in where.items()]
                connection.execute(sa.update(table).where(*found).values(dict(values)))
