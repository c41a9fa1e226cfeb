"""Proofs that need no catalog: an entry is under a checkpoint; a checkpoint extends an older one.

A proof is a JSON document. `lazaretto.ledger.proving` makes it from the catalog; an auditor who
holds no more than a checkpoint, or the key that signs them, checks it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger.checkpoint import Checkpoint, parse_checkpoint, signer_of
from lazaretto.ledger.note import from_base64
from lazaretto.ledger.report import SignatureCheck
from lazaretto.ledger.tree import is_consistent, leaf_hash, root_by_inclusion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.ledger.note import VerifierKey

_Hashes = Annotated[list[str], Field(max_length=128)]


class _Edge(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EntryProof(_Edge):
    """An entry, and why it is under a checkpoint.

    Attributes:
        type: of the document.
        entry: what is hashed of the entry: ``seq``, ``at``, ``kind``, ``actor``, ``payload`` and
            ``prev``.
        hashes: of the subtrees beside its way to the root (RFC 6962, section 2.1.1), base64.
        checkpoint: the signed text.
    """

    type: Literal["urn:lazaretto:ledger-inclusion:1"] = "urn:lazaretto:ledger-inclusion:1"
    entry: dict[str, Any]
    hashes: _Hashes
    checkpoint: str


class ExtensionProof(_Edge):
    """Why a checkpoint's ledger begins with all entries of an older checkpoint.

    Attributes:
        type: of the document.
        older: the older checkpoint, the signed text.
        hashes: of the subtrees that join both (RFC 6962, section 2.1.2), base64.
        checkpoint: the newer one.
    """

    type: Literal["urn:lazaretto:ledger-consistency:1"] = "urn:lazaretto:ledger-consistency:1"
    older: str
    hashes: _Hashes
    checkpoint: str


Proof: TypeAlias = EntryProof | ExtensionProof


@dataclass(frozen=True, slots=True)
class ProofReport:
    """Whether a proof holds, and who vouches for its checkpoint.

    Attributes:
        ok: it fits its checkpoint, and the checkpoint is vouched for by a key, or by one of the
            auditor's own checkpoints.
        undecided: it fits, and nobody vouches: neither keys nor checkpoints were given.
        what: what it shows, in words.
        problem: why it shows nothing; None: it does.
        origin: whose ledger.
        size: how many entries the checkpoint covers.
        signature: whether one of the given keys signed the checkpoint.
        entry: the proven entry, with its hash; None for a proof of another kind.
    """

    ok: bool
    undecided: bool
    what: str
    problem: str | None
    origin: str
    size: int
    signature: SignatureCheck
    entry: dict[str, Any] | None = None


def read_proof(data: bytes) -> Proof:
    """Reads a proof; nothing in it is checked yet.

    Raises:
        UsageError: it is none.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.ledger.signing import take_checkpoint
        >>> taken = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> from lazaretto.ledger.proving import prove_entry
        >>> proof = prove_entry(workspace, 2, taken.path, taken.note.encode())
        >>> read_proof(proof.model_dump_json().encode()) == proof
        True
    """
    tagged = Annotated[EntryProof | ExtensionProof, Field(discriminator="type")]
    reader: TypeAdapter[Proof] = TypeAdapter(tagged)
    try:
        return reader.validate_json(data)
    except ValidationError:
        raise UsageError("this is no proof such as `lazaretto ledger prove` writes") from None


def check_proof(
    proof: Proof,
    *,
    keys: Sequence[VerifierKey] = (),
    kept: Mapping[str, bytes] = MappingProxyType({}),
) -> ProofReport:
    """Checks a proof without any catalog.

    Args:
        proof: as `read_proof` gave it.
        keys: whose signature on the proof's checkpoints counts.
        kept: bytes by name of checkpoints that the auditor holds; the proof must be about each.

    Raises:
        LedgerError: a checkpoint cannot be read.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.ledger.signing import take_checkpoint
        >>> taken = take_checkpoint(workspace, Path("vendor.key").read_bytes())
        >>> from lazaretto.ledger.note import read_verifier_key
        >>> from lazaretto.ledger.proving import prove_entry
        >>> proof = prove_entry(workspace, 2, taken.path, taken.note.encode())
        >>> check_proof(proof, keys=[read_verifier_key(Path("vendor.pub").read_bytes())]).ok
        True
    """
    proven = _checkpoints(proof)
    found = proven[-1]
    mine = [parse_checkpoint(where, data) for where, data in kept.items()]
    signature, problem = _signature(proven, keys)
    problem = misfit(proof) or problem or _stranger(proven, mine)
    undecided = problem is None and not keys and not mine
    what = f"the first {proven[0].size} of {found.size} entries are the same"
    entry = None
    if isinstance(proof, EntryProof):
        what = f"entry {proof.entry.get('seq')} is among the first {found.size}"
        entry = proof.entry if problem else {**proof.entry, "hash": _leaf(proof).hex()}
    return ProofReport(
        ok=problem is None and not undecided,
        undecided=undecided,
        what=what,
        problem=problem,
        origin=found.origin,
        size=found.size,
        signature=signature,
        entry=entry,
    )


def misfit(proof: Proof) -> str | None:
    """Why a proof does not fit its checkpoints, whoever signed them; None: it does.

    Raises:
        LedgerError: a checkpoint cannot be read.
    """
    older, newer = (proven := _checkpoints(proof))[0], proven[-1]
    try:
        hashes = [from_base64(text) for text in proof.hashes]
        if isinstance(proof, ExtensionProof):
            heads = older.size, older.root, newer.size, newer.root
            fits = older.origin == newer.origin and is_consistent(*heads, hashes)
            return None if fits else "the newer checkpoint does not extend the older one"
        seq = proof.entry.get("seq")
        if not isinstance(seq, int):
            return "its entry has no number"
        fits = root_by_inclusion(_leaf(proof), seq - 1, newer.size, hashes) == newer.root
    except LedgerError as error:
        return str(error)
    return None if fits else "its entry is not among those that the checkpoint was taken of"


def _checkpoints(proof: Proof) -> list[Checkpoint]:
    """The checkpoints in a proof, the newest last."""
    named = {"the proof's checkpoint": proof.checkpoint}
    if isinstance(proof, ExtensionProof):
        named = {"the proof's older checkpoint": proof.older} | named
    return [parse_checkpoint(where, text.encode()) for where, text in named.items()]


def _signature(
    proven: Sequence[Checkpoint], keys: Sequence[VerifierKey]
) -> tuple[SignatureCheck, str | None]:
    if not keys:
        return SignatureCheck.NOT_CHECKED, None
    try:
        unsigned = [c.where for c in proven if signer_of(c, keys) is None]
    except LedgerError as error:
        return SignatureCheck.UNKNOWN_KEY, str(error)
    if unsigned:
        return SignatureCheck.UNKNOWN_KEY, f"{unsigned[0]} is signed by none of the given keys"
    return SignatureCheck.VERIFIED, None


def _stranger(proven: Sequence[Checkpoint], mine: Sequence[Checkpoint]) -> str | None:
    """What is not about the auditor's own checkpoints proves nothing to the auditor."""
    heads = {(c.origin, c.size, c.root) for c in proven}
    for own in mine:
        if (own.origin, own.size, own.root) not in heads:
            newest = proven[-1]
            about = f"a checkpoint of {newest.origin} with {newest.size} entries"
            return f"it is not about {own.where}, but about {about}"
    return None


def _leaf(proof: EntryProof) -> bytes:
    try:
        return leaf_hash(rfc8785.dumps(proof.entry))
    except rfc8785.CanonicalizationError as error:
        raise LedgerError(f"its entry has no canonical form: {error}") from error
