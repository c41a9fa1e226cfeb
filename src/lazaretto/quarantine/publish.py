"""Publishing: decisions in force become one commit of the admitted dataset, and are final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.authority.conditions import kept_envelope, refusals_on_record, require_admissible
from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.admission import (
    Admission,
    admit_part,
    find_admission,
    is_unused,
)
from lazaretto.dataset.history import lost_since
from lazaretto.dataset.table import open_newest
from lazaretto.errors import AdmissionRefusedError, SystemFaultError
from lazaretto.ledger.deletions import deletion_of
from lazaretto.ledger.events import CaseClosed
from lazaretto.ledger.state import record
from lazaretto.policy import Evolve
from lazaretto.quarantine.approvals import Approval, approvals_of
from lazaretto.quarantine.cases import find_case, held_file
from lazaretto.quarantine.decisions import changes, require_open
from lazaretto.quarantine.fitting import named_in_contract
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.index import check_index
from lazaretto.quarantine.intent import (
    begin,
    give_up,
    publication_id,
    require_begun,
    unfinished_publication,
    unpublished,
)
from lazaretto.quarantine.released import RELEASING, released_part
from lazaretto.quarantine.revoked import overridden
from lazaretto.quarantine.standing import Publication, decisions_of, publications_of
from lazaretto.quarantine.two_people import asks_for_two, require_two_people
from lazaretto.quarantine.weights import require_weights
from lazaretto.received import find_batch, on_record
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.quarantine.in_force import Standing
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_held = tables.held_record


@dataclass(frozen=True, slots=True)
class _View:
    """A case as it stands by the ledger, in one view of the catalog."""

    row: Row[Any]
    received: Received
    envelope: bytes | None
    held: StoredFile
    decisions: list[Decision]
    publications: list[Publication]
    approvals: list[Approval]
    released: Standing
    name: str | None
    resumed: bool
    first: bool
    evolve: Evolve
    named: list[str]


def publish(workspace: Workspace, case: str) -> Admission | None:
    """Admits the records of a case that reviewers released, with their labels and weights.

    What is published is what the ledger's decisions say, whatever the catalog's tables say. From
    the intent on, these records' decisions are final; a publication that was cut off is finished
    first. Where it is refused, they can be taken back again. The case closes when every record is
    decided on.

    What admission asks for is checked again: source, key and signature of the delivery, by the
    policy that is in force now; and two people, where that policy or the judgement asks for them:
    the second one publishes, or has approved this publication, see `approve`.

    Args:
        workspace: catalog and store; whoever acts through it is on record as the publisher.
        case: its id.

    Returns:
        The admission (its ``part`` is the publication's id). With nothing new to publish, that of
        the last publication of the case, so that a retry says the same; None if there was none.

    Raises:
        NotFoundError: no such case.
        UsageError: the case is superseded, or the records do not fit the dataset.
        AdmissionRefusedError: two people are required, or something speaks against the delivery
            now; it is on record.
        ChangedFileError: a stored file is gone or was changed.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.

    Examples:
        >>> from lazaretto.quarantine.review import decide
        >>> from lazaretto.values import Action
        >>> _ = decide(workspace, case, Action.RELEASE, ids=["u0"], reason="looked at")
        >>> publish(workspace, case).rows
        1
    """
    while True:
        admission, resumed = _publish(workspace, case)
        if not resumed:  # behind one that was cut off, more may have been released
            return admission


def _publish(workspace: Workspace, case: str) -> tuple[Admission | None, bool]:
    """One publication, and whether it was one that was cut off."""
    with workspace.catalog.read() as connection:
        batch = find_case(connection, case).batch
    with on_record(workspace, batch, "publish"), refusals_on_record(workspace, batch, case):
        with workspace.catalog.read() as connection:
            view = _look(connection, workspace, case)
        name = view.name
        if name is None:
            return _nothing_new(workspace, view), False

        def check(connection: Connection) -> None:
            require_open(connection, view.row)
            require_begun(connection, case, name, len(view.released))
            _check(connection, workspace, view)

        part = released_part(
            workspace,
            view.row,
            view.held,
            view.released,
            name=name,
            approved_by=sorted({approval.by.id for approval in view.approvals}),
            first=view.first,
            evolve=view.evolve,
            named=view.named,
            check=check,
        )
        try:
            with workspace.catalog.transaction() as connection:
                _unchanged(connection, view)
                _check(connection, workspace, view)
                if not view.resumed:
                    begin(connection, case, name, view.released)
            admission = admit_part(workspace, part)
        except AdmissionRefusedError:
            with workspace.catalog.transaction() as connection:
                give_up(connection, batch, case, name)
            raise
    with workspace.catalog.transaction() as connection:
        close_when_decided(connection, workspace, view.row)
    return admission, view.resumed


def _nothing_new(workspace: Workspace, view: _View) -> Admission | None:
    """The last publication of a case that has nothing to publish; the case may close by it."""
    with workspace.catalog.transaction() as connection:
        _unchanged(connection, view)
        close_when_decided(connection, workspace, view.row)
        last = _last(connection, workspace, view)
    if last is not None:
        open_newest(workspace, last.dataset)  # cut off behind its record, it is finished
    return last


def _look(connection: Connection, workspace: Workspace, case: str) -> _View:
    row, store = find_case(connection, case), workspace.store
    require_open(connection, row)
    held = held_file(connection, row)
    received = find_batch(connection, row.batch)
    decisions = decisions_of(connection, case)
    standing = in_force(store, decisions)
    # Of a file that retention deleted, nothing more is released.
    kept = held if deletion_of(connection, row.batch, held.path) is None else None
    parts = check_index(connection, store, row, kept, standing)
    publications = publications_of(connection, row.batch, case)
    newest = {publication.part: publication for publication in publications}
    lost = {
        part
        for part, last in newest.items()
        if lost_since(connection, last.dataset, row.batch, part, last.version)
    }
    unfinished = unfinished_publication(case, parts, standing, publications, lost)
    released = unpublished(standing, parts)
    if unfinished is not None:
        released = standing.among(parts[unfinished])
    name = publication_id(case, released.pairs()) if len(released) else None
    newest_one = decisions[-1].seq if decisions else 0
    policy = policy_in_force(connection, row.dataset)
    return _View(
        row=row,
        received=received,
        envelope=kept_envelope(workspace, received),
        held=held,
        decisions=decisions,
        publications=publications,
        # What began is made of decisions that are final: newer ones are on other records.
        approvals=[
            approval
            for approval in approvals_of(connection, case)
            if approval.publication == name
            and (unfinished is not None or approval.decided == newest_one)
        ],
        released=released,
        name=name,
        resumed=unfinished is not None,
        first=is_unused(connection, row.dataset),
        evolve=Evolve() if policy is None else policy.rules.evolve,
        named=named_in_contract(connection, row),
    )


def _unchanged(connection: Connection, view: _View) -> None:
    """Under the writers' lock: nobody decided or published since the case was looked at.

    Raises:
        SystemFaultError: somebody did.
    """
    case = view.row.id
    require_open(connection, view.row)
    now = (
        decisions_of(connection, case),
        publications_of(connection, view.row.batch, case),
    )
    if now != (view.decisions, view.publications):
        raise SystemFaultError(
            f"{case} was decided on while it was published: look at it, then run "
            f"`lazaretto quarantine publish {case}` again"
        )


def _check(connection: Connection, workspace: Workspace, view: _View) -> None:
    """What admission asks for, by the policy in force now."""
    dataset = view.row.dataset
    policy = policy_in_force(connection, dataset)
    if policy is None:
        raise AdmissionRefusedError(
            f"no policy is in force for dataset {dataset!r}: `lazaretto policy register FILE "
            "--reason TEXT` puts one in force",
            code="no_policy",
            dataset=dataset,
        )
    decisions = view.released.used()
    if asks_for_two(view.row, policy):
        approvers = [approval.by for approval in view.approvals]
        require_two_people(view.row.id, dataset, workspace.actor, decisions, approvers)
    require_weights(connection, view.row, decisions)
    require_admissible(
        connection,
        view.received,
        view.envelope,
        policy.rules,
        overridden=overridden(connection, view.row.id, view.received.source),
    )


def _last(connection: Connection, workspace: Workspace, view: _View) -> Admission | None:
    if not view.publications:
        return None
    last = view.publications[-1]
    return find_admission(connection, workspace, last.dataset, view.row.batch, last.part)


def close_when_decided(connection: Connection, workspace: Workspace, row: Row[Any]) -> None:
    """Closes a case whose records are all decided on, and published where they were released."""
    releasing = [action.value for action in RELEASING]
    waiting = sa.exists().where(
        _held.c.case_id == row.id,
        _held.c.action.is_(None) | (_held.c.action.in_(releasing) & _held.c.part.is_(None)),
    )
    table = tables.case
    open_ = sa.select(table.c.id).where(table.c.id == row.id, table.c.state == "OPEN", ~waiting)
    if connection.scalar(open_) is not None:
        event = CaseClosed(row.id, row.batch)
        record(connection, event, changes, actor=workspace.actor)
