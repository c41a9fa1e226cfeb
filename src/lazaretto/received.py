"""Received batches: what the ledger says of each, and the stored copy that every stage reads."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.batch import Batch, open_canonical
from lazaretto.errors import ChangedFileError, DeletedPayloadError, NotFoundError
from lazaretto.ledger.chain import append
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.deletions import deletions_told, delivery_deleted
from lazaretto.ledger.events import BatchReceived, StoredFileChanged
from lazaretto.ledger.state import Put, entry_columns
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class Received:
    """A received batch, as the ledger tells it.

    Attributes:
        seq: ledger entry of the receipt.
        event: what that entry says.
    """

    seq: int
    event: BatchReceived

    @property
    def id(self) -> str:
        """Of the batch."""
        return self.event.batch

    @property
    def source(self) -> str:
        """Who delivered it."""
        return self.event.source

    @property
    def digest(self) -> str:
        """sha256 (hex) of its canonical content."""
        return self.event.digest

    @property
    def rows(self) -> int:
        """How many records it has."""
        return self.event.rows

    @property
    def received_at(self) -> datetime:
        """When it was received, UTC."""
        return self.event.received_at

    @property
    def stored(self) -> StoredFile:
        """The canonical copy."""
        return self.event.stored


def find_batch(connection: Connection, batch: str) -> Received:
    """A received batch by its id.

    Raises:
        NotFoundError: no such batch was received.
        ChangedStateError: its row in the catalog does not say what the ledger says.
    """
    row = connection.execute(
        sa.select(tables.batch).where(tables.batch.c.id == batch)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no batch {batch!r} was received: see `lazaretto batch list`")
    entry, event = event_of(connection, "batch", batch, row, BatchReceived)
    agree("batch", batch, row, batch_columns(event))
    return Received(entry.seq, event)


def load_batch(workspace: Workspace, batch: str) -> Received:
    """The same in a view of its own."""
    with workspace.catalog.read() as connection:
        return find_batch(connection, batch)


def batch_columns(event: BatchReceived) -> dict[str, object]:
    """The catalog's columns of a received batch, by what the ledger says."""
    return {
        "id": event.batch,
        "source": event.source,
        "trust_tier": event.trust_tier.value,
        "uri": event.uri,
        "format": event.format,
        "digest": event.digest,
        "file_digest": event.delivered.sha256,
        "stored_uri": event.stored.path,
        "rows": event.rows,
        "received_at": event.received_at,
        "collected_from": event.collected_from,
        "collected_to": event.collected_to,
    }


def changes(entry: Entry) -> Iterator[Change]:
    """What the receipt of a batch does to the catalog."""
    if isinstance(entry.event, BatchReceived):
        yield Put(tables.batch, batch_columns(entry.event) | entry_columns(entry))


@contextmanager
def on_record(workspace: Workspace, batch: str, stage: str) -> Iterator[None]:
    """Puts a changed file of the store on the ledger before its error goes on.

    The batch stays where it is: nothing of the file was used, and the same stage works again once
    the file is restored.
    """
    try:
        with deletions_told(workspace.catalog.read, batch):
            yield
    except ChangedFileError as error:
        event = StoredFileChanged(batch, stage, error.path, error.expected, error.found)
        with workspace.catalog.transaction() as connection:
            append(connection, event, actor=workspace.actor)
        raise


def open_stored(workspace: Workspace, batch: Received) -> Batch:
    """Opens the canonical copy of a batch; its bytes are checked while they are read.

    Raises:
        DeletedPayloadError: retention deleted it.
        ChangedFileError: it is gone, or (at once or while reading) its bytes are others.
    """
    with deletions_told(workspace.catalog.read, batch.id):
        opened = workspace.store.open(batch.stored)
    return open_canonical(opened, rows=batch.rows, name=batch.id)


def require_payload(connection: Connection, batch: Received) -> None:
    """Refuses what needs the records of a batch, before anything is done.

    Raises:
        DeletedPayloadError: retention deleted them.
    """
    found = delivery_deleted(connection, batch.id)
    if found is not None:
        raise DeletedPayloadError(batch.id, batch.stored.path, found.words)
