"""Released records as they enter the dataset: whole rows, with their new labels and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.dataset.classes import ClassCounts
from lazaretto.dataset.part import Part, added_columns, with_added
from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.held import ADDED_NAMES, FLAGS, POSITION, RECORD
from lazaretto.quarantine.labels import as_label
from lazaretto.storage.sidecars import keyed_chunks, read_schema
from lazaretto.values import Action, PolicyRef, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection, Row

    from lazaretto.policy import Evolve
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.quarantine.in_force import Standing
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

RELEASING = (Action.RELEASE, Action.RELABEL, Action.REWEIGHT)
"""Actions by which a record enters the dataset."""


def released_part(
    workspace: Workspace,
    row: Row[Any],
    held: StoredFile,
    released: Standing,
    *,
    name: str,
    approved_by: Sequence[str],
    first: bool,
    evolve: Evolve,
    named: Sequence[str],
    check: Callable[[Connection], None],
) -> Part:
    """What a publication admits.

    Args:
        workspace: catalog and store.
        row: of the case.
        held: the file with its held records.
        released: the records to admit, with the decisions that released them.
        name: of the publication.
        approved_by: who approved it.
        first: nothing was on record of the dataset yet.
        evolve: how the policy in force lets the dataset's columns change.
        named: columns that the contract names.
        check: called in the transaction that puts it on record.

    Raises:
        UsageError: a column of the batch has a name that admission needs.
        ChangedFileError: the file is gone or was changed.
    """
    with deletions_told(workspace.catalog.read, row.batch):
        schema = read_schema(workspace.store, held)
    delivered = pa.schema([field for field in schema if field.name not in ADDED_NAMES])
    return Part(
        batch=row.batch,
        source=row.source,
        dataset=row.dataset,
        name=name,
        rows=len(released),
        schema=with_added(delivered),
        chunks=lambda: _released(workspace, row, held, released, delivered),
        policy=PolicyRef(**row.policy),
        case=row.id,
        check=check,
        first=first,
        evolve=evolve,
        named=tuple(named),
        releases=_releases(released),
        classes=ClassCounts(row.columns["label"]),
        approved_by=tuple(approved_by),
    )


def _releases(released: Standing) -> tuple[Release, ...]:
    """How many records each decision releases, in order of the decisions."""
    counts = np.bincount(released.which, minlength=len(released.decisions)).tolist()
    both = zip(released.decisions, counts, strict=True)
    return tuple(Release(one.id, count, one.actor.id) for one, count in both if count)


def _released(
    workspace: Workspace,
    row: Row[Any],
    held: StoredFile,
    released: Standing,
    delivered: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    label = row.columns["label"]
    said = [1.0 if decision.weight is None else decision.weight for decision in released.decisions]
    weights = pa.array(said, pa.float64())
    positions = pa.array(released.positions)
    for rows in keyed_chunks(workspace.store, held, POSITION, positions):
        if not rows.num_rows:
            continue
        which = released.find(rows.column(POSITION).to_numpy())
        columns = [
            _relabelled(rows.column(field.name), released.decisions, which)
            if field.name == label
            else rows.column(field.name)
            for field in delivered
        ]
        plain = pa.RecordBatch.from_arrays(columns, schema=delivered)
        ids = rows.column(RECORD)
        flags = rows.column(FLAGS) if FLAGS in rows.schema.names else None
        weight = weights.take(pa.array(which))
        yield added_columns(plain, row.batch, row.source, ids, weight, flags)


def _relabelled(
    labels: pa.Array, decisions: Sequence[Decision], which: NDArray[np.int32]
) -> pa.Array:
    for place in np.unique(which).tolist():
        new = decisions[place].label
        if new is not None:
            mine = pa.array(which == place)
            labels = pc.if_else(mine, as_label(new, labels.type), labels)
    return labels
