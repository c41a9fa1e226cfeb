"""Cover: a row of the catalog is used only where it says what its ledger entry says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lazaretto.errors import ChangedStateError, LedgerError
from lazaretto.ledger.chain import Entry, entries_at, entry
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.events import Event

_E = TypeVar("_E", bound="Event")


def covering(connection: Connection, table: str, key: str, row: Row[Any]) -> Entry:
    """The ledger entry that a row is the state of, its hash computed anew.

    Args:
        connection: of the catalog.
        table: name of the row's table, for messages.
        key: of the row, in words.
        row: with ``seq`` and ``entry``.

    Raises:
        ChangedStateError: there is no such entry, it was edited, or the row names another one.
    """
    try:
        found = entry(connection, row.seq)
    except LedgerError as error:
        raise ChangedStateError(table, key, str(error)) from error
    return _made_of(table, key, row, found)


def covering_each(
    connection: Connection, table: str, rows: Mapping[str, Row[Any]]
) -> dict[str, Entry]:
    """The same for some rows of one table, whose entries are read at once.

    Args:
        connection: of the catalog.
        table: name of the rows' table, for messages.
        rows: by their keys, in words.

    Raises:
        ChangedStateError: as `covering`, of one of them.
    """
    try:
        found = entries_at(connection, {row.seq for row in rows.values()})
        return {key: _made_of(table, key, row, found[row.seq]) for key, row in rows.items()}
    except (LedgerError, KeyError):  # to say which row it is
        return {key: covering(connection, table, key, row) for key, row in rows.items()}


def _made_of(table: str, key: str, row: Row[Any], found: Entry) -> Entry:
    if found.hash != row.entry:
        raise ChangedStateError(table, key, f"ledger entry {row.seq} is not the one it was made of")
    return found


def event_of(
    connection: Connection, table: str, key: str, row: Row[Any], kind: type[_E]
) -> tuple[Entry, _E]:
    """The same, where the entry must be of one kind.

    Raises:
        ChangedStateError: as `covering`, or the entry is of another kind.
    """
    found = covering(connection, table, key, row)
    if not isinstance(found.event, kind):
        raise ChangedStateError(table, key, f"ledger entry {row.seq} is a {found.kind}")
    return found, found.event


def agree(table: str, key: str, row: Row[Any], said: Mapping[str, object]) -> None:
    """Compares columns of a row with what the ledger says of them.

    Args:
        table: name of the row's table.
        key: of the row, in words.
        row: as it lies in the catalog.
        said: the ledger's value by column.

    Raises:
        ChangedStateError: a column says something else.
    """
    there = row._mapping
    for column, value in said.items():
        if to_json(there[column]) != to_json(value):
            raise ChangedStateError(
                table, key, f"{column} is {there[column]!r}, the ledger says {value!r}"[:300]
            )
