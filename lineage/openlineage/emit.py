"""Emits ledger entries as OpenLineage events: at least once, in order, by one process at a time.

The outbox is the ledger itself: what stands behind the cursor has not been sent. A failing backend
leaves the cursor where it is, and whoever drains next begins there; it never fails a stage.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import Entry, entries, head
from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.checkpoint import ledger_id
from lazaretto.lineage.cursors import advance, cursor
from lazaretto.lineage.openlineage import lease as _lease
from lazaretto.lineage.openlineage.project import project, run_events
from lazaretto.lineage.openlineage.transport import client_for
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from openlineage.client.transport import Transport

    from lazaretto.lineage.openlineage.parent import Parent
    from lazaretto.storage.workspace import Workspace

CURSOR = "openlineage"
_CHUNK = 50
_SECONDS_TO_DELIVER = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did.

    Attributes:
        entries: ledger entries that were sent.
        remaining: ledger entries that were not.
        problem: why not; None: nothing went wrong (somebody else may be sending them).
    """

    entries: int
    remaining: int
    problem: str | None


def flush(
    workspace: Workspace,
    *,
    transport: Transport | None = None,
    parent: Parent | None = None,
    seqs: Collection[int] = (),
) -> int:
    """Sends the ledger entries that were not sent yet; see `drain`.

    Returns:
        How many entries were sent. A failure is logged as a warning, not raised.
    """
    drained = drain(workspace, transport=transport, parent=parent, seqs=seqs)
    if drained.problem is not None:
        _log.warning(
            "lineage events were not sent (%s); %d ledger entries wait for the next flush",
            drained.problem,
            drained.remaining,
        )
    return drained.entries


def drain(
    workspace: Workspace,
    *,
    transport: Transport | None = None,
    parent: Parent | None = None,
    seqs: Collection[int] = (),
) -> Drained:
    """Sends the ledger entries behind the cursor through an OpenLineage transport.

    The transport is the one given, else the one that OpenLineage's own configuration names
    (``openlineage.yml``, ``OPENLINEAGE__TRANSPORT__…``, ``OPENLINEAGE_URL``), else
    ``lineage/events.jsonl`` in the store (in a remote store: one file per chunk in ``lineage/``).
    With ``OPENLINEAGE_DISABLED=true`` nothing is sent, and nothing is marked as sent.

    A chunk counts as sent once the transport has taken all of it, so after a failure some events
    come again: with the same run ids, so that backends see the same runs.

    Args:
        workspace: where.
        transport: instead of the configured one; it is not closed.
        parent: run that made the entries `seqs`, such as an Airflow task's.
        seqs: entries that this parent made.

    Raises:
        SystemFaultError: the catalog cannot be reached.
    """
    with workspace.catalog.read() as connection:
        remaining = head(connection) - cursor(connection, CURSOR)
    if remaining == 0 or os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return Drained(0, remaining, None)
    lease = _lease.acquire(workspace.catalog, CURSOR)
    if lease is None:
        return Drained(0, remaining, None)
    parents = dict.fromkeys(seqs, parent) if parent is not None else {}
    sent, problem = 0, None
    try:
        while problem is None and lease is not None:
            chunk, chain = _next(workspace)
            if not chunk:
                break
            problem = _send(workspace, chunk, chain, transport, parents)
            if problem is None:
                sent += len(chunk)
                lease = _lease.renew(workspace.catalog, CURSOR, lease)
                _mark(workspace, chunk[-1].seq)
    finally:
        if lease is not None:
            _lease.release(workspace.catalog, CURSOR, lease)
    with workspace.catalog.read() as connection:
        remaining = head(connection) - cursor(connection, CURSOR)
    return Drained(sent, remaining, problem)


def _next(workspace: Workspace) -> tuple[Sequence[Entry], str]:
    with workspace.catalog.read() as connection:
        chunk = list(entries(connection, after=cursor(connection, CURSOR), limit=_CHUNK))
        return chunk, ledger_id(ledger_entry(connection, 1).hash) if chunk else ""


def _send(
    workspace: Workspace,
    chunk: Sequence[Entry],
    chain: str,
    transport: Transport | None,
    parents: dict[int, Parent],
) -> str | None:
    """Sends a chunk and waits until it is taken; returns what went wrong."""
    try:
        client = client_for(workspace.store, chunk, transport)
        for entry in chunk:
            found = project(entry, workspace.namespace, workspace.store.root, chain=chain)
            for event in run_events(found, parents.get(entry.seq)):
                client.emit(event)
        if transport is None:
            taken = client.close(timeout=_SECONDS_TO_DELIVER)
        else:
            wait = getattr(transport, "wait_for_completion", None)
            taken = wait is None or wait(_SECONDS_TO_DELIVER)
        statistics = getattr(client.transport, "get_stats", None)  # of transports in the background
        failed = statistics().get("failed", 0) if statistics else 0
    except Exception as error:
        return error_line(error, limit=300)
    return None if taken and not failed else "the transport did not deliver all events in time"


def _mark(workspace: Workspace, seq: int) -> None:
    with workspace.catalog.transaction() as connection:
        advance(connection, CURSOR, seq)
