"""Checkpoints of the ledger (c2sp.org/tlog-checkpoint): how many entries, and their root, signed.

A checkpoint is a small text. It says that at some moment the ledger had so many entries, and that
their Merkle tree had this root. It is signed with a key that is kept away from catalog and store.
Whoever has one can later be sure that the entries under it are still the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.errors import LedgerError, NotFoundError
from lazaretto.ledger.note import MAX_BYTES, find_signer, from_base64, parse_note
from lazaretto.ledger.tree import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.ledger.note import Note, VerifierKey
    from lazaretto.storage.store import Store

FOLDER = "ledger/checkpoints"
FILE = re.compile(rf"{FOLDER}/([0-9]{{12}})-[0-9a-f]{{64}}\.txt")
"""Name of a checkpoint in the store: its size, and the sha256 of its bytes."""
_SIZE = re.compile(r"0|[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint, read; `signer_of` says who signed it.

    Attributes:
        where: the file's name: a path in the store, or as the user gave it.
        origin: whose ledger.
        size: how many entries.
        root: of the Merkle tree over them, 32 bytes.
        note: the signed text.
        sha256: of the file's bytes, hex.
    """

    where: str
    origin: str
    size: int
    root: bytes
    note: Note
    sha256: str


def parse_checkpoint(where: str, data: bytes) -> Checkpoint:
    """Reads a checkpoint; its signature is not checked yet.

    Args:
        where: the file's name, for messages.
        data: its bytes.

    Raises:
        LedgerError: it is none.
    """
    try:
        note = parse_note(data)
    except LedgerError as error:
        raise LedgerError(f"{where} is no checkpoint: {error}") from None
    lines = note.text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise LedgerError(f"{where} is no checkpoint: it has not origin, size and root on 3 lines")
    origin, size, encoded = lines[:3]
    root = from_base64(encoded)
    if not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
        raise LedgerError(f"{where} is no checkpoint: its size or its root cannot be read")
    return Checkpoint(where, origin, int(size), root, note, hashlib.sha256(data).hexdigest())


def signer_of(checkpoint: Checkpoint, keys: Sequence[VerifierKey]) -> str | None:
    """Which of the known keys signed a checkpoint.

    Returns:
        Name of the key; None: none of them did.

    Raises:
        LedgerError: the signature by a known key is wrong, or the key is another ledger's.
    """
    try:
        name = find_signer(checkpoint.note, keys)
    except LedgerError as error:
        raise LedgerError(f"checkpoint {checkpoint.where}: {error}") from None
    if name not in (None, checkpoint.origin):
        raise LedgerError(
            f"checkpoint {checkpoint.where} is of {checkpoint.origin!r}, and signed under the name "
            f"{name!r}"
        )
    return name


def ledger_id(first_hash: str) -> str:
    """Id of a ledger, from its first entry's hash (hex): the origin of its checkpoints."""
    return f"urn:lazaretto:ledger:{first_hash}"


def stored_checkpoints(store: Store) -> dict[str, bytes]:
    """Every checkpoint in a store: bytes by path.

    Raises:
        SystemFaultError: the store cannot be read, or one of them is far too large.
    """
    found = {path: read_stored(store, path) for path in store.list(FOLDER)}
    return {path: data for path, data in found.items() if data is not None}


def read_stored(store: Store, path: str) -> bytes | None:
    """Bytes of one checkpoint of a store; None: it is not there, or its name is no checkpoint's.

    Raises:
        SystemFaultError: the store cannot be read, or it is far too large.
    """
    if not FILE.fullmatch(path):
        return None
    try:
        return store.read_unverified(path, MAX_BYTES)
    except NotFoundError:
        return None
