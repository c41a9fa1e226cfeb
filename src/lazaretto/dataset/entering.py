"""Rows on their way into a dataset, and what goes on record of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.delta import arrow_schema, schema_digest
from lazaretto.dataset.schema import conform
from lazaretto.errors import SystemFaultError
from lazaretto.ledger.events import BatchAdmitted
from lazaretto.values import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from deltalake import DeltaTable

    from lazaretto.dataset.part import Part
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile


def counted_rows(part: Part, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows, cast; too few or too many stop the write before anything is on record.

    Raises:
        AdmissionRefusedError: a value has no place in its column.
        SystemFaultError: there are fewer of them than were judged, or more.
    """
    rows = 0
    chunks = part.chunks()
    for chunk in chunks if part.classes is None else part.classes.counting(chunks):
        rows += chunk.num_rows
        yield conform(chunk, wanted, part.dataset)
    if rows != part.rows:
        raise SystemFaultError(
            f"{part.batch} gives {rows} rows to admit, but {part.rows} were judged: its copy in "
            "the store or the index of held records was changed"
        )


def admitted_event(
    workspace: Workspace,
    part: Part,
    table: DeltaTable,
    files: Sequence[DataFile],
    *,
    place: int = 1,
    together: int = 1,
) -> BatchAdmitted:
    """What goes on record of rows that enter with the version behind a table's.

    Args:
        workspace: whoever acts through it publishes them, where they were held.
        part: the rows.
        table: of the dataset, at the version before.
        files: that they were written to.
        place: of the batch among those that enter with the version, from 1.
        together: how many enter with it.
    """
    counts = None if part.classes is None else part.classes.counts
    return BatchAdmitted(
        batch=part.batch,
        dataset=part.dataset,
        version=table.version() + 1,
        rows=part.rows,
        part=part.name,
        policy=part.policy,
        table_id=str(table.metadata().id),
        schema=schema_digest(table),
        files=list(files),
        columns=[Column(column.name, str(column.type)) for column in arrow_schema(table)],
        case=part.case,
        releases=list(part.releases),
        approved_by=list(part.approved_by),
        published_by=None if part.case is None else workspace.actor.id,
        classes=None if counts is None else dict(sorted(counts.items())),
        place=place,
        together=together,
    )
