"""Puts decisions on record: the ids in a side-car, then one transaction with one ledger entry."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.batch._ids import ids_digest
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import RecordsDecided
from lazaretto.quarantine.cases import find_case
from lazaretto.storage import tables
from lazaretto.storage.bulk import bulk_insert
from lazaretto.storage.sidecars import write_table
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.workspace import Workspace

_held = tables.held_record
_decision = tables.decision
_members = tables.decision_record
_AT_ONCE = 10_000  # bound parameters of one statement: SQLite takes 32,766
_SCHEMA = pa.schema([("position", pa.int64()), ("record_id", pa.string())])


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it stands on record.

    Attributes:
        id: of the decision.
        case: its case.
        action: what was decided.
        records: how many held records it is about.
        ids_digest: sha256 (hex) of their ids.
        actor: who.
        reason: why.
        label: new label, for ``RELABEL``.
        weight: sample weight, for ``REWEIGHT``.
        undoes: the decision that this one takes back.
        undone_by: the decision that took this one back.
        seq: ledger entry.
    """

    id: str
    case: str
    action: Action
    records: int
    ids_digest: str
    actor: Actor
    reason: str
    label: str | None
    weight: float | None
    undoes: str | None
    undone_by: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What is decided, before it is on record; see `Decision`."""

    action: Action
    actor: Actor
    reason: str
    filter: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    weight: float | None = None
    undoes: str | None = None


def select_records(
    connection: Connection, conditions: Sequence[sa.ColumnElement[bool]]
) -> pa.Table:
    """Position and record id of the held records that meet conditions, in order of position."""
    query = sa.select(_held.c.position, _held.c.record_id).where(*conditions)
    rows = connection.execute(query.order_by(_held.c.position)).all()
    return pa.table(
        [pa.array([row[0] for row in rows]), pa.array([row[1] for row in rows])], schema=_SCHEMA
    )


def select_ids(connection: Connection, case: str, ids: Collection[str]) -> pa.Table:
    """The same for record ids.

    Raises:
        NotFoundError: an id that is not held in the case.
    """
    wanted = sorted(set(ids))
    parts = [_SCHEMA.empty_table()]
    for start in range(0, len(wanted), _AT_ONCE):
        some = _held.c.record_id.in_(wanted[start : start + _AT_ONCE])
        parts.append(select_records(connection, [_held.c.case_id == case, some]))
    found = pa.concat_tables(parts).sort_by("position")
    if missing := sorted(set(wanted) - set(found["record_id"].to_pylist())):
        raise NotFoundError(
            f"{len(missing)} of {len(wanted)} records are not held in {case}: {missing[:3]}"
        )
    return found


def record_decision(workspace: Workspace, case: str, selected: pa.Table, taken: Taken) -> Decision:
    """Commits a decision on selected records.

    Raises:
        UsageError: nothing is selected, or a record is published.
    """
    if not selected.num_rows:
        raise UsageError(f"no held record of {case} is selected")
    identity = f"decision-{uuid.uuid4().hex[:16]}"
    digest = ids_digest(selected["record_id"].to_pylist())
    ids = write_table(workspace.store, f"decisions/{identity}.parquet", selected)
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        event = RecordsDecided(
            decision=identity,
            case=case,
            batch=row.batch,
            action=taken.action,
            records=selected.num_rows,
            ids_digest=digest,
            ids=ids,
            reason=taken.reason,
            filter=taken.filter,
            label=taken.label,
            weight=taken.weight,
            undoes=taken.undoes,
        )
        written = append(connection, event, actor=taken.actor)
        connection.execute(
            _decision.insert().values(
                id=identity,
                case_id=case,
                action=taken.action.value,
                label=taken.label,
                weight=taken.weight,
                filter=taken.filter,
                records=selected.num_rows,
                ids_digest=digest,
                actor_type=taken.actor.type.value,
                actor_id=taken.actor.id,
                reason=taken.reason,
                at=datetime.now(UTC),
                undoes=taken.undoes,
                seq=written.seq,
                entry=written.hash,
            )
        )
        positions = selected["position"].to_pylist()
        rows = ((identity, position) for position in positions)
        bulk_insert(connection, _members, ("decision", "position"), rows)
        _refuse_published(connection, case, identity)
        if taken.undoes is None:
            _put_in_force(connection, case, identity, taken.action)
        else:
            _take_back(connection, case, identity, taken.undoes)
        connection.execute(
            tables.case.update().where(tables.case.c.id == case).values(state="OPEN")
        )
        recorded = connection.execute(sa.select(_decision).where(_decision.c.id == identity)).one()
        return as_decision(recorded)


def as_decision(row: Row[Any]) -> Decision:
    """A decision from its row."""
    return Decision(
        id=row.id,
        case=row.case_id,
        action=Action(row.action),
        records=row.records,
        ids_digest=row.ids_digest,
        actor=Actor(ActorType(row.actor_type), row.actor_id),
        reason=row.reason,
        label=row.label,
        weight=row.weight,
        undoes=row.undoes,
        undone_by=row.undone_by,
        seq=row.seq,
    )


def _about(case: str, decision: str) -> list[sa.ColumnElement[bool]]:
    members = sa.select(_members.c.position).where(_members.c.decision == decision)
    return [_held.c.case_id == case, _held.c.position.in_(members)]


def _refuse_published(connection: Connection, case: str, decision: str) -> None:
    query = sa.select(sa.func.count()).where(*_about(case, decision), _held.c.part.is_not(None))
    published = connection.scalar(query.select_from(_held))
    if published:
        raise UsageError(
            f"{published} of these records are published already, which cannot be undone: "
            "`lazaretto dataset recall` takes them out of the next version"
        )


def _put_in_force(connection: Connection, case: str, decision: str, action: Action) -> None:
    connection.execute(
        _held.update().where(*_about(case, decision)).values(decision=decision, action=action.value)
    )


def _take_back(connection: Connection, case: str, identity: str, undone: str) -> None:
    """The newest decision on each record that stands is in force again, or none."""
    connection.execute(
        _decision.update().where(_decision.c.id == undone).values(undone_by=identity)
    )
    newest = (
        sa.select(_decision.c.id)
        .join(_members, _members.c.decision == _decision.c.id)
        .where(
            _decision.c.case_id == case,
            _members.c.position == _held.c.position,
            _decision.c.undone_by.is_(None),
            _decision.c.undoes.is_(None),
        )
        .order_by(_decision.c.seq.desc())
        .limit(1)
        .correlate(_held)
        .scalar_subquery()
    )
    about = [*_about(case, identity), _held.c.decision == undone]
    connection.execute(_held.update().where(*about).values(decision=newest))
    action = (
        sa.select(_decision.c.action).where(_decision.c.id == _held.c.decision).scalar_subquery()
    )
    connection.execute(_held.update().where(*_about(case, identity)).values(action=action))
