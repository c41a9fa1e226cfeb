"""Receive: authenticate a delivery, and keep an immutable copy. Long: one way for all deliveries.

From then on it is a batch. A delivery that was kept goes the same way again in another workspace.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.addresses import MANIFEST_SUFFIX
from lazaretto.batch import Decoded, batch_id, decode
from lazaretto.batch._delivery import (
    Copied,
    blocks,
    copy_bytes,
    copy_delivery,
    envelope_beside,
    public_uri,
    read_envelope,
    require_arrived,
)
from lazaretto.batch._files import file_name
from lazaretto.batch._format import format_by_name
from lazaretto.batch._places import check_address, places_for
from lazaretto.batch._several import one_address
from lazaretto.dataset.declared import wanted_columns
from lazaretto.errors import DeliveryError, NotFoundError
from lazaretto.folders import working_folder
from lazaretto.ledger.chain import append
from lazaretto.ledger.deletions import delivery_deleted
from lazaretto.ledger.events import BatchReceived, DeliveryRefused
from lazaretto.ledger.state import record
from lazaretto.policy import Limits, Sources
from lazaretto.policy.effective import effective_settings
from lazaretto.received import Received, changes, on_record
from lazaretto.stages.replay import received_before
from lazaretto.stages.signed_bytes import require_signed
from lazaretto.storage import tables
from lazaretto.text import excerpt
from lazaretto.values import BatchRef, Column, Signature, SignatureStatus, TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.policy import Policy
    from lazaretto.sources.manifest import Manifest
    from lazaretto.sources.recorded import Source
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace

_STATUS = {
    "unknown_key": SignatureStatus.UNKNOWN_KEY,
    "expired_key": SignatureStatus.EXPIRED_KEY,
    "revoked_key": SignatureStatus.REVOKED_KEY,
    "bad_signature": SignatureStatus.INVALID,
    "bad_envelope": SignatureStatus.INVALID,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery that was received before, as it was kept.

    Attributes:
        store: where its files are.
        event: what is on record of its receipt.
    """

    store: Store
    event: BatchReceived

    def copy(self, target: Path, limits: Limits) -> Copied:
        """Copies it to this machine, as `copy_delivery` copied it when it came."""
        event = self.event
        with self.store.open(event.delivered) as file:
            digest = copy_bytes(file, target, limits, event.uri)
        # The name of the kept file ends with the format: as the delivery's name said it, or, where
        # that said nothing, as it was found out.
        suffix = event.delivered.path.partition(f"{event.delivered.sha256}.")[2]
        named = suffix.endswith(".tar") or format_by_name(file_name(event.uri)) == suffix
        return Copied(digest, suffix if named else None)


@dataclass(slots=True)
class _Attempt:
    """A delivery and what is known of it so far, which goes on record when it is refused."""

    place: str
    uri: str
    source: str
    manifest: bytes | str | Path | None
    beside: bool
    now: datetime
    kept: Kept | None = None
    decode: Callable[..., Decoded] = decode
    signature: Signature = field(default_factory=lambda: Signature(SignatureStatus.UNSIGNED))
    file_digest: str | None = None


def receive(
    workspace: Workspace,
    uri: str | Path | Sequence[str | Path],
    source: str,
    *,
    manifest: bytes | str | Path | None = None,
    beside: bool = False,
    policy: Policy | None = None,
    places_required: bool = False,
    now: datetime | None = None,
) -> BatchRef:
    """Authenticates a delivery, copies its bytes into the store and puts both on record.

    The bytes are copied once, checked against the manifest, and only that copy is decoded: what is
    checked is what is kept. It is decoded once, in a process with limits, into the canonical copy
    that every later stage reads. Columns of CSV and JSON Lines get the types of the policy's
    contract, else of its dataset. A column that holds what is not of its type is kept as if no type
    were said, which is on record; the gate then holds the batch.

    Receiving the same content from the same place again gives the same batch; the same content from
    another place is a replay. So are the same bytes that were read with other types before; from
    the same place, they are a new batch unless the old one was admitted. Where retention deleted
    its records, they stay deleted, and what was decided stands.

    Args:
        workspace: catalog and store.
        uri: the delivery: path or URI of one file, of a folder of images or part files, or of
            several files as ``drop/2024-*.csv`` or ``drop/{monday.csv,tuesday.csv}``; or a list of
            the files that are one delivery. In one of the policy's `sources.places`. Without
            `places_required` also any regular file of this machine; but where the policy names
            places, the gate holds a batch that came from none of them.
        source: name of a registered source.
        manifest: DSSE envelope: its bytes, or a path or URI of it, to which the same places apply;
            None for an unsigned delivery. It is read after the source is known.
        beside: where no manifest is named, take the file that lies beside the delivery (of a list:
            beside the folder that all of it lies in) under its name and ``.manifest.json``, if
            there is one.
        policy: says whether a signature is required, from where deliveries come, and the limits;
            default: a policy's defaults.
        places_required: refuse to work by a policy that names no places. For callers that pass on
            an address that somebody else chose; a person at a keyboard could read the file anyway.
        now: time of receipt; default the clock.

    Returns:
        The batch's identity and whereabouts.

    Raises:
        DeliveryError: the delivery is refused, which is on record; ``code`` says why:
            ``unknown_source``, ``revoked_source``, ``outside_places``, ``chained_address``,
            ``unknown_scheme``, ``bad_address``, ``link``, ``not_a_regular_file``, ``redirected``,
            ``unsigned``, ``digest_mismatch``, ``row_count_mismatch``, ``replay``, or a code of
            `verify_manifest` or `lazaretto.batch.decode`.
        UsageError: the policy names no places, and `places_required`; or its contract
            cannot be loaded.
        ChangedDatasetError: the dataset's table is not the one that is on record.
        ChangedFileError: it was received before, and its copy in the store was changed since.
        NotArrivedError: the delivery or its manifest is not there (yet). Nothing goes on record.
        SystemFaultError: store, catalog, network or this machine fail. Nothing goes on record.

    Examples:
        >>> batch = receive(workspace, "wednesday.parquet", "vendor", policy=policy)
        >>> batch.rows
        60
    """
    at = now or datetime.now(UTC)
    place = one_address(uri)
    attempt = _Attempt(place, public_uri(place), source, manifest, beside, at)
    return _on_record(workspace, attempt, policy, places_required=places_required)


def receive_again(
    workspace: Workspace, kept: Kept, policy: Policy, *, envelope: bytes | None
) -> BatchRef:
    """Receives a kept delivery in another workspace, as if it came there when it came here.

    Address, source, manifest, limits and types are judged by the policy; only the bytes come from
    where they were kept.

    Args:
        workspace: another one, which knows the source.
        kept: the delivery.
        policy: as of `receive`.
        envelope: its manifest; None for an unsigned delivery.

    Raises:
        DeliveryError: as `receive`.
        ChangedFileError: what was kept is gone or was changed.
        SystemFaultError: a store or the catalog fails.
    """
    event = kept.event
    attempt = _Attempt(event.uri, event.uri, event.source, envelope, False, event.received_at, kept)
    return _on_record(workspace, attempt, policy, places_required=False)


def receive_ours(
    workspace: Workspace, path: Path, source: str, policy: Policy, *, envelope: bytes
) -> BatchRef:
    """Receives a file that this process wrote of records that were received before.

    All is judged as in `receive`, but it is decoded in this process: its bytes are no stranger's.

    Args:
        workspace: another one, which knows the source.
        path: the file.
        source: name of the source.
        policy: as of `receive`.
        envelope: its manifest.

    Raises:
        DeliveryError: as `receive`.
        SystemFaultError: a store or the catalog fails.
    """
    place, now = str(path), datetime.now(UTC)
    # Here: who receives what others send need not load what the box loads.
    from lazaretto.batch._here import decode_here

    attempt = _Attempt(place, public_uri(place), source, envelope, False, now, decode=decode_here)
    return _on_record(workspace, attempt, policy, places_required=False)


def _on_record(
    workspace: Workspace, attempt: _Attempt, policy: Policy | None, *, places_required: bool
) -> BatchRef:
    """Receives; a refusal goes on record."""
    try:
        return _receive(workspace, attempt, policy, places_required=places_required)
    except DeliveryError as error:
        refusal = DeliveryRefused(
            source=excerpt(attempt.source, 255),
            uri=attempt.uri,
            code=error.code,
            reason=str(error),
            signature=attempt.signature,
            file_digest=attempt.file_digest,
        )
        with workspace.catalog.transaction() as connection:
            append(connection, refusal, actor=workspace.actor)
        raise


def _receive(
    workspace: Workspace, attempt: _Attempt, policy: Policy | None, *, places_required: bool
) -> BatchRef:
    rules = policy.sources if policy else Sources()
    limits = policy.limits if policy else Limits()
    source = _known_source(workspace, attempt)
    places = places_for(policy, *source.names, required=places_required)
    check_address(attempt.place, places)
    required = rules.require_signature
    if policy is not None:
        settings = effective_settings(policy, source.names, source.trust_tier)
        required = settings.require_signature
    envelope = read_envelope(attempt.manifest, places)
    if envelope is None and attempt.beside:
        envelope = envelope_beside(attempt.place, places)
    if envelope is None and required and attempt.kept is None:
        # What is not there yet may still come with its manifest: that is no refusal.
        require_arrived(attempt.place, places)
    stated = _authenticate(attempt, envelope, source, rules, required=required)
    with working_folder() as folder:
        copy = folder / "data"
        if attempt.kept is None:
            copied = copy_delivery(attempt.place, copy, limits, places)
        else:
            copied = attempt.kept.copy(copy, limits)
        attempt.file_digest, kind = copied.sha256, copied.format
        # Which files of a kept folder are signed was compared when it came.
        if stated is not None and (attempt.kept is None or stated.files is None):
            require_signed(stated, copied, attempt.uri)
        batch = attempt.decode(
            copy,
            folder,
            name=attempt.uri,
            format=kind,
            limits=limits,
            wanted=replace(wanted_columns(workspace, policy, kind), lenient=True),
        )
        digest, rows = batch.digest, batch.rows
        if stated is not None and stated.rows is not None and stated.rows != rows:
            raise DeliveryError(
                f"{attempt.uri} has {rows} records, its manifest says {stated.rows}",
                code="row_count_mismatch",
            )
        # What was received before has the same name: writing it again changes nothing, except that
        # a stored file that was lost since is there again.
        name, dataset = batch_id(source.name, digest), policy.dataset if policy else None
        with workspace.catalog.read() as connection:
            known = _received_before(connection, attempt, digest, dataset)
            # What retention deleted does not come back by the same delivery: it was decided.
            if known is not None and (known.id != name or delivery_deleted(connection, name)):
                return known
        place = f"batches/{name}"
        signature = attempt.signature
        with on_record(workspace, name, "receive"):
            delivered = workspace.store.put(
                f"{place}/delivered-{{sha256}}.{kind or batch.format}", blocks(copy)
            )
            stored = workspace.store.put(f"{place}/data-{{sha256}}.arrow", blocks(batch.path))
            if envelope is not None:
                kept = workspace.store.put(f"{place}/manifest-{{sha256}}.json", [envelope])
                signature = replace(signature, envelope=kept)
    event = BatchReceived(
        batch=name,
        source=source.name,
        trust_tier=source.trust_tier,
        uri=attempt.uri,
        format=batch.format,
        digest=digest,
        delivered=delivered,
        stored=stored,
        rows=rows,
        columns=[Column(field.name, str(field.type)) for field in batch.schema],
        received_at=attempt.now,
        collected_from=stated.collected_from if stated else None,
        collected_to=stated.collected_to if stated else None,
        signature=signature,
        read=_read_as(policy, batch.format),
        not_of_type=list(batch.not_of_type),
    )
    with workspace.catalog.transaction() as connection:
        before = _received_before(connection, attempt, digest, dataset)
        return before or _record(connection, workspace, event)


def _read_as(policy: Policy | None, kind: str) -> dict[str, str]:
    """How text was read, where not in the usual way."""
    said = policy.read.options() if policy and kind in ("csv", "jsonl") else {}
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()
    }


def _known_source(workspace: Workspace, attempt: _Attempt) -> Source:
    """Who delivers; from here on the attempt is known by the source's first name."""
    from lazaretto.sources.registry import get_source

    name = attempt.source
    try:
        source = get_source(workspace, name)
    except NotFoundError as error:
        raise DeliveryError(
            f"nobody is registered as source {excerpt(name, 80)!r}: `lazaretto source add`",
            code="unknown_source",
        ) from error
    attempt.source = source.name
    if source.trust_tier is TrustTier.REVOKED or source.revoked_at is not None:
        raise DeliveryError(f"source {name!r} is revoked", code="revoked_source")
    return source


def _authenticate(
    attempt: _Attempt,
    envelope: bytes | None,
    source: Source,
    rules: Sources,
    *,
    required: bool,
) -> Manifest | None:
    if envelope is None:
        if required:
            raise DeliveryError(
                f"{attempt.uri} has no manifest and the policy requires one: "
                "`lazaretto manifest sign` makes it. Deliver it first, beside the file, as the "
                f"file's name and {MANIFEST_SUFFIX}",
                code="unsigned",
            )
        return None
    from lazaretto.sources.manifest import verify_manifest

    attempt.signature = Signature(SignatureStatus.INVALID)
    try:
        stated, attempt.signature = verify_manifest(
            envelope,
            source.keys,
            now=attempt.now,
            clock_skew=timedelta(seconds=rules.clock_skew_seconds),
        )
    except DeliveryError as error:
        status = _STATUS.get(error.code, SignatureStatus.INVALID)
        attempt.signature = Signature(status)
        raise
    if stated.source not in source.names:
        raise DeliveryError(
            f"the manifest speaks for source {stated.source!r}, not for {source.name!r}",
            code="other_source",
        )
    return stated


def _received_before(
    connection: Connection, attempt: _Attempt, digest: str, dataset: str | None
) -> BatchRef | None:
    known = received_before(
        connection,
        attempt.source,
        attempt.uri,
        digest=digest,
        file_digest=attempt.file_digest,
        dataset=dataset,
    )
    return None if known is None else _ref(known)


def _record(connection: Connection, workspace: Workspace, event: BatchReceived) -> BatchRef:
    same_id = sa.select(tables.batch.c.digest).where(tables.batch.c.id == event.batch)
    if connection.scalar(same_id) is not None:
        # Half a digest is only a name: what has the same name and other content is another batch.
        raise DeliveryError(
            f"{event.uri} would get the id {event.batch}, which another delivery has: "
            "report it, since such a pair is hardly made by chance",
            code="id_taken",
        )
    entry = record(connection, event, changes, actor=workspace.actor)
    return _ref(Received(entry.seq, event))


def _ref(batch: Received) -> BatchRef:
    return BatchRef(batch.id, batch.source, batch.digest, batch.rows, batch.received_at, batch.seq)
