"""Arrival: whether a delivery is there to be received, with the manifest that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch._delivery import envelope_beside, read_envelope, require_arrived
from lazaretto.batch._places import places_for
from lazaretto.errors import DeliveryError, NotArrivedError

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.policy import Policy


def has_arrived(
    uri: str | Path, source: str, policy: Policy, *, manifest: bytes | str | Path | None = None
) -> bool:
    """Whether a delivery can be received now; puts nothing on record.

    Only what is late is waited for: the file or folder, its manifest where one is named, and the
    manifest beside it where the policy requires a signature. Whatever `receive` would refuse has
    arrived, so that it is refused, and the refusal is on record.

    Args:
        uri: the delivery, in one of the policy's `sources.places`.
        source: name of who delivers.
        policy: says from where deliveries come, and whether they are signed; it names places.
        manifest: as of `receive`; None: the one beside the delivery.

    Raises:
        UsageError: the policy names no places.
        SystemFaultError: nothing says whether it is there: the place cannot be reached.
    """
    places = places_for(policy, source, required=True)
    try:
        require_arrived(str(uri), places)
        if manifest is not None:
            read_envelope(manifest, places)
        elif _requires_signature(policy, source):
            return envelope_beside(str(uri), places) is not None
    except NotArrivedError:
        return False
    except DeliveryError:
        return True
    return True


def _requires_signature(policy: Policy, source: str) -> bool:
    """By what the policy says of all sources or of this one: its tier is not known here."""
    own = policy.sources.by_source.get(source)
    said = None if own is None else own.require_signature
    return policy.sources.require_signature if said is None else said
