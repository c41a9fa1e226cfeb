"""Where the records of a case came from: who delivered them, who says so, and what was done since.

All of it is read from the ledger; the catalog's rows must say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.chain import entry as entry_of
from lazaretto.quarantine.cases import find_case
from lazaretto.received import find_batch
from lazaretto.sources.recorded import read_source
from lazaretto.sources.standing import regraded
from lazaretto.values import ActorType, SignatureStatus, TrustTier

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.ledger.chain import Entry
    from lazaretto.sources.recorded import Source
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor, Signature

MOST_ENTRIES = 50
_AIRFLOW = "airflow:"


@dataclass(frozen=True, slots=True)
class Line:
    """A ledger entry about a batch, in words.

    Attributes:
        seq: its number.
        at: when it was made, UTC.
        kind: of the event, such as ``batch_received``.
        words: what that kind of event says.
        actor: who acted.
    """

    seq: int
    at: datetime
    kind: str
    words: str
    actor: Actor


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the records of a case came from; what the source says of itself is not proven by it.

    Attributes:
        batch: its id.
        source: who delivered it.
        trust_tier: of the source when it was received.
        trust_tier_now: of the source now.
        uri: where it was delivered, without credentials.
        format: of the delivered file.
        rows: records.
        received_at: when it was received, UTC.
        received_by: who received it.
        collected_from: start of the time that its records are from, as the manifest says.
        collected_to: end of it.
        signed: what became of the check of its manifest, in words.
        signature: the same as a code, by what is known of the key now.
        key_id: of the key that signed; None: it came without a signature.
        key_revoked_at: from when that key is refused; None: it is not revoked.
        opened_by: who judged the batch, or searched the training set, so that the case was opened.
        run: DAG and task in Airflow that opened the case, ``<dag>.<task>``; None: no task did.
        entries: of the ledger about the batch, the newest first, at most `MOST_ENTRIES`.
        more: whether there are older ones.
    """

    batch: str
    source: str
    trust_tier: TrustTier
    trust_tier_now: TrustTier
    uri: str
    format: str
    rows: int
    received_at: datetime
    received_by: Actor
    collected_from: datetime | None
    collected_to: datetime | None
    signed: str
    signature: SignatureStatus
    key_id: str | None
    key_revoked_at: datetime | None
    opened_by: Actor
    run: str | None
    entries: list[Line]
    more: bool


def provenance_of(workspace: Workspace, case: str) -> Provenance:
    """Where the records of a case came from.

    Raises:
        NotFoundError: no such case.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> found = provenance_of(workspace, case)
        >>> found.source, found.signed, found.entries[-1].kind
        ('vendor', 'it came without a signed manifest', 'batch_received')
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        received = find_batch(connection, row.batch)
        source = read_source(connection, received.source)
        opened = entry_of(connection, row.seq).actor
        told = entries(
            connection, subject=f"batch:{row.batch}", limit=MOST_ENTRIES + 1, newest_first=True
        )
        lines = [_line(entry) for entry in told]
        by = entry_of(connection, received.seq).actor
    event = received.event
    revoked = _revoked(source, event.signature.key_id)
    return Provenance(
        batch=received.id,
        source=received.source,
        trust_tier=event.trust_tier,
        trust_tier_now=source.trust_tier,
        uri=event.uri,
        format=event.format,
        rows=event.rows,
        received_at=event.received_at,
        received_by=by,
        collected_from=event.collected_from,
        collected_to=event.collected_to,
        signed=_signed(event.signature, revoked, event.received_at),
        signature=regraded(event, source.keys).status,
        key_id=event.signature.key_id,
        key_revoked_at=revoked,
        opened_by=opened,
        run=_run(opened),
        entries=lines[:MOST_ENTRIES],
        more=len(lines) > MOST_ENTRIES,
    )


def words_of(entry: Entry) -> str:
    """What an entry's kind of event says: the first line of its description."""
    first = (type(entry.event).__doc__ or "").strip().partition("\n")[0]
    return first or entry.kind.replace("_", " ")


def _line(entry: Entry) -> Line:
    return Line(entry.seq, entry.at, entry.kind, words_of(entry), entry.actor)


def _revoked(source: Source, key: str | None) -> datetime | None:
    return next((known.revoked_at for known in source.keys if known.key_id == key), None)


def _signed(signature: Signature, revoked: datetime | None, received_at: datetime) -> str:
    if signature.status is SignatureStatus.UNSIGNED:
        return "it came without a signed manifest"
    if signature.status is not SignatureStatus.VERIFIED:
        return f"the check of its manifest ended in {signature.status.value}"
    if revoked is not None and revoked <= received_at:
        return f"signed with a key that is revoked from {revoked:%Y-%m-%d %H:%M}Z on: not verified"
    if revoked is not None:
        return f"signed and valid when it came; its key is revoked from {revoked:%Y-%m-%d} on"
    return "signed, and the signature is valid"


def _run(actor: Actor) -> str | None:
    """Task that acted; only the service's own word counts, so no person can be named like one."""
    if actor.type is ActorType.SERVICE and actor.id.startswith(_AIRFLOW):
        return actor.id.removeprefix(_AIRFLOW)
    return None
