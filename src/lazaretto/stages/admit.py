"""Admit: the records of a judged batch that were not held enter the admitted dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from lazaretto.batch import records
from lazaretto.dataset.admission import (
    CLEARED,
    Admission,
    Part,
    added_columns,
    admit_part,
    find_admission,
    with_added,
)
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.table import open_newest
from lazaretto.errors import ChangedFileError, UsageError
from lazaretto.ledger.chain import newest
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import BatchJudged
from lazaretto.policy import Columns
from lazaretto.quarantine.held import POSITION
from lazaretto.received import find_batch, open_stored
from lazaretto.stages.gate import judged_columns
from lazaretto.stages.results import on_record
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

    from lazaretto.batch import Batch
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace


def admit(
    workspace: Workspace, batch: str, dataset: str | None = None, *, policy: Policy | None = None
) -> Admission:
    """Writes the cleared records of a batch into the admitted dataset, once however often called.

    What the ledger says is held stays out, whatever the catalog's tables say.

    Args:
        workspace: catalog and store.
        batch: id of a judged batch.
        dataset: default: the dataset of the policy that judged it.
        policy: when given, it must mean what the policy that judged the batch meant.

    Returns:
        The admission; ``rows`` is 0 and ``version`` None when nothing was cleared. Of a batch that
        was recalled since, ``recalled`` names the recall, and ``rows`` is what is left.

    Raises:
        NotFoundError: no such batch.
        UsageError: it is not judged, was judged by another policy, or does not fit the dataset.
        ChangedFileError: a stored file is gone or was changed.
        ChangedStateError: the catalog does not say what the ledger says.
        ChangedDatasetError: the dataset's table is not the one that is on record.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.
    """
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        judged = read_judgement(connection, batch)
        if policy is not None and policy.meaning != judged.policy.meaning:
            raise UsageError(
                f"{batch} was judged by policy {judged.policy.sha256[:12]}, not by "
                f"{policy.sha256[:12]}: run the stages before with the policy of now"
            )
        target = dataset or judged.policy.dataset
        uri = dataset_uri(workspace, target)
        if not judged.cleared:
            return Admission(batch, target, uri, None, 0)
        done = find_admission(connection, workspace, target, batch, CLEARED)
    if done is not None:
        open_newest(workspace, target)  # cut off behind its record, it is finished by that
        return done
    with on_record(workspace, batch, "admit"):
        data = open_stored(workspace, received)
        held = _held_positions(workspace, judged)
        columns = Columns(record_id=judged.columns.record_id)
        part = Part(
            batch=batch,
            source=received.source,
            dataset=target,
            name=CLEARED,
            rows=judged.cleared,
            schema=with_added(data.schema),
            chunks=lambda: _cleared(received, data, columns, held),
            policy=judged.policy,
            check=lambda connection: _still(connection, judged),
        )
        return admit_part(workspace, part)


def _still(connection: Connection, judged: BatchJudged) -> None:
    """What was true at the beginning must be true when the admission goes on record.

    Raises:
        UsageError: the batch was judged again in the meantime.
    """
    if read_judgement(connection, judged.batch) != judged:
        raise UsageError(f"{judged.batch} was judged again while it was admitted: admit it again")


def read_judgement(connection: Connection, batch: str) -> BatchJudged:
    """The newest judgement of a batch, from the ledger; the batch's row must say the same.

    Raises:
        UsageError: it is not judged.
        ChangedStateError: its row in the catalog says something else.
    """
    found = newest(connection, f"batch:{batch}", [BatchJudged.kind])
    if found is None or not isinstance(found.event, BatchJudged):
        raise UsageError(f"{batch} is not judged: run `gate` first")
    row = connection.execute(sa.select(tables.batch).where(tables.batch.c.id == batch)).one()
    agree("batch", batch, row, judged_columns(found.event))
    return found.event


def _held_positions(workspace: Workspace, judged: BatchJudged) -> NDArray[np.int64]:
    """Rows of the batch that the gate holds, from the held records themselves.

    Raises:
        ChangedFileError: the file is gone, was changed, or holds another number of records.
    """
    if judged.held_records is None:
        return np.zeros(0, np.int64)
    file = judged.held_records
    positions = read_table(workspace.store, file, columns=[POSITION])[POSITION]
    if len(positions) != judged.held:
        found = f"it holds {len(positions)} records instead of {judged.held}"
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    return np.sort(positions.to_numpy())


def _cleared(
    batch: Received, data: Batch, columns: Columns, held: NDArray[np.int64]
) -> Iterator[pa.RecordBatch]:
    offset = 0
    for ids, chunk in records(data, columns):
        keep = np.ones(chunk.num_rows, dtype=bool)
        here = held[(held >= offset) & (held < offset + chunk.num_rows)] - offset
        keep[here] = False
        offset += chunk.num_rows
        mask = pa.array(keep)
        rows = chunk.filter(mask)
        if rows.num_rows:
            yield added_columns(rows, batch.id, batch.source, ids.filter(mask))
