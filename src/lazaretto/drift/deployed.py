"""Whether other code screened a batch than the source's batch before: a marker for triage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.text import cut

if TYPE_CHECKING:
    from lazaretto.ledger.events import BatchScreened
    from lazaretto.values import Deploy

_SHOWN = 12


def deploy_change(now: Deploy | None, before: BatchScreened | None, batch: str) -> str | None:
    """What of the code changed since the source's batch before, in words; None: nothing known.

    Args:
        now: the code that screens.
        before: the source's newest screening; None: there is none.
        batch: id of the batch; its own earlier screening is no batch before.

    Examples:
        >>> from lazaretto.values import Deploy
        >>> deploy_change(Deploy("ingest", "7"), None, "vendor/1") is None
        True
    """
    if now is None or before is None or before.batch == batch or before.deploy is None:
        return None
    then = before.deploy
    if then.workflow != now.workflow:
        return f"workflow {cut(then.workflow, 80)!r} screened the batch before"
    changes = [
        f"{what} {(old or 'unknown')[:_SHOWN]} became {(new or 'unknown')[:_SHOWN]}"
        for what, old, new in (
            ("version", then.version, now.version),
            ("code", then.code, now.code),
        )
        if old != new
    ]
    if not changes:
        return None
    return f"workflow {cut(now.workflow, 80)!r} was deployed since: {', '.join(changes)}"
