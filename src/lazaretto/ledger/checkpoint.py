"""Signed checkpoints of the ledger: its head at a moment, kept in the store as a DSSE envelope."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import rfc8785
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from lazaretto.errors import LedgerError, UsageError
from lazaretto.redact import error_line
from lazaretto.storage.tables import ledger_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace

FOLDER = "ledger/checkpoints"
PAYLOAD_TYPE = "application/vnd.lazaretto.checkpoint+json"


def checkpoint(workspace: Workspace, private_key: bytes) -> str:
    """Signs the ledger's head and writes it to the store.

    Whoever later rewrites the whole chain cannot rewrite this, as long as the key (and, to notice
    that checkpoints vanish, a copy of them) is kept away from the database.

    Args:
        workspace: whose ledger.
        private_key: Ed25519, PEM.

    Returns:
        URI of the checkpoint.

    Raises:
        UsageError: the key cannot be read, or the ledger is still empty.
    """
    try:
        key = load_pem_private_key(private_key, password=None)
    except (ValueError, TypeError):
        raise UsageError("the checkpoint key is not readable: give an Ed25519 key, PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the checkpoint key is not Ed25519")
    with workspace.catalog.read() as connection:
        head = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one_or_none()
    if head is None:
        raise UsageError("the ledger is empty: there is nothing to take a checkpoint of")
    body = {
        "seq": head.seq,
        "hash": head.hash,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    envelope = Envelope(rfc8785.dumps(body), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key))
    path = f"{FOLDER}/{head.seq:012d}-{head.hash[:16]}.json"
    workspace.store.put(path, [json.dumps(envelope.to_dict()).encode()])
    return workspace.store.uri(path)


def read_checkpoints(store: Store, keys: Sequence[bytes] = ()) -> dict[int, str]:
    """Reads all checkpoints of a store.

    Args:
        store: where they are.
        keys: public keys (PEM), one of which signed each; none: signatures are not checked.

    Returns:
        The entry's hash by its sequence number.

    Raises:
        LedgerError: one cannot be read, is signed by none of the keys, or contradicts another.
    """
    trusted: list[Key] = [SSlibKey.from_crypto(load_pem_public_key(key)) for key in keys]
    marks: dict[int, str] = {}
    for path in store.list(FOLDER):
        try:
            envelope = Envelope.from_dict(json.loads(store.read_unverified(path, 1 << 20)))
            if trusted:
                envelope.verify(trusted, 1)
            body = json.loads(envelope.payload)
            seq, digest = int(body["seq"]), str(body["hash"])
        except VerificationError:
            raise LedgerError(f"checkpoint {path} is signed by none of the given keys") from None
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"checkpoint {path} cannot be read: {error_line(error)}") from error
        if marks.setdefault(seq, digest) != digest:
            raise LedgerError(f"two checkpoints of entry {seq} disagree: {path} is one of them")
    return marks
