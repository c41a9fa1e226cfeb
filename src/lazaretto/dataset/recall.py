"""Recall: records leave the next version of the dataset; models that saw them are marked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.batch._ids import ids_digest
from lazaretto.dataset.commit import ATTEMPTS, commit_recorded
from lazaretto.dataset.contents import (
    by_batch,
    models_before,
    models_that_saw,
    snapshot_files,
)
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import RECORD
from lazaretto.dataset.files import dataset_uri, read_files
from lazaretto.dataset.history import find_newest, read_recall
from lazaretto.dataset.models import ModelKey, labels, recalled_models
from lazaretto.dataset.recorded import Recorded
from lazaretto.dataset.request import Asked, Found, Request, asked_for, find_records
from lazaretto.dataset.state import changes, model_key
from lazaretto.dataset.table import open_dataset
from lazaretto.dataset.together import write_again
from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered, RecordsRecalled
from lazaretto.ledger.source_names import source_identity
from lazaretto.ledger.state import record
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table, write_table
from lazaretto.values import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.table import DatasetVersion
    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

_recall = tables.recall


@dataclass(frozen=True, slots=True)
class Recall:
    """Records that left the admitted dataset.

    Attributes:
        id: of the recall.
        dataset: name.
        uri: of its Delta table.
        version: first Delta version without them.
        records: how many rows it removed.
        members: the batches that they were of.
        models: ``name@version`` of the model versions that learned from one of them, with the
            registry before it where two have the same: ``registry/name@version``.
        seqs: ledger entries.
    """

    id: str
    dataset: str
    uri: str
    version: int
    records: int
    members: list[Member] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)


def recall(
    workspace: Workspace,
    dataset: str,
    *,
    ids: Collection[str] | None = None,
    batch: str | None = None,
    batches: Collection[str] | None = None,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    reason: str,
    also: Callable[[Connection], None] | None = None,
) -> Recall:
    """Removes records from the next version of a dataset; earlier versions stay readable.

    Data files that hold them are read back, checked, and written anew without them; one transaction
    puts the recall on record, and the table's commit follows. Killed in between, whoever opens the
    dataset next makes the commit. Where an earlier recall has taken the records out, in whatever
    words, that one is given back.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        ids: of records, each as ``{batch}#{record id}``.
        batch: instead of ids, all of one batch.
        batches: instead of ids, all of several batches; those that the dataset never had are passed
            over.
        source: instead of ids, all of a source's batches in a window.
        since: start of the window: batches that arrived in it, or whose collection reaches into
            it, as in `lazaretto.lineage.trace_source`.
        until: its end (excluded).
        reason: why; stays on record.
        also: puts on record what is the reason, in the transaction of the recall, so that neither
            is ever there without the other. Not called where an earlier recall took the records.

    Raises:
        NotFoundError: no such dataset, or it never had any of these records.
        UsageError: not exactly one way of saying which records, or a malformed id.
        ChangedDatasetError: the table is not the one that is on record.
        ChangedFileError: a data file is gone or was changed.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.

    Examples:
        >>> recall(workspace, "reviews", batch=monday, reason="the vendor was compromised").records
        60
    """
    if source is not None:
        with workspace.catalog.read() as connection:
            source = source_identity(connection, source)
    request = Request(ids, batch, batches, source, since, until)
    criteria = request.criteria()
    if not reason.strip():
        raise UsageError("a recall needs a reason: it stays on record")
    for _ in range(ATTEMPTS):
        with damage_on_record(workspace, dataset, "recall"):
            base = open_dataset(workspace, dataset)
        with workspace.catalog.read() as connection:
            asked = asked_for(connection, dataset, base.files, request)
        with damage_on_record(workspace, dataset, "recall", base.files):
            found = find_records(workspace.store, base.files, asked)
            if not found.rows.num_rows:
                return _earlier(workspace, dataset, criteria, asked)
            done = _take_out(workspace, base, criteria, asked, found, reason, also)
        if done is not None:
            return done
    raise SystemFaultError(f"dataset {dataset!r} changed {ATTEMPTS} times during the recall")


def _take_out(
    workspace: Workspace,
    base: DatasetVersion,
    criteria: dict[str, str],
    asked: Asked,
    found: Found,
    reason: str,
    also: Callable[[Connection], None] | None,
) -> Recall | None:
    """None when the dataset, or its models, changed meanwhile."""
    rows, version = found.rows, base.version + 1
    digest = ids_digest([f"{b}#{r}" for b, r in zip(*rows.to_pydict().values(), strict=True)])
    stamp = f"{base.dataset}\n{base.version}\n{digest}"
    identity = "recall-" + hashlib.sha256(stamp.encode()).hexdigest()[:16]
    mine = by_batch(rows)
    with workspace.catalog.read() as connection:
        models = models_before(connection, base.dataset, version)
        versions, batches = {trained.snapshot for trained in models}, set(mine)
        trained_on = snapshot_files(connection, base.dataset, versions, batches)
    saw = models_that_saw(workspace.store, models, trained_on, mine)
    touched: dict[str, list[DataFile]] = {old.file.path: [] for old in found.files}
    for file in base.files:
        if file.file.path in touched:
            touched[file.file.path].append(file)
    event = RecordsRecalled(
        recall=identity,
        dataset=base.dataset,
        version=version,
        records=rows.num_rows,
        ids_digest=digest,
        ids=write_table(workspace.store, f"recalls/{identity}-{{sha256}}.parquet", rows),
        criteria=criteria,
        members=_members(rows),
        models=[one.name for one in saw],
        registries=[one.registry for one in saw],
        reason=reason,
        table_id=base.table_id,
        schema=base.schema_digest,
        files=[
            file for old in touched.values() for file in _left(workspace, base, asked, old, digest)
        ],
        removed=list(touched),
    )
    with workspace.catalog.transaction() as connection:
        newest = find_newest(connection, base.dataset)
        if newest is None or newest.event.version != base.version:
            return None
        if models_before(connection, base.dataset, version) != models:
            return None
        if also is not None:
            also(connection)
        recorded = Recorded(record(connection, event, changes, actor=workspace.actor), event)
    commit_recorded(workspace, recorded)
    with workspace.catalog.read() as connection:
        return _told(connection, workspace, recorded.entry, event)


def _left(
    workspace: Workspace, base: DatasetVersion, asked: Asked, old: list[DataFile], digest: str
) -> list[DataFile]:
    """What is left of a data file, of which these are all stretches, in files of its own."""
    purpose = f"recall:{base.version}:{digest}:{old[0].file.path}"

    def left() -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        for file, chunk in read_files(workspace.store, old, schema=base.schema):
            kept = chunk
            if file.batch in asked.named:
                gone = asked.of(file.batch, chunk.column(RECORD))
                kept = chunk.filter(pc.invert(pc.fill_null(gone, False)))
            if kept.num_rows:
                yield file, kept

    return write_again(workspace.store, base.dataset, purpose, base.schema, old, left())


def _earlier(
    workspace: Workspace, dataset: str, criteria: Mapping[str, str], asked: Asked
) -> Recall:
    """The newest recall that was asked for in the same words, or took one of the records out.

    Raises:
        NotFoundError: there is none.
    """
    query = sa.select(_recall).where(_recall.c.dataset == dataset)
    other = None
    with workspace.catalog.read() as connection:
        for row in connection.execute(query.order_by(_recall.c.version.desc())).all():
            found, event = read_recall(connection, row)
            if event.criteria == criteria:
                return _told(connection, workspace, found, event)
            if other is None and _took(workspace.store, event, asked):
                other = _told(connection, workspace, found, event)
    if other is None:
        raise NotFoundError(
            f"none of these records is in the newest version of dataset {dataset!r}"
        )
    return other


def _marked(connection: Connection, identity: str) -> list[ModelKey]:
    """Models that had seen the records of a recall, and were registered only after it."""
    return [
        ModelKey(**model_key(found.event))
        for found in entries(connection, kinds=[ModelRegistered.kind])
        if isinstance(found.event, ModelRegistered) and identity in found.event.recalls
    ]


def _took(store: Store, event: RecordsRecalled, asked: Asked) -> bool:
    mine = {member.batch for member in event.members} & asked.named.keys()
    if any(asked.named[batch] is None for batch in mine):
        return True
    if not mine:
        return False
    gone = by_batch(read_table(store, event.ids))
    return any(pc.any(asked.of(batch, gone[batch])).as_py() for batch in mine)


def _told(
    connection: Connection, workspace: Workspace, found: Entry, event: RecordsRecalled
) -> Recall:
    """A recall as it is on record, with models that were registered only after it."""
    uri = dataset_uri(workspace, event.dataset)
    named = [*recalled_models(connection, event), *_marked(connection, event.recall)]
    models = labels(connection, named)
    return Recall(
        event.recall,
        event.dataset,
        uri,
        event.version,
        event.records,
        list(event.members),
        models,
        [found.seq],
    )


def _members(rows: pa.Table) -> list[Member]:
    counted = rows.group_by("batch").aggregate([([], "count_all")]).to_pylist()
    found = [Member(group["batch"], group["count_all"]) for group in counted]
    return sorted(found, key=lambda member: member.batch)
