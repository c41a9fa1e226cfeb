"""Held records of a revoked source: nothing of them is released, unless a person overrode that.

Where a source or the key of a delivery is revoked, its held records can be rejected and not
released, until a person whom Airflow authenticated overrides that for one case, with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import AdmissionRefusedError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import (
    BatchReceived,
    KeyRevoked,
    RevocationOverridden,
    SourceRegistered,
)
from lazaretto.quarantine.cases import find_case
from lazaretto.sources.recorded import read_source
from lazaretto.sources.standing import regraded
from lazaretto.values import SignatureStatus, TrustTier

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


REVOKED_SOURCE, REVOKED_KEY = "revoked_source", "revoked_key"


def revoked_of(connection: Connection, received: BatchReceived) -> list[str]:
    """What of a delivery is revoked now: ``revoked_source``, ``revoked_key``, or nothing.

    Args:
        connection: of the catalog.
        received: what the ledger says of the receipt.

    Raises:
        ChangedStateError: the catalog's rows of the source are not what the ledger says.
    """
    source = read_source(connection, received.source)
    found = []
    if source.trust_tier is TrustTier.REVOKED or source.revoked_at is not None:
        found.append(REVOKED_SOURCE)
    if regraded(received, source.keys).status is SignatureStatus.REVOKED_KEY:
        found.append(REVOKED_KEY)
    return found


def overridden(connection: Connection, case: str, source: str) -> list[str]:
    """The revocations that do not keep the records of a case from being released.

    Args:
        connection: of the catalog.
        case: its id.
        source: who delivered it.
    """
    found: tuple[int, list[str]] = 0, []
    for entry in entries(connection, subject=f"case:{case}", kinds=[RevocationOverridden.kind]):
        if isinstance(entry.event, RevocationOverridden):
            found = entry.seq, entry.event.codes
    seq, codes = found
    kinds = (KeyRevoked.kind, SourceRegistered.kind)
    since = entries(connection, subject=f"source:{source}", kinds=kinds, after=seq)
    again = any(_revokes(entry.event) for entry in since)
    return [] if again else codes


def require_not_revoked(connection: Connection, case: str, received: BatchReceived) -> None:
    """Refuses to release records whose source or key is revoked, where nobody overrode that.

    Raises:
        AdmissionRefusedError: ``revoked_source`` or ``revoked_key``.
    """
    codes = revoked_of(connection, received)
    allowed = overridden(connection, case, received.source) if codes else []
    left = [code for code in codes if code not in allowed]
    if left:
        row = find_case(connection, case)
        what = " and ".join(
            {REVOKED_SOURCE: f"source {received.source!r}", REVOKED_KEY: "the key that signed it"}[
                code
            ]
            for code in left
        )
        raise AdmissionRefusedError(
            f"nothing of {case} can be released: {what} is revoked. Reject it, or, to release it "
            f"all the same, override that: `lazaretto quarantine override {case} --reason TEXT "
            "--server URL`, or on the review page",
            code=left[0],
            dataset=row.dataset,
        )


def _revokes(event: object) -> bool:
    return isinstance(event, KeyRevoked) or (
        isinstance(event, SourceRegistered) and event.trust_tier is TrustTier.REVOKED
    )
