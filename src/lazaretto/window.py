"""Whether a batch is in a window of time: by when it arrived, or when its source says it is from.

Whoever stole a source's key can sign any time of collection, but cannot choose when it arrives.
Whoever was compromised may have delivered late. So either date counts, unless one is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

EITHER = "either"
WINDOWS = (EITHER, "received", "collected")
"""What of a batch must lie in a window."""


def matched(
    collected_from: datetime | None,
    collected_to: datetime | None,
    received: datetime | None,
    *,
    since: datetime | None,
    until: datetime | None,
    by: str = EITHER,
) -> str | None:
    """By what a batch is in a half-open window; None: it is not.

    A batch without any date always counts. One that does not say when it was collected counts by
    its receipt, whatever `by` says.

    Args:
        collected_from: start of the interval in which it was collected, as its source says.
        collected_to: its end (excluded).
        received: when it arrived.
        since: start (included) of the window; None: from the beginning.
        until: its end (excluded); None: until now.
        by: one of `WINDOWS`.

    Returns:
        ``collected``, ``received``, ``both``, ``undated`` or None.

    Examples:
        >>> from datetime import UTC, datetime
        >>> old, new = datetime(2019, 1, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
        >>> matched(old, old, new, since=datetime(2026, 3, 1, tzinfo=UTC), until=None)
        'received'
    """
    dated = collected_from is not None or collected_to is not None
    if not dated and received is None:
        return "undated"
    collected = dated and _overlaps(collected_from, collected_to or received, since, until)
    arrived = received is not None and (
        (since is None or received >= since) and (until is None or received < until)
    )
    said = collected if dated else arrived
    if not {"received": arrived, "collected": said}.get(by, said or arrived):
        return None
    if collected and arrived:
        return "both"
    if collected:
        return "collected"
    return "received"


def _overlaps(
    start: datetime | None, end: datetime | None, since: datetime | None, until: datetime | None
) -> bool:
    """Whether half-open intervals overlap; an instant counts where it lies."""
    if until is not None and start is not None and start >= until:
        return False
    if since is None or end is None or end > since:
        return True
    return start is not None and start >= since
