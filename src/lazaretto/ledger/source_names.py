"""The names of a source. It is known by its first one for ever, and goes by the newest.

A renamed source keeps its identity: ids of batches, keys, evidence, holds and quotas go on. Every
name that it had leads to it, and nobody else can be given one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.events import SourceRegistered, SourceRenamed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def source_identity(connection: Connection, name: str) -> str:
    """The first name of the source that goes, or went, by a name; the name itself for no source.

    Args:
        connection: of the catalog.
        name: any name that it ever had.

    Raises:
        LedgerError: an entry was edited.
    """
    if newest(connection, f"source:{name}", [SourceRegistered.kind]) is not None:
        return name
    for entry in entries(connection, kinds=[SourceRenamed.kind]):
        if isinstance(entry.event, SourceRenamed) and entry.event.name == name:
            return entry.event.source
    return name


def later_names(connection: Connection, source: str | None = None) -> dict[str, list[str]]:
    """The names that sources were given later, the newest last, by their first name.

    Args:
        connection: of the catalog.
        source: first name of one; None: of all.

    Raises:
        LedgerError: an entry was edited.
    """
    subject = None if source is None else f"source:{source}"
    found: dict[str, list[str]] = {}
    for entry in entries(connection, kinds=[SourceRenamed.kind], subject=subject):
        if isinstance(entry.event, SourceRenamed):
            names = found.setdefault(entry.event.source, [])
            names[:] = [name for name in names if name != entry.event.name] + [entry.event.name]
    return found
