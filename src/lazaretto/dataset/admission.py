"""Admission: an intent, a Delta commit, a catalog transaction; killed in between, it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.dataset.delta import (
    ADDED,
    append_rows,
    arrow_schema,
    commit_once,
    open_or_create,
    open_table,
)
from lazaretto.dataset.schema import check_fits, conform, storable
from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import BatchAdmitted
from lazaretto.names import check_dataset_name
from lazaretto.storage import tables
from lazaretto.values import Column, PolicyRef, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from deltalake import CommitProperties, DeltaTable
    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace

CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Admission:
    """What entered the admitted dataset.

    Attributes:
        batch: whose rows.
        dataset: name of the dataset.
        uri: of its Delta table.
        version: Delta version that the commit made; None when there was nothing to admit.
        rows: how many rows it added.
        part: ``cleared``, or the id of a publication of reviewed records.
        seqs: ledger entries.
    """

    batch: str
    dataset: str
    uri: str
    version: int | None
    rows: int
    part: str = CLEARED
    seqs: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be admitted: a known number of rows, in the form of the dataset.

    Attributes:
        batch: whose rows.
        source: who delivered them.
        dataset: where to.
        name: ``cleared``, or a publication id.
        rows: how many; another number is an error.
        schema: of the rows, with the columns that admission adds.
        chunks: makes the stream of rows, anew on every call.
        policy: under which they were judged.
        case: whose publication it is; None for what the gate cleared.
    """

    batch: str
    source: str
    dataset: str
    name: str
    rows: int
    schema: pa.Schema
    chunks: Callable[[], Iterable[pa.RecordBatch]]
    policy: PolicyRef
    case: str | None = None


def dataset_path(dataset: str) -> str:
    """Where an admitted dataset lies in the store: in a folder of its own.

    Raises:
        UsageError: the name cannot be a dataset's.
    """
    return f"datasets/{check_dataset_name(dataset)}"


def dataset_uri(workspace: Workspace, dataset: str) -> str:
    """URI of an admitted dataset's Delta table.

    Raises:
        UsageError: the name cannot be a dataset's.
    """
    return workspace.store.uri(dataset_path(dataset))


def with_added(schema: pa.Schema) -> pa.Schema:
    """A batch's columns and those that admission adds.

    Raises:
        UsageError: the batch has a column of that name already.
    """
    for column in ADDED:
        if column.name in schema.names:
            raise UsageError(
                f"column {column.name!r} is reserved for what admission adds; rename it"
            )
        schema = schema.append(column)
    return schema


def added_columns(
    rows: pa.RecordBatch,
    batch: str,
    source: str,
    ids: pa.Array,
    weights: pa.Array | None = None,
) -> pa.RecordBatch:
    """Rows with the columns that say where each came from and what it weighs."""
    count = rows.num_rows
    added = [
        pa.repeat(batch, count),
        ids,
        pa.repeat(source, count),
        pa.repeat(1.0, count) if weights is None else weights,
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=with_added(rows.schema))


def find_admission(connection: Connection, dataset: str, batch: str, part: str) -> Row[Any] | None:
    """The row of an admission, intended or done."""
    query = sa.select(tables.admission).where(
        tables.admission.c.dataset == dataset,
        tables.admission.c.batch == batch,
        tables.admission.c.part == part,
    )
    return connection.execute(query).one_or_none()


def intend(connection: Connection, part: Part) -> None:
    """Puts on record that an admission begins; a retry finds it.

    Raises:
        UsageError: the dataset's name differs from another's only by letter case.
    """
    now = datetime.now(UTC)
    known = sa.select(tables.dataset.c.name).where(tables.dataset.c.name == part.dataset)
    if connection.scalar(known) is None:
        _refuse_twin(connection, part.dataset)
        connection.execute(tables.dataset.insert().values(name=part.dataset, created_at=now))
    if find_admission(connection, part.dataset, part.batch, part.name) is None:
        connection.execute(
            tables.admission.insert().values(
                dataset=part.dataset,
                batch=part.batch,
                part=part.name,
                rows=part.rows,
                policy=to_json(part.policy),
                intended_at=now,
            )
        )


def _refuse_twin(connection: Connection, dataset: str) -> None:
    """Names that differ by letter case are one folder to some stores, and one name to people."""
    twin = connection.scalar(
        sa.select(tables.dataset.c.name).where(
            sa.func.lower(tables.dataset.c.name) == dataset.lower()
        )
    )
    if twin is not None:
        raise UsageError(
            f"there is a dataset {twin!r} already: letter case alone does not tell {dataset!r} "
            "from it"
        )


def is_written(workspace: Workspace, dataset: str, batch: str, part: str) -> bool:
    """Whether the Delta commit of an admission is made, on record or not."""
    try:
        table = open_table(dataset_uri(workspace, dataset))
    except NotFoundError:
        return False
    return table.transaction_version(_app(batch, part)) is not None


def _app(batch: str, part: str) -> str:
    """What the Delta commit of an admission is known by."""
    return f"lazaretto:{batch}:{part}"


def admit_part(workspace: Workspace, part: Part) -> Admission:
    """Makes the Delta commit of an intended admission, once, then puts it on record.

    Killed anywhere in between, the same call goes on where it stopped.

    Raises:
        UsageError: the rows do not fit the dataset's columns.
        SystemFaultError: the store or the catalog cannot be used.
    """
    uri = dataset_uri(workspace, part.dataset)
    wanted = arrow_schema(open_or_create(uri, storable(part.schema)))
    check_fits(part.schema, wanted, part.dataset)

    def write(table: DeltaTable, properties: CommitProperties) -> None:
        append_rows(table, wanted, _counted(part, wanted), properties)

    version = commit_once(
        uri,
        _app(part.batch, part.name),
        {
            "lazaretto_batch": part.batch,
            "lazaretto_source": part.source,
            "lazaretto_policy": part.policy.sha256,
            "lazaretto_part": part.name,
        },
        write,
    )
    event = BatchAdmitted(
        batch=part.batch,
        dataset=part.dataset,
        version=version,
        rows=part.rows,
        part=part.name,
        policy=part.policy,
        columns=[Column(column.name, str(column.type)) for column in wanted],
        case=part.case,
    )
    with workspace.catalog.transaction() as connection:
        row = find_admission(connection, part.dataset, part.batch, part.name)
        if row is not None and row.seq is not None:
            return as_admission(row, uri)
        written = append(connection, event, actor=workspace.actor)
        connection.execute(
            tables.admission.update()
            .where(
                tables.admission.c.dataset == part.dataset,
                tables.admission.c.batch == part.batch,
                tables.admission.c.part == part.name,
            )
            .values(
                version=version,
                admitted_at=datetime.now(UTC),
                seq=written.seq,
                entry=written.hash,
            )
        )
    return Admission(part.batch, part.dataset, uri, version, part.rows, part.name, [written.seq])


def as_admission(row: Row[Any], uri: str) -> Admission:
    """A finished admission from its row."""
    return Admission(row.batch, row.dataset, uri, row.version, row.rows, row.part, [row.seq])


def _counted(part: Part, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows, cast; too few or too many stop the write before it is committed."""
    rows = 0
    for chunk in part.chunks():
        rows += chunk.num_rows
        yield conform(chunk, wanted)
    if rows != part.rows:
        raise SystemFaultError(
            f"{part.batch} gives {rows} rows to admit, but {part.rows} were judged: its copy in "
            "the store or the index of held records was changed"
        )
