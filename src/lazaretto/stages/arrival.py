"""Arrival: whether a delivery is there to be received, with the manifest that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.batch._delivery import envelope_beside, read_envelope, require_arrived
from lazaretto.batch._places import places_for
from lazaretto.batch._several import one_address
from lazaretto.errors import DeliveryError, NotArrivedError, NotFoundError
from lazaretto.policy.effective import effective_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lazaretto.policy import Policy
    from lazaretto.sources.recorded import Source
    from lazaretto.storage.workspace import Workspace


def has_arrived(
    uri: str | Path | Sequence[str | Path],
    source: str,
    policy: Policy,
    *,
    workspace: Workspace,
    manifest: bytes | str | Path | None = None,
) -> bool:
    """Whether a delivery can be received now; puts nothing on record.

    Only what is late is waited for: the file, the folder or each file of a list, its manifest where
    one is named, and the manifest beside it where the policy requires a signature of this source or
    of its tier. A folder that is still being written, and a pattern that no file matches, are late,
    too. Whatever `receive` would refuse has arrived, so that it is refused, and the refusal is on
    record.

    Args:
        uri: the delivery, in one of the policy's `sources.places`.
        source: name of who delivers.
        policy: says from where deliveries come, and whether they are signed; it names places.
        workspace: knows the source's tier, and its other names.
        manifest: as of `receive`; None: the one beside the delivery.

    Raises:
        UsageError: the policy names no places.
        SystemFaultError: nothing says whether it is there: the place or the catalog cannot be
            reached.
    """
    known = _known(workspace, source)
    places = places_for(policy, *((source,) if known is None else known.names), required=True)
    try:
        place = one_address(uri)
        require_arrived(place, places)
        if manifest is not None:
            read_envelope(manifest, places)
        elif known is not None:
            settings = effective_settings(policy, known.names, known.trust_tier)
            if settings.require_signature:
                return envelope_beside(place, places) is not None
    except NotArrivedError:
        return False
    except DeliveryError:
        return True
    return True


def _known(workspace: Workspace, source: str) -> Source | None:
    """Who delivers; None for nobody: the delivery is refused, whatever comes with it."""
    # Here: a task that receives nothing need not load what checks signatures.
    from lazaretto.sources.registry import get_source

    try:
        return get_source(workspace, source)
    except NotFoundError:
        return None
