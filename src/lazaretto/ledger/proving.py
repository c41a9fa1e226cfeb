"""Makes proofs for auditors from the catalog; each is checked before it is given out."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import LedgerError, NotFoundError, UsageError
from lazaretto.ledger.chain import row_hash
from lazaretto.ledger.checkpoint import Checkpoint, parse_checkpoint, stored_checkpoints
from lazaretto.ledger.proof import EntryProof, ExtensionProof, Proof, misfit
from lazaretto.ledger.tree import Leaves, consistency_ranges, inclusion_ranges, subtree_roots
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace


def newest_checkpoint(store: Store) -> tuple[str, bytes]:
    """Name and bytes of the checkpoint in a store that covers most entries.

    Raises:
        NotFoundError: there is none.
        LedgerError: one cannot be read.
    """
    found = stored_checkpoints(store)
    if not found:
        raise NotFoundError(
            "the store has no checkpoint: take one with `lazaretto ledger checkpoint --key FILE`"
        )
    where = max(found, key=lambda path: (parse_checkpoint(path, found[path]).size, path))
    return where, found[where]


def prove_entry(workspace: Workspace, seq: int, where: str, checkpoint: bytes) -> EntryProof:
    """Proves that an entry is under a checkpoint. Reads the hashes of all entries under it.

    Args:
        workspace: whose ledger.
        seq: number of the entry.
        where: name of the checkpoint.
        checkpoint: its bytes.

    Raises:
        NotFoundError: there is no such entry.
        UsageError: the checkpoint is older than the entry.
        LedgerError: the entry was edited, or the checkpoint cannot be read, or was not taken of
            this ledger as it is.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.ledger.signing import take_checkpoint
        >>> taken = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> prove_entry(workspace, 2, taken.path, taken.note.encode()).entry["seq"]
        2
    """
    found = parse_checkpoint(where, checkpoint)
    with workspace.catalog.read() as connection:
        row = connection.execute(sa.select(ledger).where(ledger.c.seq == seq)).one_or_none()
        if row is None:
            raise NotFoundError(f"the ledger has no entry {seq}")
        if seq > found.size:
            raise UsageError(
                f"{where} covers {found.size} entries, not entry {seq}: take a new one with "
                "`lazaretto ledger checkpoint --key FILE`"
            )
        hashes = _subtrees(connection, found, inclusion_ranges(seq - 1, found.size))
        if row_hash(row) != row.hash:
            raise LedgerError(f"entry {seq} was edited: its hash does not match")
    entry = {
        "seq": row.seq,
        "at": row.at,
        "kind": row.kind,
        "actor": {"type": row.actor_type, "id": row.actor_id},
        "payload": json.loads(row.payload),
        "prev": row.prev,
    }
    proof = EntryProof(entry=entry, hashes=hashes, checkpoint=checkpoint.decode())
    _require_fit(proof, found)
    return proof


def prove_extension(
    workspace: Workspace, older: tuple[str, bytes], newer: tuple[str, bytes]
) -> ExtensionProof:
    """Proves that a checkpoint extends an older one. Reads the hashes of all entries under it.

    Args:
        workspace: whose ledger.
        older: name and bytes of the older checkpoint.
        newer: name and bytes of the newer one.

    Raises:
        UsageError: the older one covers more entries, or none.
        LedgerError: one cannot be read, or was not taken of this ledger as it is.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.ledger.signing import take_checkpoint
        >>> taken = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> later = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> proof = prove_extension(
        ...     workspace, (taken.path, taken.note.encode()), (later.path, later.note.encode())
        ... )
    """
    before, found = parse_checkpoint(*older), parse_checkpoint(*newer)
    if not 0 < before.size <= found.size:
        raise UsageError(
            f"{before.where} covers {before.size} entries, and {found.where} {found.size}: an "
            "older checkpoint covers fewer"
        )
    with workspace.catalog.read() as connection:
        hashes = _subtrees(connection, found, consistency_ranges(before.size, found.size))
    proof = ExtensionProof(older=older[1].decode(), hashes=hashes, checkpoint=newer[1].decode())
    _require_fit(proof, found)
    return proof


def _require_fit(proof: Proof, found: Checkpoint) -> None:
    problem = misfit(proof)
    if problem is not None:
        raise LedgerError(
            f"{found.where} was not taken of this ledger as it is: {problem}. "
            "`lazaretto ledger verify` says more"
        )


def _subtrees(connection: Connection, found: Checkpoint, ranges: Sequence[Leaves]) -> list[str]:
    query = sa.select(ledger.c.hash).where(ledger.c.seq <= found.size).order_by(ledger.c.seq)
    rows = connection.execute(query.execution_options(yield_per=1000))
    try:
        roots = subtree_roots((bytes.fromhex(row.hash) for row in rows), ranges)
    except (LedgerError, ValueError) as error:
        raise LedgerError(
            f"{found.where} was not taken of this ledger as it is: {error}"
        ) from error
    return [base64.b64encode(root).decode() for root in roots]
