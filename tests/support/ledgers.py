"""What tests of the ledger share: entries, keys, and what an intruder with the database can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.chain import append
from lazaretto.ledger.events import SourceRegistered
from lazaretto.ledger.note import read_verifier_key
from lazaretto.ledger.signing import take_checkpoint
from lazaretto.sources.manifest import keygen
from lazaretto.storage import tables
from lazaretto.values import Actor, ActorType, TrustTier

if TYPE_CHECKING:
    from lazaretto.ledger.note import VerifierKey
    from lazaretto.ledger.signing import TakenCheckpoint
    from lazaretto.storage.workspace import Workspace

ANN = Actor(ActorType.HUMAN, "user:ann")


def new_key() -> tuple[bytes, VerifierKey]:
    """A private key (PEM), and what checks its signatures."""
    private, public = keygen()
    return private, read_verifier_key(public)


def write(workspace: Workspace, count: int, name: str = "vendor") -> None:
    """Appends so many entries."""
    with workspace.catalog.transaction() as connection:
        for number in range(count):
            event = SourceRegistered(f"{name}-{number}", TrustTier.REVIEWED)
            append(connection, event, actor=ANN)


def take(workspace: Workspace, private: bytes, **more: object) -> TakenCheckpoint:
    """Takes a checkpoint."""
    return take_checkpoint(workspace, private, **more)  # type: ignore[arg-type]


def rewrite(workspace: Workspace, keep: int, count: int, name: str = "other") -> None:
    """Another history from an entry on, with all hashes right: what a database alone allows."""
    with workspace.catalog.transaction() as connection:
        connection.execute(tables.ledger.delete().where(tables.ledger.c.seq > keep))
        last = connection.scalar(
            tables.ledger.select()
            .with_only_columns(tables.ledger.c.hash)
            .where(tables.ledger.c.seq == keep)
        )
        connection.execute(tables.ledger_head.delete())
        if keep:
            head = tables.ledger_head.insert().values(id=1, seq=keep, hash=last)
            connection.execute(head)
        for number in range(count):
            event = SourceRegistered(f"{name}-{number}", TrustTier.TRUSTED)
            append(connection, event, actor=ANN)
