"""Where events go: the given transport, the configured one, or files in the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openlineage.client import OpenLineageClient
from openlineage.client.serde import Serde
from openlineage.client.transport import Transport
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.client.transport.noop import NoopConfig, NoopTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.store import Store

EVENTS = "lineage/events.jsonl"


def client_for(
    store: Store, chunk: Sequence[Entry], transport: Transport | None
) -> OpenLineageClient:
    """A client for one chunk of entries; see `drain` for the order."""
    if transport is not None:
        return OpenLineageClient(transport=transport)
    if configured():
        return OpenLineageClient()
    if store.is_local:
        return OpenLineageClient(transport=_local_file(store))
    name = f"lineage/events-{chunk[0].seq:012d}-{chunk[-1].seq:012d}.jsonl"
    return OpenLineageClient(transport=StoreTransport(store, name))


def configured() -> bool:
    """Whether OpenLineage's own configuration, in a file or the environment, names a transport."""
    probe = OpenLineageClient(transport=NoopTransport(NoopConfig()))
    named = probe.config.transport and probe.config.transport.get("type")
    return bool(named or os.environ.get("OPENLINEAGE_URL"))


class StoreTransport(Transport):
    """Writes all its events as one file of the store: object stores cannot append."""

    kind = "lazaretto_store"

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._path = path
        self._lines: list[str] = []

    def emit(self, event: Any) -> None:
        """Keeps an event until the transport is closed."""
        self._lines.append(Serde.to_json(event))

    def close(self, timeout: float = -1) -> bool:
        """Writes the file."""
        del timeout
        self._store.replace(self._path, "".join(f"{line}\n" for line in self._lines).encode())
        self._lines.clear()
        return True


def _local_file(store: Store) -> FileTransport:
    path = Path(store.uri(EVENTS))
    path.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(path)
    return FileTransport(FileConfig(log_file_path=str(path), append=True))


def _drop_torn_line(path: Path) -> None:
    """A process killed while writing leaves half an event, which is sent again as a whole."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        kept = end
        while kept > 0:
            step = min(kept, 65_536)
            file.seek(kept - step)
            found = file.read(step).rfind(b"\n")
            if found >= 0:
                kept = kept - step + found + 1
                break
            kept -= step
        if kept != end:
            file.truncate(kept)
