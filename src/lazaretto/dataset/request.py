"""Which records a recall asks for, by id, batches, or source and window; where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.batch._ids import ids_digest
from lazaretto.dataset.contents import record_ids
from lazaretto.dataset.history import read_recall
from lazaretto.errors import UsageError
from lazaretto.received import find_batch
from lazaretto.storage import tables
from lazaretto.times import in_utc
from lazaretto.window import matched

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.values import DataFile


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        ids: of records, each as ``{batch}#{record id}``.
        batch: instead of ids, all of one batch.
        batches: instead of ids, all of several batches.
        source: instead of ids, all of a source's batches in a window.
        since: start of the window.
        until: its end (excluded).
    """

    ids: Collection[str] | None
    batch: str | None
    batches: Collection[str] | None
    source: str | None
    since: datetime | None
    until: datetime | None

    def criteria(self) -> dict[str, str]:
        """The same in words that go on record.

        Raises:
            UsageError: not exactly one way of saying which records.
        """
        ways = (self.ids, self.batch, self.batches, self.source)
        if sum(way is not None for way in ways) != 1:
            raise UsageError("say which records: ids, a batch, batches, or a source; one of them")
        if self.source is None and (self.since or self.until):
            raise UsageError("a window belongs to a source")
        if self.ids is not None:
            return {"ids": ids_digest(sorted(set(self.ids)))}
        if self.batch is not None:
            return {"batch": self.batch}
        if self.batches is not None:
            return {"batches": ids_digest(sorted(set(self.batches)))}
        window = {"source": str(self.source)}
        window |= {"since": in_utc(self.since).isoformat()} if self.since else {}
        return window | ({"until": in_utc(self.until).isoformat()} if self.until else {})


@dataclass(frozen=True, slots=True)
class Asked:
    """Which records are meant: of some batches, all (None) or those named."""

    named: Mapping[str, pa.Array | None]

    def of(self, batch: str, ids: pa.Array) -> pa.Array:
        """Which of a batch's record ids are meant, as a mask."""
        wanted = self.named[batch]
        return pa.repeat(True, len(ids)) if wanted is None else pc.is_in(ids, wanted)


def asked_for(
    connection: Connection, dataset: str, files: Collection[DataFile], request: Request
) -> Asked:
    """Finds the batches that a request means, in a dataset or recalled from it.

    Args:
        connection: of the catalog.
        dataset: its name.
        files: its data files.
        request: what was asked for.

    Raises:
        UsageError: a malformed id.
        ChangedStateError: the catalog does not say what the ledger says.
    """
    if request.ids is not None:
        return Asked(_by_ids(request.ids))
    if request.batch is not None:
        return Asked({request.batch: None})
    if request.batches is not None:
        return Asked(dict.fromkeys(request.batches))
    batches = {file.batch for file in files} | _recalled(connection, dataset)
    return Asked(dict.fromkeys(_window(connection, batches, request)))


@dataclass(frozen=True, slots=True)
class Found:
    """Records that were found.

    Attributes:
        rows: columns ``batch`` and ``record``, sorted; as often as it is there.
        files: data files that hold one of them.
    """

    rows: pa.Table
    files: list[DataFile]


def find_records(store: Store, files: Iterable[DataFile], asked: Asked) -> Found:
    """Looks for records in data files.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    parts: list[pa.Table] = []
    holding: dict[str, DataFile] = {}
    for file, there in record_ids(store, files, asked.named):
        gone = there.filter(asked.of(file.batch, there)).cast(pa.string())
        if len(gone):
            batches = pa.repeat(file.batch, len(gone))
            parts.append(pa.table([batches, gone], names=["batch", "record"]))
            holding[file.file.path] = file
    kinds = pa.schema([("batch", pa.string()), ("record", pa.string())])
    rows = pa.concat_tables(parts) if parts else kinds.empty_table()
    rows = rows.sort_by([("batch", "ascending"), ("record", "ascending")])
    return Found(rows, list(holding.values()))


def _recalled(connection: Connection, dataset: str) -> set[str]:
    """Batches that records were taken out of."""
    query = sa.select(tables.recall).where(tables.recall.c.dataset == dataset)
    rows = connection.execute(query).all()
    events = [read_recall(connection, row)[1] for row in rows]
    return {member.batch for event in events for member in event.members}


def _window(connection: Connection, batches: Collection[str], request: Request) -> list[str]:
    """Batches of a source that a window meets."""
    found = []
    for name in sorted(batches):
        said = find_batch(connection, name).event
        dates = said.collected_from, said.collected_to, said.received_at
        # As a trace does: what is recalled is what was traced.
        met = matched(*dates, since=request.since, until=request.until)
        if said.source == request.source and met is not None:
            found.append(name)
    return found


def _by_ids(ids: Collection[str]) -> dict[str, pa.Array | None]:
    pairs = [name.split("#", 1) for name in sorted(set(ids))]
    if bad := [pair for pair in pairs if len(pair) != 2 or pair[0].count("/") != 1]:
        raise UsageError(f"not a record id: {bad[0][0]!r}; write {{batch}}#{{record id}}")
    named: dict[str, list[str]] = {}
    for batch, record in pairs:
        named.setdefault(batch, []).append(record)
    return {batch: pa.array(records, pa.string()) for batch, records in named.items()}
