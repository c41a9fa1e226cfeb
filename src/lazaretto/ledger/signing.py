"""Takes checkpoints: signs the ledger as it is, where it extends what was signed before."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger.chain import append, newest
from lazaretto.ledger.checkpoint import (
    FILE,
    FOLDER,
    Checkpoint,
    ledger_id,
    parse_checkpoint,
    read_stored,
    signer_of,
)
from lazaretto.ledger.events import CheckpointTaken, subject_of_checkpoints
from lazaretto.ledger.note import VerifierKey, read_signing_key, require_key_name, sign_note
from lazaretto.ledger.tree import Frontier
from lazaretto.ledger.walk import walk
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TakenCheckpoint:
    """What taking a checkpoint gave.

    Attributes:
        origin: whose ledger.
        size: how many entries it covers.
        root: of the Merkle tree over them, hex.
        path: of the file, relative to the store's root.
        note: the signed text, to be kept elsewhere, too.
        verifier_key: what checks its signature; see `VerifierKey.vkey`.
        new: False where nothing had happened since the last one, which is given again.
    """

    origin: str
    size: int
    root: str
    path: str
    note: str
    verifier_key: str
    new: bool


def take_checkpoint(
    workspace: Workspace,
    private_key: bytes,
    *,
    origin: str | None = None,
    kept: Mapping[str, bytes] = MappingProxyType({}),
) -> TakenCheckpoint:
    """Signs the ledger as it is, writes the checkpoint to the store, and puts that on record.

    As a log must (C2SP), it signs nothing that contradicts what the same key signed before. Only
    the entries since the last checkpoint of this key are read; the first one reads them all.

    Args:
        workspace: whose ledger.
        private_key: Ed25519, PEM.
        origin: name of the ledger and of the key; by default `ledger_id`.
        kept: bytes by name of checkpoints kept elsewhere that this one must agree with.

    Raises:
        UsageError: the key cannot be read, the origin cannot be one, or the ledger is empty.
        LedgerError: the ledger was changed since an earlier checkpoint, or that is gone.

    Examples:
        >>> from pathlib import Path
        >>> taken = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> taken.new
        True
    """
    key = read_signing_key(private_key)
    public = VerifierKey(key.public_key().public_bytes_raw())
    if origin is not None:
        require_key_name(origin)
    paths = workspace.store.list(FOLDER)  # before the catalog's snapshot, which is then not behind
    with workspace.catalog.read() as connection:
        first = connection.scalar(sa.select(ledger.c.hash).where(ledger.c.seq == 1))
        if first is None:
            raise UsageError("the ledger is empty: there is nothing to take a checkpoint of")
        name = origin or ledger_id(first)
        last = _last_record(connection, public.vkey(name))
        if last is not None:
            _require_signed(workspace.store, last, public, kept)
        earlier = _left_behind(workspace.store, paths, last, public)
        earlier |= {where: parse_checkpoint(where, data) for where, data in kept.items()}
        # What was kept elsewhere is compared with every entry, not with the database's word.
        start = Frontier() if last is None or kept else _tree_of(last)
        tree = _extended(connection, start, earlier)
        if last is not None and _nothing_since(connection, last):
            return _taken(last, workspace.store.read(last.note), new=False)
    encoded = base64.b64encode(tree.root()).decode()
    note = sign_note(f"{name}\n{tree.size}\n{encoded}\n", name, key)
    file = workspace.store.put(f"{FOLDER}/{tree.size:012d}-{{sha256}}.txt", [note])
    event = CheckpointTaken(
        origin=name,
        size=tree.size,
        root=tree.root().hex(),
        frontier=[part.hex() for part in tree.roots],
        verifier_key=public.vkey(name),
        note=file,
    )
    with workspace.catalog.transaction() as connection:
        append(connection, event, actor=workspace.actor)
    return _taken(event, note, new=True)


def _last_record(connection: Connection, vkey: str) -> CheckpointTaken | None:
    found = newest(connection, subject_of_checkpoints(vkey), [CheckpointTaken.kind])
    if found is None:
        return None
    event = found.event
    return event if isinstance(event, CheckpointTaken) else None


def _require_signed(
    store: Store, record: CheckpointTaken, public: VerifierKey, kept: Mapping[str, bytes]
) -> None:
    """The record is the database's word: believe what this key signed, nothing else of it."""
    copies = dict(kept)
    if (data := read_stored(store, record.note.path)) is not None:
        copies[record.note.path] = data
    for where, copy in copies.items():
        found = parse_checkpoint(where, copy)
        if found.sha256 != record.note.sha256 or signer_of(found, [public]) is None:
            continue
        tree = _tree_of(record)
        if (found.size, found.root) == (tree.size, tree.root()):
            return
        raise LedgerError(
            f"the ledger's entry about the checkpoint {where} does not say what was signed: the "
            "ledger was rewritten, and is not signed"
        )
    raise LedgerError(
        f"the ledger records a checkpoint of {record.size} entries by this key, and the file "
        f"{record.note.path} in the store is gone, or another one. Give the copy kept elsewhere "
        "with --checkpoint, and find out who changed the store"
    )


def _tree_of(record: CheckpointTaken) -> Frontier:
    return Frontier(record.size, tuple(bytes.fromhex(part) for part in record.frontier))


def _nothing_since(connection: Connection, record: CheckpointTaken) -> bool:
    later = sa.select(ledger.c.seq).where(
        ledger.c.seq > record.size, ledger.c.kind != CheckpointTaken.kind
    )
    return connection.execute(later.limit(1)).first() is None


def _left_behind(
    store: Store, paths: Sequence[str], last: CheckpointTaken | None, public: VerifierKey
) -> dict[str, Checkpoint]:
    """Checkpoints by this key that are newer than the last on record, as after a crash."""
    found = {}
    for path in paths:
        named = FILE.fullmatch(path)
        if named is None or (last is not None and int(named[1]) <= last.size):
            continue
        if (data := read_stored(store, path)) is not None:
            checkpoint = parse_checkpoint(path, data)
            if signer_of(checkpoint, [public]):
                found[path] = checkpoint
    return found


def _extended(
    connection: Connection, start: Frontier, earlier: Mapping[str, Checkpoint]
) -> Frontier:
    """The tree over all entries, which every earlier checkpoint must be a part of."""
    by_size: dict[int, list[Checkpoint]] = {}
    for checkpoint in earlier.values():
        by_size.setdefault(checkpoint.size, []).append(checkpoint)
    tree = start
    for tree, _ in walk(connection, start):
        for checkpoint in by_size.pop(tree.size, []):
            if checkpoint.root != tree.root():
                raise LedgerError(
                    f"{checkpoint.where} was taken of {tree.size} other entries: the ledger was "
                    "rewritten, and is not signed. `lazaretto ledger verify` says more"
                )
    for size in by_size:
        if size > tree.size:
            raise LedgerError(
                f"{by_size[size][0].where} was taken of {size} entries, and the ledger has "
                f"{tree.size}: it was cut short, and is not signed"
            )
    return tree


def _taken(event: CheckpointTaken, note: bytes, *, new: bool) -> TakenCheckpoint:
    return TakenCheckpoint(
        origin=event.origin,
        size=event.size,
        root=event.root,
        path=event.note.path,
        note=note.decode(),
        verifier_key=event.verifier_key,
        new=new,
    )
