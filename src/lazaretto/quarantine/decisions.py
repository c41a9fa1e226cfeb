"""Puts decisions on record: the ids in a side-car, then one transaction with one ledger entry."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.authority.judgements import standing_judgement
from lazaretto.batch._ids import ids_digest
from lazaretto.errors import OvertakenError, UsageError
from lazaretto.ledger.events import CaseClosed, RecordsDecided
from lazaretto.ledger.state import Put, Update, entry_columns, record
from lazaretto.quarantine.cases import find_case, newest_decision
from lazaretto.quarantine.counts import all_under, count_now, move_counts
from lazaretto.quarantine.revoked import require_not_revoked
from lazaretto.received import find_batch
from lazaretto.storage import tables
from lazaretto.storage.bulk import bulk_insert
from lazaretto.storage.sidecars import write_table
from lazaretto.values import Action, Actor, StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace

_held = tables.held_record
_decision = tables.decision
_members = tables.decision_record


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it stands on record.

    Attributes:
        id: of the decision.
        case: its case.
        action: what was decided.
        records: how many held records it is about.
        ids: the file with them.
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
    ids: StoredFile
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
    """What is decided, before it is on record; see `Decision`.

    Attributes:
        filter: which records were asked for.
        seen: ledger entry of the newest decision on the case that whoever decides has seen; 0:
            none; None: they did not look.
    """

    action: Action
    reason: str
    filter: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    weight: float | None = None
    undoes: str | None = None
    seen: int | None = None


def record_decision(workspace: Workspace, case: str, selected: pa.Table, taken: Taken) -> Decision:
    """Commits a decision on selected records.

    Raises:
        UsageError: nothing is selected, a record is published, or the case is superseded.
        OvertakenError: there is a newer decision on the case than the one that was seen.
        AdmissionRefusedError: something is released whose source or key is revoked.
    """
    if not selected.num_rows:
        raise UsageError(f"no held record of {case} is selected")
    identity = f"decision-{uuid.uuid4().hex[:16]}"
    digest = ids_digest(selected["record_id"].to_pylist())
    ids = write_table(workspace.store, f"decisions/{identity}.parquet", selected)
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        require_open(connection, row)
        _require_seen(connection, case, taken.seen)
        _require_in_effect(connection, taken.undoes)
        if taken.undoes is None and taken.action is not Action.REJECT:
            require_not_revoked(connection, case, find_batch(connection, row.batch).event)
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
        entry = record(connection, event, changes, actor=workspace.actor)
        _refuse_published(index_decided(connection, event, selected["position"].to_pylist()))
        return decision_of(entry, event, None)


def _require_seen(connection: Connection, case: str, seen: int | None) -> None:
    if seen is None:
        return
    newest = newest_decision(connection, case)
    if newest != seen:
        raise OvertakenError(
            f"somebody else decided on {case} meanwhile (ledger entry {newest}): look again, "
            "then decide"
        )


def _require_in_effect(connection: Connection, undoes: str | None) -> None:
    query = sa.select(_decision.c.undone_by).where(_decision.c.id == undoes)
    if undoes is not None and connection.scalar(query) is not None:
        raise UsageError(f"{undoes} is undone already: somebody else was faster")


def changes(entry: Entry) -> Iterator[Change]:
    """What a decision, or the end of them, does; `index_decided` does it to the records' index."""
    match entry.event:
        case RecordsDecided() as event:
            values = decided_columns(event, entry.actor) | {"at": entry.at} | entry_columns(entry)
            yield Put(_decision, values)
            if event.undoes is not None:
                yield Update(_decision, {"id": event.undoes}, {"undone_by": event.decision})
            yield Update(tables.case, {"id": event.case}, {"state": "OPEN"})
        case CaseClosed() as event:
            yield Update(tables.case, {"id": event.case}, {"state": "CLOSED"})


def index_decided(connection: Connection, event: RecordsDecided, positions: Sequence[int]) -> int:
    """Puts a decision in force on its records, or takes one back, in the index of held records.

    Args:
        connection: of an open transaction, in which `changes` were made.
        event: what was decided.
        positions: of the records within the case.

    Returns:
        How many of them are published, so that they cannot be decided on any more.
    """
    rows = ((event.decision, position) for position in positions)
    bulk_insert(connection, _members, ("decision", "position"), rows)
    about = _about(event.case, event.decision)
    before, published = count_now(connection, about)
    if event.undoes is None:
        in_force = {"decision": event.decision, "action": event.action.value}
        connection.execute(_held.update().where(*about).values(in_force))
        after = all_under(before, event.action.value)
    else:
        _take_back(connection, event.case, event.decision, event.undoes)
        after, _ = count_now(connection, about)
    move_counts(connection, event.case, before, after)
    return published


def require_open(connection: Connection, row: Row[Any]) -> None:
    """A case may be decided on and published while its judgement stands, by the ledger.

    Raises:
        UsageError: the batch was judged again for this dataset, and has another case since.
    """
    if row.origin != "gate":
        return
    judged = standing_judgement(connection, row.batch, row.dataset)
    if judged is None or judged.event.case != row.id:
        raise UsageError(
            f"{row.id} is superseded: {row.batch} was judged again since, see its new case: "
            f"`lazaretto quarantine list --batch {row.batch}`"
        )


def decision_of(entry: Entry, event: RecordsDecided, undone_by: str | None) -> Decision:
    """A decision as its ledger entry tells it."""
    return Decision(
        id=event.decision,
        case=event.case,
        action=event.action,
        records=event.records,
        ids=event.ids,
        ids_digest=event.ids_digest,
        actor=entry.actor,
        reason=event.reason,
        label=event.label,
        weight=event.weight,
        undoes=event.undoes,
        undone_by=undone_by,
        seq=entry.seq,
    )


def decided_columns(event: RecordsDecided, actor: Actor) -> dict[str, Any]:
    """The catalog's columns of a decision, by what the ledger says."""
    return {
        "id": event.decision,
        "case_id": event.case,
        "action": event.action.value,
        "label": event.label,
        "weight": event.weight,
        "filter": event.filter,
        "records": event.records,
        "ids_digest": event.ids_digest,
        "actor_type": actor.type.value,
        "actor_id": actor.id,
        "reason": event.reason,
        "undoes": event.undoes,
    }


def _positions(decision: str) -> sa.Select[tuple[int]]:
    return sa.select(_members.c.position).where(_members.c.decision == decision)


def _about(case: str, decision: str) -> list[sa.ColumnElement[bool]]:
    return [_held.c.case_id == case, _held.c.position.in_(_positions(decision))]


def _refuse_published(published: int) -> None:
    if published:
        raise UsageError(
            f"{published} of these records are published already, which cannot be undone: "
            "`lazaretto dataset recall` takes them out of the next version"
        )


def _take_back(connection: Connection, case: str, identity: str, undone: str) -> None:
    """The newest decision on each record that stands is in force again, or none."""
    mine = [*_about(case, identity), _held.c.decision == undone]
    others = _members.alias()
    again = (
        sa.select(others.c.position, sa.func.max(_decision.c.seq).label("seq"))
        .join(_decision, _decision.c.id == others.c.decision)
        .where(
            _decision.c.case_id == case,
            _decision.c.undone_by.is_(None),
            _decision.c.undoes.is_(None),
            others.c.position.in_(_positions(identity)),
        )
        .group_by(others.c.position)
        .subquery()
    )
    stands = {"decision": _decision.c.id, "action": _decision.c.action}
    both = [again.c.position == _held.c.position, again.c.seq == _decision.c.seq]
    connection.execute(_held.update().where(*mine, *both).values(stands))
    none = {"decision": None, "action": None}
    connection.execute(_held.update().where(*mine).values(none))
