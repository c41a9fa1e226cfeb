"""Signed notes (c2sp.org/signed-note): a text, and lines that sign it with Ed25519.

A key of a note has a name. PEM files have none, so a key read from one is taken for whatever name
a signature line gives, and the line's key id must still be that of this key under this name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from lazaretto.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 1 << 16
_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_SIGNATURE_BYTES = 64
_MAX_SIGNATURES = 64
_DASH = "\N{EM DASH} "
_MAX_NAME = 200
_NAME = re.compile(rf"[^\s+\x00-\x1f\x7f]{{1,{_MAX_NAME}}}")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that signatures of notes are checked with.

    Attributes:
        public: the Ed25519 key, 32 bytes (RFC 8032).
        name: of the key; None: read from a PEM file, where keys have no name.
    """

    public: bytes
    name: str | None = None

    def key_id(self, name: str) -> bytes:
        """Id of the key under a name: ``sha256(name || 0x0A || 0x01 || public)[:4]``."""
        named = name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(named).digest()[:_KEY_ID_BYTES]

    def vkey(self, name: str) -> str:
        """The key under a name as one line of text, as other tools for signed notes take it."""
        return "+".join(
            (name, self.key_id(name).hex(), base64.b64encode(_ED25519 + self.public).decode())
        )


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: of the key.
        key_id: of the key under this name, 4 bytes.
        signature: what follows it.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note, read; nothing in it is verified yet.

    Attributes:
        text: what is signed, with its last line feed.
        signatures: at least one.
    """

    text: str
    signatures: tuple[NoteSignature, ...]


def read_verifier_key(data: bytes) -> VerifierKey:
    """Reads a public key: PEM, or a verifier key such as `VerifierKey.vkey` writes.

    Raises:
        UsageError: it is neither, or not Ed25519.

    Examples:
        >>> from pathlib import Path
        >>> len(read_verifier_key(Path("vendor.pub").read_bytes()).public)
        32
    """
    if b"-----BEGIN" in data:
        try:
            key = load_pem_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageError("this is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
        if not isinstance(key, Ed25519PublicKey):
            raise UsageError("checkpoints are signed with Ed25519; this is a key of another kind")
        return VerifierKey(key.public_bytes_raw())
    name, _, rest = data.decode("utf-8", "replace").strip().partition("+")
    key_id, _, material = rest.partition("+")
    raw = from_base64(material)
    if not _NAME.fullmatch(name) or raw[:1] != _ED25519 or len(raw) != 33:
        raise UsageError(
            "this is no key for checkpoints: give a public key in PEM (Ed25519), or a verifier key "
            "such as `lazaretto ledger checkpoint` prints (NAME+ID+KEY)"
        )
    found = VerifierKey(raw[1:], name)
    if found.key_id(name).hex() != key_id:
        raise UsageError(f"the verifier key's id {key_id!r} is not that of its key and name")
    return found


def read_signing_key(private_pem: bytes) -> Ed25519PrivateKey:
    """Reads a private key; its text never enters an error.

    Raises:
        UsageError: it cannot be read, or is not Ed25519.
    """
    try:
        key = load_pem_private_key(private_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError("the checkpoint key is not readable: give an Ed25519 key, PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the checkpoint key is not Ed25519")
    return key


def require_key_name(name: str) -> None:
    """Checks that a name can stand on a signature line.

    Raises:
        UsageError: it is empty, too long, or holds blanks, control characters or ``+``.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a key: 1 to {_MAX_NAME} characters, no blank and no '+'"
        )


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> bytes:
    """Signs a text under a key's name; the same text, name and key give the same bytes.

    Args:
        text: lines, the last one with its line feed.
        name: of the key.
        key: Ed25519.
    """
    public = VerifierKey(key.public_key().public_bytes_raw())
    signature = base64.b64encode(public.key_id(name) + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {signature}\n".encode()


def parse_note(data: bytes) -> Note:
    """Reads a signed note; no signature is checked yet.

    Raises:
        LedgerError: it is none, or larger than 64 KiB.
    """
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise LedgerError("it is not UTF-8") from None
    if len(data) > MAX_BYTES or _CONTROLS.search(whole):
        raise LedgerError(f"it has more than {MAX_BYTES:,} bytes, or control characters")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not text or not lines.endswith("\n"):
        raise LedgerError("it is not a text, an empty line and lines that sign it")
    signing = lines.removesuffix("\n").split("\n")
    if len(signing) > _MAX_SIGNATURES:
        raise LedgerError(f"it has more than {_MAX_SIGNATURES} signatures")
    return Note(f"{text}\n", tuple(_signature(line) for line in signing))


def find_signer(note: Note, keys: Sequence[VerifierKey]) -> str | None:
    """Which of the known keys signed a note.

    Returns:
        The name under which it did; None: none of them signed it. Lines of unknown keys are
        ignored, as the specification asks.

    Raises:
        LedgerError: a line names a known key, and its signature is not of this text.
    """
    signer = None
    for line in note.signatures:
        for key in keys:
            if key.name not in (None, line.name) or key.key_id(line.name) != line.key_id:
                continue
            try:
                public = Ed25519PublicKey.from_public_bytes(key.public)
                public.verify(line.signature, note.text.encode())
            except InvalidSignature:
                raise LedgerError(
                    f"its signature by {line.name} is wrong: the text was changed after signing, "
                    "or the signature is forged"
                ) from None
            signer = line.name
    return signer


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = from_base64(encoded)
    if not line.startswith(_DASH) or not _NAME.fullmatch(name) or len(raw) <= _KEY_ID_BYTES:
        raise LedgerError("one of its lines after the empty one is no signature")
    return NoteSignature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def from_base64(text: str) -> bytes:
    """Standard base64, in the one form that an encoder writes; empty where it is not that."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return data if base64.b64encode(data).decode() == text else b""
