"""Released records as they enter the dataset: whole rows, with their new labels and weights."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.dataset.admission import Part, added_columns, with_added
from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, RECORD
from lazaretto.quarantine.labels import as_label
from lazaretto.storage.sidecars import read_chunks, read_schema
from lazaretto.values import Action, PolicyRef, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

RELEASING = (Action.RELEASE, Action.RELABEL, Action.REWEIGHT)
"""Actions by which a record enters the dataset."""


def released_part(
    workspace: Workspace,
    row: Row[Any],
    held: StoredFile,
    released: Mapping[int, Decision],
    *,
    name: str,
    approved_by: Sequence[str],
    first: bool,
    check: Callable[[Connection], None],
) -> Part:
    """What a publication admits.

    Args:
        workspace: catalog and store.
        row: of the case.
        held: the file with its held records.
        released: by position in that file, the decision that released a record.
        name: of the publication.
        approved_by: who approved it.
        first: nothing was on record of the dataset yet.
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
        releases=_releases(released),
        approved_by=tuple(approved_by),
    )


def _releases(released: Mapping[int, Decision]) -> tuple[Release, ...]:
    """How many records each decision releases, in order of the decisions."""
    counted = Counter(decision.id for decision in released.values())
    decisions = {decision.id: decision for decision in released.values()}
    inside = sorted(decisions.values(), key=lambda decision: decision.seq)
    return tuple(Release(one.id, counted[one.id], one.actor.id) for one in inside)


def _released(
    workspace: Workspace,
    row: Row[Any],
    held: StoredFile,
    released: Mapping[int, Decision],
    delivered: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    wanted = pa.array(list(released), pa.int64())
    label = row.columns["label"]
    for chunk in read_chunks(workspace.store, held):
        rows = chunk.filter(pc.is_in(chunk.column(POSITION), wanted))
        if not rows.num_rows:
            continue
        said = [released[position] for position in rows.column(POSITION).to_pylist()]
        weights = [1.0 if decision.weight is None else decision.weight for decision in said]
        columns = [
            _relabelled(rows.column(field.name), [decision.label for decision in said])
            if field.name == label
            else rows.column(field.name)
            for field in delivered
        ]
        plain = pa.RecordBatch.from_arrays(columns, schema=delivered)
        ids = rows.column(RECORD)
        yield added_columns(plain, row.batch, row.source, ids, pa.array(weights, pa.float64()))


def _relabelled(labels: pa.Array, said: list[str | None]) -> pa.Array:
    if all(label is None for label in said):
        return labels
    new = [None if label is None else as_label(label, labels.type).as_py() for label in said]
    changed = pa.array([label is not None for label in said])
    return pc.if_else(changed, pa.array(new, labels.type), labels)
