"""Holds of an incident: what it stops, from when to when, by whom and why."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.holds import changes, hold_columns, hold_of, noun_of
from lazaretto.authority.policies import policy_in_force
from lazaretto.errors import ChangedStateError, NotFoundError, UsageError
from lazaretto.incidents.recorded import OPEN, read_incident
from lazaretto.ledger.chain import newest
from lazaretto.ledger.cover import agree, covering
from lazaretto.ledger.events import HoldLifted, HoldPlaced, ModelRegistered
from lazaretto.ledger.source_names import source_identity
from lazaretto.ledger.state import record
from lazaretto.names import check_dataset_name
from lazaretto.sources.recorded import read_source
from lazaretto.storage import tables
from lazaretto.text import excerpt
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.authority.holds import Hold
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

LONGEST_REASON = 4_000
_table = tables.incident_hold


def place_hold(
    workspace: Workspace, incident: str, what: HoldKind, name: str, *, reason: str
) -> bool:
    """Stops a source, a dataset or a model for an incident.

    Deliveries of a source are still received and screened; the gate holds each as a whole. Nothing
    enters a dataset, neither what the gate cleared nor what reviewers released. No version of a
    model is put in use. What is on hold for several incidents stays so until each has lifted it.

    Args:
        workspace: catalog and store; whoever acts through it placed the hold.
        incident: id of an open incident.
        what: what to stop.
        name: of the source, dataset or model.
        reason: why; stays on record.

    Returns:
        Whether it changed anything.

    Raises:
        NotFoundError: there is no such incident, source, dataset or model.
        UsageError: no reason, or the incident is closed.

    Examples:
        >>> from lazaretto.values import HoldKind
        >>> place_hold(workspace, incident, HoldKind.SOURCE, "vendor", reason="stolen key")
        True
    """
    _check_reason(reason)
    with workspace.catalog.transaction() as connection:
        if read_incident(connection, incident).state != OPEN:
            raise UsageError(f"{incident} is closed: open another incident to place a hold")
        return place(connection, incident, what, name, reason, workspace.actor)


def lift_hold(
    workspace: Workspace, incident: str, what: HoldKind, name: str, *, reason: str
) -> bool:
    """Ends a hold. What it held stays in quarantine: its cases are reviewed like any other.

    Args:
        workspace: catalog and store; whoever acts through it lifted the hold.
        incident: id of the incident that placed it.
        what: what was stopped.
        name: of the source, dataset or model.
        reason: why; stays on record.

    Returns:
        Whether it changed anything.

    Raises:
        NotFoundError: there is no such incident.
        UsageError: no reason.

    Examples:
        >>> from lazaretto.values import HoldKind
        >>> lift_hold(workspace, incident, HoldKind.SOURCE, "vendor", reason="new key")
        False
    """
    _check_reason(reason)
    with workspace.catalog.transaction() as connection:
        read_incident(connection, incident)
        if what is HoldKind.SOURCE:
            name = source_identity(connection, name)
        holds = standing_holds(connection, incident)
        if not any((hold.what, hold.name) == (what, name) for hold in holds):
            return False
        event = HoldLifted(incident, what, name, reason)
        record(connection, event, changes, actor=workspace.actor)
        return True


def place(
    connection: Connection, incident: str, what: HoldKind, name: str, reason: str, actor: Actor
) -> bool:
    """Places a hold inside the caller's transaction; see `place_hold`."""
    if what is HoldKind.SOURCE:
        name = source_identity(connection, name)
    _require_there(connection, what, name)
    if any((hold.what, hold.name) == (what, name) for hold in standing_holds(connection, incident)):
        return False
    event = HoldPlaced(incident, what, name, reason)
    record(connection, event, changes, actor=actor)
    return True


def standing_holds(connection: Connection, incident: str) -> list[Hold]:
    """The holds of an incident that are in force, oldest first.

    Raises:
        ChangedStateError: a row of the catalog does not say what the ledger says.
    """
    found = []
    query = _table.select().where(_table.c.incident == incident).order_by(_table.c.seq)
    for row in connection.execute(query).all():
        key = f"{row.incident} {row.what} {row.name}"
        entry = covering(connection, _table.name, key, row)
        if not isinstance(entry.event, HoldPlaced | HoldLifted):
            problem = f"ledger entry {row.seq} is a {entry.kind}"
            raise ChangedStateError(_table.name, key, problem)
        agree(_table.name, key, row, hold_columns(entry, entry.event))
        if isinstance(entry.event, HoldPlaced):
            found.append(hold_of(entry, entry.event))
    return found


def shell_of_holds(holds: Sequence[Hold]) -> list[str]:
    """The commands that lift some holds, for a shell."""
    return [
        shlex.join(
            ["lazaretto", "incident", "lift", hold.incident, f"--{noun_of(hold.what)}", hold.name]
        )
        + " --why TEXT"
        for hold in holds
    ]


def _require_there(connection: Connection, what: HoldKind, name: str) -> None:
    """Refuses a name that nothing has: its hold would stop nothing, and nobody would see that."""
    if what is HoldKind.SOURCE:
        read_source(connection, name)
    elif what is HoldKind.PUBLISHING:
        check_dataset_name(name)
        query = sa.select(tables.dataset.c.name).where(tables.dataset.c.name == name)
        if policy_in_force(connection, name) is None and connection.scalar(query) is None:
            raise NotFoundError(
                f"there is no dataset {name!r}: no policy is in force for it, and nothing is in it"
            )
    elif newest(connection, f"model:{name}", [ModelRegistered.kind]) is None:
        raise NotFoundError(
            f"no version of model {excerpt(name, 80)!r} is registered; `lazaretto model list`"
        )


def _check_reason(reason: str) -> None:
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise UsageError(f"a reason has 1 to {LONGEST_REASON:,} characters")
