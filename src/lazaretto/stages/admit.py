"""Admit: the records of a judged batch that were not held enter the admitted dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from lazaretto.batch import record_ids
from lazaretto.dataset.admission import (
    CLEARED,
    Admission,
    Part,
    added_columns,
    admit_part,
    as_admission,
    dataset_uri,
    find_admission,
    intend,
    with_added,
)
from lazaretto.errors import UsageError
from lazaretto.policy import Columns
from lazaretto.storage import tables
from lazaretto.storage.batches import batch_row, find_batch, open_stored
from lazaretto.values import PolicyRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection, Row

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


def admit(
    workspace: Workspace, batch: str, dataset: str | None = None, *, policy: Policy | None = None
) -> Admission:
    """Writes the cleared records of a batch into the admitted dataset, once however often called.

    Args:
        workspace: catalog and store.
        batch: id of a judged batch.
        dataset: default: the dataset of the policy that judged it.
        policy: when given, it must be the one that judged the batch.

    Returns:
        The admission; ``rows`` is 0 and ``version`` None when nothing was cleared.

    Raises:
        NotFoundError: no such batch.
        UsageError: it is not judged, was judged by another policy, or does not fit the dataset.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.
    """
    data = open_stored(batch_row(workspace, batch))
    with workspace.catalog.transaction() as connection:
        row = find_batch(connection, batch)
        judged = _judged(connection, row)
        judged_by = PolicyRef(**judged["policy_ref"])
        if policy is not None and policy.sha256 != judged_by.sha256:
            raise UsageError(
                f"{batch} was judged by policy {judged_by.sha256[:12]}, not by "
                f"{policy.sha256[:12]}: run the stages before with the policy of now"
            )
        target = dataset or judged_by.dataset
        uri = dataset_uri(workspace, target)
        if not row.cleared:
            return Admission(batch, target, uri, None, 0)
        done = find_admission(connection, target, batch, CLEARED)
        if done is not None and done.seq is not None:
            return as_admission(done, uri)
        columns = Columns.model_validate(judged["columns"])
        held = _held_positions(connection, row.case_id)
        part = Part(
            batch=batch,
            source=row.source,
            dataset=target,
            name=CLEARED,
            rows=row.cleared,
            schema=with_added(data.schema),
            chunks=lambda: _cleared(row, columns, held),
            policy=judged_by,
        )
        intend(connection, workspace, part)
    return admit_part(workspace, part)


def _judged(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    query = (
        sa.select(tables.stage.c.summary)
        .where(tables.stage.c.batch == row.id, tables.stage.c.name == "gate")
        .order_by(tables.stage.c.seq.desc())
        .limit(1)
    )
    summary = connection.scalar(query)
    if row.verdict is None or summary is None:
        raise UsageError(f"{row.id} is not judged: run `gate` first")
    return dict(summary)


def _held_positions(connection: Connection, case: str | None) -> NDArray[np.int64]:
    query = sa.select(tables.held_record.c.position).where(tables.held_record.c.case_id == case)
    return np.fromiter(connection.scalars(query), np.int64)


def _cleared(row: Row[Any], columns: Columns, held: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    offset = 0
    for chunk in open_stored(row).chunks():
        keep = np.ones(chunk.num_rows, dtype=bool)
        here = held[(held >= offset) & (held < offset + chunk.num_rows)] - offset
        keep[here] = False
        ids = record_ids(chunk, columns, offset=offset)
        offset += chunk.num_rows
        mask = pa.array(keep)
        rows = chunk.filter(mask)
        if rows.num_rows:
            yield added_columns(rows, row.id, row.source, ids.filter(mask))
