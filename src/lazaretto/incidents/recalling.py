"""Takes back from a dataset what is in question of an incident, whatever its question is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.recall import recall
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.incidents.recorded import read_incident
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.standing import decisions_of
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.recall import Recall
    from lazaretto.storage.workspace import Workspace

_NOTHING = {
    "dataset": "a version of a dataset stays as it is",
    "model": "a model is no data",
}


def take_back(workspace: Workspace, incident: str, dataset: str, *, reason: str = "") -> Recall:
    """Recalls what is in question of an incident, by its last answer.

    Of a record and of a decision only those records, else all records of its batches.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        incident: its id.
        dataset: from which dataset.
        reason: why; default: the incident's id.

    Raises:
        NotFoundError: no such incident or dataset, or it never had any of these records.
        UsageError: no batch is in question, or the incident is about a dataset version or a model:
            they name no records that are to blame.

    Examples:
        >>> take_back(workspace, incident, "reviews").records
        114
    """
    with workspace.catalog.read() as connection:
        found = read_incident(connection, incident)
        asked = found.question
        if asked.kind in _NOTHING:
            raise UsageError(
                f"{_NOTHING[asked.kind]}: recall the batch or the source that is to blame"
            )
        ids = None
        if asked.kind == "record":
            ids = [asked.subject]
        elif asked.kind == "decision":
            ids = _released(workspace, connection, asked.subject)
    batches = found.answer.batches
    if not batches:
        raise UsageError(f"no batch is in question of {incident}: there is nothing to take back")
    why = reason or incident
    if ids is not None:
        return recall(workspace, dataset, ids=ids, reason=why)
    return recall(workspace, dataset, batches=batches, reason=why)


def _released(workspace: Workspace, connection: Connection, decision: str) -> list[str]:
    """Ids of the records on which a decision is in force; all of its own, where it is undone."""
    row = connection.execute(
        tables.decision.select().where(tables.decision.c.id == decision)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no decision {decision!r}")
    case = tables.case.c
    batch = connection.scalar(sa.select(case.batch).where(case.id == row.case_id))
    decisions = decisions_of(connection, row.case_id)
    mine = next(one for one in decisions if one.id == decision)
    records = read_table(workspace.store, mine.ids, columns=["position", "record_id"])
    standing = in_force(workspace.store, decisions)
    if any(one.id == decision for one in standing.decisions):
        which = standing.find(records["position"].to_numpy())
        records = records.filter([standing.decisions[place].id == decision for place in which])
    return [f"{batch}#{record}" for record in records["record_id"].to_pylist()]
