"""Publishing: decisions in force become one commit of the admitted dataset, and are final."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.dataset.admission import (
    Admission,
    Part,
    added_columns,
    admit_part,
    as_admission,
    with_added,
)
from lazaretto.dataset.table import open_newest
from lazaretto.errors import UsageError
from lazaretto.quarantine.cases import find_case, held_file
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, RECORD
from lazaretto.quarantine.labels import as_label
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_chunks, read_schema
from lazaretto.values import Action, PolicyRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor, StoredFile

_held = tables.held_record
_decision = tables.decision
_admission = tables.admission
_RELEASING = [Action.RELEASE.value, Action.RELABEL.value, Action.REWEIGHT.value]
_ReleasedAs = tuple[str | None, float | None]


def publish(workspace: Workspace, case: str, *, actor: Actor) -> Admission | None:
    """Admits the records of a case that reviewers released, with their labels and weights.

    From the intent on, these records' decisions are final; a publication that was cut off is
    finished first. The case closes when every record is decided on.

    Args:
        workspace: catalog and store.
        case: its id.
        actor: who publishes; with ``review.require_two_people``, not who decided.

    Returns:
        The admission (its ``part`` is the publication's id). With nothing new to publish, that of
        the last publication of the case, so that a retry says the same; None if there was none.

    Raises:
        NotFoundError: no such case.
        UsageError: two people are required, or the records do not fit the dataset.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.
    """
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        _still(connection, case)
        name = _unfinished(connection, case) or _begin(connection, row, actor)
        if name is None:
            _close_when_decided(connection, case)
            last = _last(connection, workspace, row)
        else:
            part = _part(connection, workspace, row, name)
    if name is None:
        if last is not None:
            open_newest(workspace, last.dataset)  # cut off behind its record, that finishes it
        return last
    admission = admit_part(workspace, part)
    with workspace.catalog.transaction() as connection:
        _close_when_decided(connection, case)
    return admission


def _unfinished(connection: Connection, case: str) -> str | None:
    """A publication of this case that was begun and never went on record."""
    recorded = sa.select(_admission.c.part).where(_admission.c.part == _held.c.part)
    query = sa.select(_held.c.part).where(
        _held.c.case_id == case, _held.c.part.is_not(None), ~recorded.exists()
    )
    found = connection.scalar(query.limit(1))
    return None if found is None else str(found)


def _last(connection: Connection, workspace: Workspace, row: Row[Any]) -> Admission | None:
    ours = sa.select(_held.c.part).where(_held.c.case_id == row.id, _held.c.part.is_not(None))
    query = sa.select(_admission).where(_admission.c.part.in_(ours.distinct()))
    found = connection.execute(query.order_by(_admission.c.seq.desc()).limit(1)).one_or_none()
    return None if found is None else as_admission(connection, workspace, found)


def _begin(connection: Connection, row: Row[Any], actor: Actor) -> str | None:
    """Makes the decisions in force final, under the publication's id."""
    ready = [_held.c.case_id == row.id, _held.c.part.is_(None), _held.c.action.in_(_RELEASING)]
    query = sa.select(_held.c.position, _held.c.decision).where(*ready).order_by(_held.c.position)
    rows = connection.execute(query).all()
    if not rows:
        return None
    deciders = sa.select(_decision.c.actor_id).where(
        _decision.c.id.in_(sa.select(_held.c.decision).where(*ready).distinct())
    )
    if row.two_people and actor.id in set(connection.scalars(deciders)):
        raise UsageError(
            f"the policy of {row.id} asks for two people, and {actor.id} decided: somebody else "
            "publishes"
        )
    digest = hashlib.sha256(row.id.encode())
    for position, decision in rows:
        digest.update(f"\n{position} {decision}".encode())
    name = f"publication-{digest.hexdigest()[:16]}"
    connection.execute(_held.update().where(*ready).values(part=name))
    return name


def _part(connection: Connection, workspace: Workspace, row: Row[Any], name: str) -> Part:
    query = (
        sa.select(_held.c.position, _decision.c.label, _decision.c.weight)
        .join(_decision, _decision.c.id == _held.c.decision)
        .where(_held.c.case_id == row.id, _held.c.part == name)
    )
    released = {position: (label, weight) for position, label, weight in connection.execute(query)}
    held = held_file(connection, row)
    schema = read_schema(workspace.store, held)
    delivered = pa.schema([field for field in schema if field.name not in ADDED_NAMES])
    return Part(
        batch=row.batch,
        source=row.source,
        dataset=row.dataset,
        name=name,
        rows=len(released),
        schema=with_added(delivered),
        chunks=lambda: _released(workspace, row, held, delivered, released),
        policy=PolicyRef(**row.policy),
        check=lambda connection: _still(connection, row.id),
    )


def _still(connection: Connection, case: str) -> None:
    """Raises `UsageError` where a case was superseded since its publication began."""
    if (row := find_case(connection, case)).state == "SUPERSEDED":
        raise UsageError(f"{case} is superseded: {row.batch} was judged again since")


def _released(
    workspace: Workspace,
    row: Row[Any],
    held: StoredFile,
    delivered: pa.Schema,
    released: dict[int, _ReleasedAs],
) -> Iterator[pa.RecordBatch]:
    wanted = pa.array(list(released), pa.int64())
    label = row.columns["label"]
    for chunk in read_chunks(workspace.store, held):
        rows = chunk.filter(pc.is_in(chunk.column(POSITION), wanted))
        if not rows.num_rows:
            continue
        said = [released[position] for position in rows.column(POSITION).to_pylist()]
        weights = pa.array([1.0 if weight is None else weight for _, weight in said], pa.float64())
        columns = [
            _relabelled(rows.column(field.name), said)
            if field.name == label
            else rows.column(field.name)
            for field in delivered
        ]
        plain = pa.RecordBatch.from_arrays(columns, schema=delivered)
        yield added_columns(plain, row.batch, row.source, rows.column(RECORD), weights)


def _relabelled(labels: pa.Array, said: list[_ReleasedAs]) -> pa.Array:
    if all(label is None for label, _ in said):
        return labels
    new = [None if label is None else as_label(label, labels.type).as_py() for label, _ in said]
    changed = pa.array([label is not None for label, _ in said])
    return pc.if_else(changed, pa.array(new, labels.type), labels)


def _close_when_decided(connection: Connection, case: str) -> None:
    open_ = sa.exists().where(
        _held.c.case_id == case,
        _held.c.action.is_(None) | (_held.c.action.in_(_RELEASING) & _held.c.part.is_(None)),
    )
    connection.execute(
        tables.case.update()
        .where(tables.case.c.id == case, ~open_, tables.case.c.state == "OPEN")
        .values(state="CLOSED")
    )
