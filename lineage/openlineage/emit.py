"""Emits ledger entries as OpenLineage events: at least once, in order, by one process at a time.

The outbox is the ledger itself: what stands behind the cursor has not been sent. A failing backend
leaves the cursor where it is, and whoever drains next begins there; it never fails a stage, and
never keeps one waiting longer than its bounds say.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import Entry, entries, head
from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.checkpoint import ledger_id
from lazaretto.lineage.cursors import advance, cursor
from lazaretto.lineage.openlineage import lease as _lease
from lazaretto.lineage.openlineage.send import Sending

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from openlineage.client.transport import Transport

    from lazaretto.lineage.openlineage.parent import Parent
    from lazaretto.storage.workspace import Workspace

CURSOR = "openlineage"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one drain does, and how long it waits.

    Attributes:
        entries: ledger entries at most; None: all that wait.
        seconds: that the backend gets in all; None: as many as it needs.
        stalled: seconds in which the backend must take an entry.
        chunk: entries that are sent, and then marked as sent, together.
    """

    entries: int | None = None
    seconds: float | None = None
    stalled: float = 60.0
    chunk: int = 50


EVERYTHING = Bounds()
"""For who has nothing else to do: all entries, as long as the backend takes one a minute."""
IN_STAGE = Bounds(entries=50, seconds=5.0, stalled=5.0, chunk=10)
"""For a task that waits meanwhile: a few entries, a few seconds."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did.

    Attributes:
        entries: ledger entries that were sent.
        remaining: ledger entries that were not.
        problem: what went wrong; None: nothing did.
        held: who is sending them at this moment, and until when at the latest; None: nobody.
        disabled: OpenLineage is switched off, so nothing was sent.
    """

    entries: int
    remaining: int
    problem: str | None = None
    held: _lease.Held | None = None
    disabled: bool = False


def switched_off() -> bool:
    """Whether OpenLineage is switched off, so that nothing is sent."""
    return os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"


def flush(
    workspace: Workspace,
    *,
    transport: Transport | None = None,
    parent: Parent | None = None,
    seqs: Collection[int] = (),
    began: Mapping[int, datetime] | None = None,
    bounds: Bounds = EVERYTHING,
) -> int:
    """Sends the ledger entries that were not sent yet; see `drain`.

    Returns:
        How many entries were sent. A failure is logged as a warning, not raised.

    Examples:
        >>> from openlineage.client.transport.noop import NoopConfig, NoopTransport
        >>> flush(workspace, transport=NoopTransport(NoopConfig())) > 0
        True
        >>> flush(workspace, transport=NoopTransport(NoopConfig()))  # nothing is left
        0
    """
    drained = drain(
        workspace, transport=transport, parent=parent, seqs=seqs, began=began, bounds=bounds
    )
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
    began: Mapping[int, datetime] | None = None,
    bounds: Bounds = EVERYTHING,
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
        began: when the work began that entries tell of, by sequence number; where neither this nor
            the entry says so, a run is told as beginning when the entry was written.
        bounds: how much is sent, and how long is waited for the backend.

    Raises:
        SystemFaultError: the catalog cannot be reached.

    Examples:
        >>> from openlineage.client.transport.noop import NoopConfig, NoopTransport
        >>> drain(workspace, transport=NoopTransport(NoopConfig())).remaining
        0
    """
    remaining = _waiting(workspace)
    if switched_off():
        return Drained(0, remaining, disabled=True)
    if remaining == 0:
        return Drained(0, 0)
    lease = _lease.acquire(workspace.catalog, CURSOR)
    if isinstance(lease, _lease.Held):
        return Drained(0, remaining, held=lease)
    parents = dict.fromkeys(seqs, parent) if parent is not None else {}
    turn = _Turn(workspace, lease, bounds)
    sent, problem = 0, None
    try:
        while problem is None and (size := turn.size(sent)):
            chunk, chain = _next(workspace, size)
            if not chunk:
                break
            problem = turn.give(Sending(workspace, chunk, chain, transport, parents, began or {}))
            if problem is None:
                sent += len(chunk)
                _mark(workspace, chunk[-1].seq)
    finally:
        turn.end()
    remaining = _waiting(workspace)
    if problem is None and turn.lost and remaining:
        problem = "it took so long that another process goes on with them"
    return Drained(sent, remaining, problem)


class _Turn:
    """The lease of this drain, and the time that it has."""

    def __init__(self, workspace: Workspace, lease: int, bounds: Bounds) -> None:
        self._workspace = workspace
        self._lease: int | None = lease
        self._bounds = bounds
        seconds = bounds.seconds
        self._ends = None if seconds is None else time.monotonic() + seconds

    @property
    def lost(self) -> bool:
        """Whether the lease ran out, and somebody else has it."""
        return self._lease is None

    def size(self, sent: int) -> int:
        """How many entries may go next; 0: that was all."""
        if self._lease is None or (self._ends is not None and time.monotonic() >= self._ends):
            return 0
        most = self._bounds.entries
        return self._bounds.chunk if most is None else max(0, min(self._bounds.chunk, most - sent))

    def give(self, sending: Sending) -> str | None:
        """Waits as long as the backend goes on taking entries; returns what went wrong."""
        before = -1
        while not sending.wait(self._patience()):
            late = self._ends is not None and time.monotonic() >= self._ends
            if late or sending.taken == before:
                return "the backend does not answer in time"
            before = sending.taken
            self._keep()
        self._keep()
        return sending.problem

    def end(self) -> None:
        """Gives the lease back."""
        if self._lease is not None:
            _lease.release(self._workspace.catalog, CURSOR, self._lease)

    def _patience(self) -> float:
        if self._ends is None:
            return self._bounds.stalled
        return min(self._bounds.stalled, self._ends - time.monotonic())

    def _keep(self) -> None:
        """Whoever lost the lease ends after the chunk: somebody else goes on."""
        if self._lease is not None:
            self._lease = _lease.renew(self._workspace.catalog, CURSOR, self._lease)


def _waiting(workspace: Workspace) -> int:
    with workspace.catalog.read() as connection:
        return head(connection) - cursor(connection, CURSOR)


def _next(workspace: Workspace, size: int) -> tuple[Sequence[Entry], str]:
    with workspace.catalog.read() as connection:
        chunk = list(entries(connection, after=cursor(connection, CURSOR), limit=size))
        return chunk, ledger_id(ledger_entry(connection, 1).hash) if chunk else ""


def _mark(workspace: Workspace, seq: int) -> None:
    with workspace.catalog.transaction() as connection:
        advance(connection, CURSOR, seq)
