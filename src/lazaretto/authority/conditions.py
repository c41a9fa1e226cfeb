"""What admission asks for, checked when records are judged, admitted and published: as of now.

A delivery that was in order when it arrived need not be so any more: its key may turn out stolen,
its source revoked, its source or the dataset on hold, or a stricter policy be in force.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lazaretto.addresses import read_address
from lazaretto.authority.holds import code_of, holds_on, require_no_hold
from lazaretto.batch._places import Places, check_address, places_for
from lazaretto.errors import AdmissionRefusedError, DeliveryError, OnHoldError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import AdmissionRefused
from lazaretto.policy.effective import effective_settings
from lazaretto.redact import safe_uri
from lazaretto.sources.recorded import read_source
from lazaretto.values import HoldKind, TrustTier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.sources.recorded import Source
    from lazaretto.sources.source_key import SourceKey
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Objection:
    """Why records of a batch may not enter now.

    Attributes:
        code: stable machine-readable reason, as of `DeliveryError.code`.
        text: the same in words.
    """

    code: str
    text: str


def kept_envelope(workspace: Workspace, batch: Received) -> bytes | None:
    """The signed manifest that came with a batch; None for an unsigned one.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    file = batch.event.signature.envelope
    return None if file is None else workspace.store.read(file)


def objections(
    connection: Connection,
    batch: Received,
    envelope: bytes | None,
    rules: Policy,
    *,
    source: Source | None = None,
) -> list[Objection]:
    """What now speaks against the delivery of a batch, by a policy and the sources' state.

    The manifest is verified again with the keys as they are known now, at the time of receipt by
    our own clock: a key that was revoked from a moment up to the receipt signs nothing any more,
    one that was lost later was good when it signed. From where the delivery came is compared with
    the places of a policy that was read from its file; what the ledger keeps of a policy does not
    say from which folder its relative places start, and such a policy has judged the batch before.

    Args:
        connection: of the catalog.
        batch: that was received.
        envelope: see `kept_envelope`.
        rules: the policy by which it is to be admitted.
        source: who delivered it, where that was read in the same view; default: it is read.

    Raises:
        ChangedStateError: the catalog's rows of the source are not what the ledger says.
    """
    event, found = batch.event, source_holds(connection, batch.source)
    source = source or read_source(connection, batch.source)
    if source.trust_tier is TrustTier.REVOKED or source.revoked_at is not None:
        found.append(Objection("revoked_source", f"source {batch.source!r} is revoked"))
    if envelope is not None:
        found += _signature(batch, envelope, source.keys, rules)
    elif effective_settings(rules, source.names, source.trust_tier).require_signature:
        text = "it came without a signed manifest, and the policy in force requires one"
        found.append(Objection("unsigned", text))
    found += _place(batch, rules, source.names)
    limits = rules.limits
    for code, what, size, limit in (
        ("too_large", "bytes", event.delivered.size, limits.max_bytes),
        ("too_large", "records", event.rows, limits.max_rows),
        ("too_many_columns", "columns", len(event.columns), limits.max_columns),
    ):
        if size > limit:
            text = f"it has {size:,} {what}, and the policy in force takes at most {limit:,}"
            found.append(Objection(code, text))
    return found


def source_holds(connection: Connection, source: str) -> list[Objection]:
    """The holds that are in force on a source: while there is one, nothing of it passes."""
    what = HoldKind.SOURCE
    return [Objection(code_of(what), hold.words) for hold in holds_on(connection, what, source)]


def require_admissible(
    connection: Connection,
    batch: Received,
    envelope: bytes | None,
    rules: Policy,
    *,
    overridden: Collection[str] = (),
    source: Source | None = None,
) -> None:
    """Refuses records of a batch that something now speaks against, or whose dataset is on hold.

    Args:
        connection: of the catalog.
        batch: that was received.
        envelope: see `kept_envelope`.
        rules: the policy by which it is to be admitted.
        overridden: codes of objections that a person set aside.
        source: see `objections`.

    Raises:
        AdmissionRefusedError: ``publishing_on_hold``, ``source_on_hold``, ``revoked_source``,
            ``unsigned``, ``outside_places``, ``too_large``, ``too_many_columns``,
            ``digest_mismatch``, or a code of `verify_manifest`.
    """
    try:
        require_no_hold(connection, HoldKind.PUBLISHING, rules.dataset)
    except OnHoldError as error:
        text = f"no record of {batch.id} enters {rules.dataset}: {error}"
        raise AdmissionRefusedError(text, code=error.code, dataset=rules.dataset) from error
    found = [
        objection
        for objection in objections(connection, batch, envelope, rules, source=source)
        if objection.code not in overridden
    ]
    if found:
        raise AdmissionRefusedError(
            f"no record of {batch.id} enters {rules.dataset}: {'; '.join(o.text for o in found)}; "
            "it stays where it is (`lazaretto batch show` and `lazaretto source list` say more)",
            code=found[0].code,
            dataset=rules.dataset,
        )


@contextmanager
def refusals_on_record(workspace: Workspace, batch: str, case: str | None = None) -> Iterator[None]:
    """Puts a refused admission on the ledger before its error goes on."""
    try:
        yield
    except AdmissionRefusedError as error:
        event = AdmissionRefused(batch, error.dataset, error.code, str(error), case)
        with workspace.catalog.transaction() as connection:
            error.seq = append(connection, event, actor=workspace.actor).seq
        raise


def _place(batch: Received, rules: Policy, names: Iterable[str]) -> Iterator[Objection]:
    named = rules.sources.places
    if named is None or (rules.path is None and any(map(_is_relative, named))):
        return
    places = places_for(rules, *names, required=True).places
    # What is on record of an address names no user of its machine.
    shown = tuple(read_address(safe_uri(place.uri)) for place in places)
    try:
        check_address(batch.event.uri, Places((*places, *shown)))
    except DeliveryError as error:
        yield Objection(error.code, str(error))


def _is_relative(place: str) -> bool:
    return not place.startswith("/") and "://" not in place


def _signature(
    batch: Received, envelope: bytes, keys: Sequence[SourceKey], rules: Policy
) -> Iterator[Objection]:
    from lazaretto.sources.manifest import verify_manifest

    skew = timedelta(seconds=rules.sources.clock_skew_seconds)
    try:
        # It verifies with a key of the source alone, under a name of the source.
        stated, _ = verify_manifest(envelope, keys, now=batch.received_at, clock_skew=skew)
    except DeliveryError as error:
        yield Objection(error.code, f"its signature does not count any more: {error}")
        return
    # Which files a folder's manifest signs was compared with the delivered ones at receipt; the
    # ledger names both, by their digests.
    signed = batch.event.delivered.sha256 if stated.files is not None else stated.sha256
    if signed != batch.event.delivered.sha256:
        text = f"its manifest was signed for other bytes (sha256 {stated.sha256[:16]}…)"
        yield Objection("digest_mismatch", text)
