"""Sends a chunk of ledger entries in a thread of its own: a backend may hang, and then it is left.

OpenLineage's transports have time limits of their own, which add up over retries and events, or
none at all; none of their calls can be interrupted. A thread that was left goes on or ends with the
process: what it still sends comes a second time later, which backends must bear anyway.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage.contents import earlier_of, files_of
from lazaretto.lineage.openlineage.project import project, run_events
from lazaretto.lineage.openlineage.transport import client_for
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from openlineage.client import OpenLineageClient
    from openlineage.client.transport import Transport

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.openlineage.parent import Parent
    from lazaretto.storage.workspace import Workspace

_SECONDS_TO_DELIVER = 30.0


class Sending:
    """A chunk on its way.

    Args:
        workspace: whose entries they are; its store takes the events where nothing else does.
        chunk: the entries, in order.
        chain: identity of their ledger.
        transport: instead of the configured one; it is not closed.
        parents: runs that made entries, by sequence number.
        began: when the work began that entries tell of, by sequence number.

    Attributes:
        taken: entries that the transport took so far.
        problem: what went wrong; None while nothing did.
    """

    def __init__(
        self,
        workspace: Workspace,
        chunk: Sequence[Entry],
        chain: str,
        transport: Transport | None,
        parents: Mapping[int, Parent],
        began: Mapping[int, datetime],
    ) -> None:
        self.taken = 0
        self.problem: str | None = None
        self._workspace = workspace
        self._chunk = chunk
        self._chain = chain
        self._transport = transport
        self._parents = parents
        self._began = began
        self._thread = in_background(self._run)

    def wait(self, seconds: float) -> bool:
        """Waits until all of it is sent or something went wrong; whether that is so."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            client = client_for(self._workspace.store, self._chunk, self._transport)
            files, earlier = files_of(self._workspace), earlier_of(self._workspace)
            for entry in self._chunk:
                found = project(
                    entry,
                    self._workspace.namespace,
                    self._workspace.store.root,
                    chain=self._chain,
                    files=files,
                    earlier=earlier,
                )
                parent, began = self._parents.get(entry.seq), self._began.get(entry.seq)
                for event in run_events(found, parent, began=began):
                    client.emit(event)
                self.taken += 1
            if not _delivered(client, own=self._transport is None):
                self.problem = "the transport did not deliver all events in time"
        except Exception as error:
            self.problem = error_line(error, limit=300)


def in_background(run: Callable[[], object]) -> Thread:
    """Starts a thread that keeps no process from ending."""
    thread = Thread(target=run, name="lazaretto-lineage", daemon=True)
    thread.start()
    return thread


def _delivered(client: OpenLineageClient, *, own: bool) -> bool:
    """Waits for a transport that works in the background; whether it delivered everything."""
    transport = client.transport
    if own:
        taken = client.close(timeout=_SECONDS_TO_DELIVER)
    else:
        wait = getattr(transport, "wait_for_completion", None)
        taken = wait is None or wait(_SECONDS_TO_DELIVER)
    statistics = getattr(transport, "get_stats", None)
    return bool(taken) and not (statistics().get("failed", 0) if statistics else 0)
