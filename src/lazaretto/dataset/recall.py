"""Recall: records leave the next version of the dataset; models that saw them are marked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import rfc8785
import sqlalchemy as sa

from lazaretto.batch._ids import ids_digest
from lazaretto.dataset.admission import dataset_uri
from lazaretto.dataset.contents import keep_records, models_that_saw, records_of
from lazaretto.dataset.delta import commit_once, delete_rows, open_table
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import RecordsRecalled
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table, write_table
from lazaretto.times import in_utc
from lazaretto.values import Actor, ActorType, Member, StoredFile, to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from deltalake import CommitProperties, DeltaTable
    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace

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
        models: ``name@version`` of the model versions that saw one of them.
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
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    reason: str,
) -> Recall:
    """Removes records from the next version of a dataset; earlier versions stay readable.

    Cut off, the same call goes on; done, it gives what it gave before.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        ids: of records, each as ``{batch}#{record id}``.
        batch: instead of ids, all of one batch.
        source: instead of ids, all of a source's batches in a window.
        since: start of the window: batches whose collection (or, where that is not known,
            receipt) reaches into it, as in `lazaretto.lineage.trace_source`.
        until: its end (excluded).
        reason: why; stays on record.

    Raises:
        NotFoundError: no such dataset, or none of these records is in its newest version.
        UsageError: not exactly one way of saying which records, or a malformed id.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.
    """
    criteria = _criteria(ids, batch, source, since, until)
    if not reason.strip():
        raise UsageError("a recall needs a reason: it stays on record")
    uri = dataset_uri(workspace, dataset)
    with workspace.catalog.read() as connection:
        known = _same(connection, dataset, criteria)
        wanted = _batches(connection, batch, source, since, until) if ids is None else []
    if known is not None and known.version is None:
        return _finish(workspace, known, uri)
    table = open_table(uri)
    rows = _by_ids(table, ids) if ids is not None else records_of(table, wanted)
    if not rows.num_rows:
        if known is not None:
            return _finish(workspace, known, uri)
        raise NotFoundError(
            f"none of these records is in the newest version of dataset {dataset!r}"
        )
    rows = rows.sort_by([("batch", "ascending"), ("record", "ascending")])
    digest = ids_digest([f"{b}#{r}" for b, r in zip(*rows.to_pydict().values(), strict=True)])
    stamp = f"{dataset}\n{table.version()}\n{digest}"
    identity = "recall-" + hashlib.sha256(stamp.encode()).hexdigest()[:16]
    file = write_table(workspace.store, f"recalls/{identity}.parquet", rows)
    values = {
        "id": identity,
        "dataset": dataset,
        "criteria": criteria,
        "records": rows.num_rows,
        "ids_digest": digest,
        "ids": to_json(file),
        "actor_type": workspace.actor.type.value,
        "actor_id": workspace.actor.id,
        "reason": reason,
        "at": datetime.now(UTC),
    }
    with workspace.catalog.transaction() as connection:
        known = _same(connection, dataset, criteria)
        if known is None or known.version is not None:
            connection.execute(_recall.insert().values(values))
            known = connection.execute(sa.select(_recall).where(_recall.c.id == identity)).one()
    return _finish(workspace, known, uri)


def _finish(workspace: Workspace, row: Row[Any], uri: str) -> Recall:
    """From the intent on: the Delta commit, once, then the record of it, once."""
    rows = read_table(workspace.store, StoredFile(**row.ids))
    distinct = rows.group_by(["batch", "record"]).aggregate([])

    def write(table: DeltaTable, properties: CommitProperties) -> None:
        delete_rows(table, distinct, properties)

    version = row.version
    if version is None:
        about = {"lazaretto_recall": row.id, "lazaretto_reason": row.reason}
        version = commit_once(uri, f"lazaretto:{row.id}", about, write)
    with workspace.catalog.transaction() as connection:
        row = connection.execute(sa.select(_recall).where(_recall.c.id == row.id)).one()
        seq = row.seq
        if seq is None:
            seq = _record(connection, row, uri, version, rows)
        models = _marked(connection, row.id)
    return Recall(row.id, row.dataset, uri, version, row.records, _members(rows), models, [seq])


def _record(connection: Connection, row: Row[Any], uri: str, version: int, rows: pa.Table) -> int:
    saw = models_that_saw(connection, row.dataset, uri, rows, version)
    event = RecordsRecalled(
        recall=row.id,
        dataset=row.dataset,
        version=version,
        records=row.records,
        ids_digest=row.ids_digest,
        ids=StoredFile(**row.ids),
        criteria=dict(row.criteria),
        members=_members(rows),
        models=[f"{model}@{number}" for model, number in saw],
        reason=row.reason,
    )
    actor = Actor(ActorType(row.actor_type), row.actor_id)
    written = append(connection, event, actor=actor)
    connection.execute(
        _recall.update()
        .where(_recall.c.id == row.id)
        .values(version=version, seq=written.seq, entry=written.hash)
    )
    marks = [{"recall": row.id, "model": model, "version": number} for model, number in saw]
    if marks:
        connection.execute(tables.recalled_model.insert(), marks)
    return written.seq


def _members(rows: pa.Table) -> list[Member]:
    counted = rows.group_by("batch").aggregate([([], "count_all")]).to_pylist()
    found = [Member(group["batch"], group["count_all"]) for group in counted]
    return sorted(found, key=lambda member: member.batch)


def _marked(connection: Connection, identity: str) -> list[str]:
    marks = tables.recalled_model
    query = sa.select(marks.c.model, marks.c.version).where(marks.c.recall == identity)
    return sorted(f"{model}@{version}" for model, version in connection.execute(query))


def _criteria(
    ids: Collection[str] | None,
    batch: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, str]:
    if (ids is not None) + (batch is not None) + (source is not None) != 1:
        raise UsageError("say which records: ids, a batch, or a source; one of them")
    if source is None and (since or until):
        raise UsageError("a window belongs to a source")
    if ids is not None:
        return {"ids": ids_digest(sorted(set(ids)))}
    if batch is not None:
        return {"batch": batch}
    window = {"source": str(source)}
    window |= {"since": in_utc(since).isoformat()} if since else {}
    return window | ({"until": in_utc(until).isoformat()} if until else {})


def _same(connection: Connection, dataset: str, criteria: Mapping[str, str]) -> Row[Any] | None:
    """The newest recall that was asked for in the same words."""
    query = sa.select(_recall).where(_recall.c.dataset == dataset).order_by(_recall.c.at.desc())
    wanted = rfc8785.dumps(dict(criteria))
    for row in connection.execute(query):
        if rfc8785.dumps(row.criteria) == wanted:
            return row
    return None


def _batches(
    connection: Connection,
    batch: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
) -> list[str]:
    table = tables.batch
    if batch is not None:
        return [batch]
    start = sa.func.coalesce(table.c.collected_from, table.c.received_at)
    end = sa.func.coalesce(table.c.collected_to, table.c.received_at)
    query = sa.select(table.c.id).where(table.c.source == source)
    if since is not None:
        # As a trace does (half-open, an instant counts): what is recalled is what was traced.
        query = query.where((end > since) | (start >= since))
    if until is not None:
        query = query.where(start < until)
    return list(connection.scalars(query))


def _by_ids(table: DeltaTable, ids: Collection[str]) -> pa.Table:
    pairs = [name.split("#", 1) for name in sorted(set(ids))]
    if bad := [pair for pair in pairs if len(pair) != 2 or pair[0].count("/") != 2]:
        raise UsageError(f"not a record id: {bad[0][0]!r}; write {{batch}}#{{record id}}")
    wanted = pa.table(
        [
            pa.array([p[0] for p in pairs], pa.string()),
            pa.array([p[1] for p in pairs], pa.string()),
        ],
        names=["batch", "record"],
    )
    return keep_records(records_of(table, set(wanted["batch"].to_pylist())), wanted)
