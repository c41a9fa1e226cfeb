"""Review: decisions on ids, a filter or a whole case; undone by a counter-entry, never erased."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.authority.policies import policy_in_force, policy_ref, require_in_force
from lazaretto.errors import DeletedPayloadError, NotFoundError, OvertakenError, UsageError
from lazaretto.ledger.deletions import deletion_of
from lazaretto.quarantine.approvals import Approval, approvals_of
from lazaretto.quarantine.approve import approve
from lazaretto.quarantine.cases import (
    Case,
    find_case,
    held_file,
    list_cases,
    newest_decision,
    show_case,
)
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.decisions import (
    Decision,
    Taken,
    record_decision,
    require_open,
)
from lazaretto.quarantine.fitting import require_fits
from lazaretto.quarantine.labels import as_label
from lazaretto.quarantine.publish import publish
from lazaretto.quarantine.records import HeldRecord, count_records, held_records, held_rows
from lazaretto.quarantine.released import RELEASING
from lazaretto.quarantine.selection import select_ids, select_positions, select_records
from lazaretto.quarantine.standing import (
    Publication,
    decisions_of,
    publications_of,
)
from lazaretto.quarantine.two_people import asks_for_two
from lazaretto.quarantine.weights import check_weight, most_weight
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_schema, read_table
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.policy import Policy
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

__all__ = [
    "Approval",
    "Case",
    "Decision",
    "HeldRecord",
    "Publication",
    "approve",
    "check_values",
    "count_records",
    "decide",
    "expire",
    "held_records",
    "held_rows",
    "list_approvals",
    "list_cases",
    "list_decisions",
    "list_publications",
    "needs_two_people",
    "publish",
    "show_case",
    "undo",
    "weight_limit",
]


def decide(
    workspace: Workspace,
    case: str,
    action: Action,
    *,
    ids: Collection[str] | None = None,
    positions: Collection[int] | None = None,
    filter: Mapping[str, str] | None = None,  # noqa: A002
    all: bool = False,  # noqa: A002
    reason: str,
    label: str | None = None,
    weight: float | None = None,
    seen: int | None = None,
    expected: int | None = None,
) -> Decision:
    """Decides on held records; one ledger entry, however many they are.

    Nothing is admitted by it: `publish` does that. A later decision on the same record replaces an
    earlier one until it is published.

    Args:
        workspace: catalog and store.
        case: its id.
        action: release, reject, relabel (release under another label) or reweight (release with a
            sample weight).
        ids: record ids, as in `HeldRecord.record_id`.
        positions: instead of ids, see `HeldRecord.position`.
        filter: instead of ids, see `held_records`.
        all: instead of ids, every record of the case.
        reason: why; stays on record for ever.
        label: for ``RELABEL``, in text; must fit the type of the label column.
        weight: for ``REWEIGHT``, above 0 and at most the ``review.max_weight`` of the policy in
            force and of the one that the case was judged by; other releases weigh 1.
        seen: `Case.decided` of the case as whoever decides has seen it; a newer decision of
            somebody else is then an error, not overruled unseen.
        expected: how many records must be selected; another number is an error.

    Raises:
        NotFoundError: no such case, or a record that is not held in it.
        OvertakenError: the case is not any more what was seen or expected.
        UsageError: arguments that do not go together, nothing selected, or records that are
            published already (those can be recalled).
        AdmissionRefusedError: code ``does_not_fit``: records that would be released have no place
            in the dataset as it is, by the policy in force.
        ChangedStateError: the index of held records selects others than their file and the ledger
            do, or says something else of them.

    Examples:
        >>> decide(workspace, case, Action.REJECT, all=True, reason="labels are wrong").records
        6
    """
    _check_arguments(action, [ids is not None, positions is not None, bool(filter), all], reason)
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        require_open(connection, row)
        held = held_file(connection, row)
        _check_value(workspace.store, connection, row, held, action, label, weight)
        place = (connection, workspace.store, row, held)
        if ids is not None:
            selected = select_ids(*place, ids)
        elif positions is not None:
            selected = select_positions(*place, positions)
        else:
            selected = select_records(*place, filter or {})
            if seen is None and "action" in (filter or {}):
                # What was chosen for what is decided on it is not what others decided on since.
                seen = newest_decision(connection, case)
    if expected is not None and selected.num_rows != expected:
        raise OvertakenError(
            f"{selected.num_rows} records of {case} are selected now, not {expected}: look again"
        )
    if action in RELEASING:
        require_fits(workspace, row, held, selected)
    taken = Taken(
        action=action,
        reason=reason,
        filter={"all": "yes"} if all else dict(filter or {}),
        label=label,
        weight=weight,
        seen=seen,
    )
    return record_decision(workspace, case, selected, taken)


def check_values(
    workspace: Workspace, case: str, values: Iterable[tuple[Action, str | None, float | None]]
) -> None:
    """Whether each action with its label and weight could be decided on records of a case.

    Raises:
        NotFoundError: no such case.
        UsageError: one could not.
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        held = held_file(connection, row)
        for action, label, weight in values:
            _check_value(workspace.store, connection, row, held, action, label, weight)


def undo(workspace: Workspace, decision: str, *, reason: str) -> Decision:
    """Takes a decision back by a counter-entry; what was decided before it is in force again.

    Raises:
        NotFoundError: no such decision.
        UsageError: it is undone already, is itself an undo, or some of its records are published.
        DeletedPayloadError: retention deleted the records, so that none can be released any more.

    Examples:
        >>> decision = decide(workspace, case, Action.REJECT, all=True, reason="labels are wrong")
        >>> undo(workspace, decision.id, reason="they are right").undoes == decision.id
        True
    """
    with workspace.catalog.read() as connection:
        query = sa.select(tables.decision.c.case_id).where(tables.decision.c.id == decision)
        case = connection.scalar(query)
        if case is None:
            raise NotFoundError(f"no decision {decision!r}: see `lazaretto quarantine show CASE`")
        old = next(known for known in decisions_of(connection, case) if known.id == decision)
        row = find_case(connection, case)
        held = held_file(connection, row)
        gone = deletion_of(connection, row.batch, held.path)
    if gone is not None:
        raise DeletedPayloadError(row.batch, held.path, gone.words)
    if old.undone_by is not None or old.undoes is not None:
        raise UsageError(f"{decision} is undone, or an undo itself: decide anew instead")
    taken = Taken(
        action=old.action, reason=reason, label=old.label, weight=old.weight, undoes=decision
    )
    return record_decision(workspace, case, read_table(workspace.store, old.ids), taken)


def expire(workspace: Workspace, policy: Policy, now: datetime | None = None) -> list[Decision]:
    """Rejects what nobody decided on in the policy's time; it never releases.

    Args:
        workspace: catalog and store.
        policy: ``review.expire_days``; only cases of its dataset, for which it must be in force.
        now: default the clock.

    Raises:
        UsageError: another policy is in force for its dataset.

    Examples:
        >>> expire(workspace, policy)  # the case is younger than the policy's time
        []
    """
    ref = policy_ref(policy)
    limit = (now or datetime.now(UTC)) - timedelta(days=policy.review.expire_days)
    kept = tables.case_count.c
    undecided = sa.exists().where(kept.case_id == tables.case.c.id, kept.action == UNDECIDED)
    query = sa.select(tables.case.c.id).where(
        tables.case.c.state == "OPEN",
        tables.case.c.dataset == policy.dataset,
        tables.case.c.opened_at < limit,
        undecided,
    )
    query = query.order_by(tables.case.c.seq, tables.case.c.id)
    with workspace.catalog.read() as connection:
        require_in_force(connection, ref)
        overdue = list(connection.scalars(query))
    clock = workspace.acting(Actor(ActorType.POLICY, f"policy:{policy.dataset}"))
    reason = f"not decided within {policy.review.expire_days} days"
    expired = [_let_expire(clock, case, reason) for case in overdue]
    return [decision for decision in expired if decision is not None]


def _let_expire(clock: Workspace, case: str, reason: str) -> Decision | None:
    """Rejects what waits; what people decide on at the same moment is theirs.

    Returns:
        None where they left nothing to reject, or the case ended meanwhile.
    """
    while True:
        try:
            waiting = {"action": UNDECIDED}
            return decide(clock, case, Action.REJECT, filter=waiting, reason=reason)
        except OvertakenError:
            continue
        except UsageError:
            return None


def list_decisions(workspace: Workspace, case: str) -> list[Decision]:
    """Every decision on a case, oldest first, undone ones included.

    Examples:
        >>> _ = decide(workspace, case, Action.RELEASE, ids=["u0"], reason="looked at")
        >>> [decision.action.name for decision in list_decisions(workspace, case)]
        ['RELEASE']
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        return decisions_of(connection, case)


def list_publications(workspace: Workspace, case: str) -> list[Publication]:
    """What was published of a case and by whom, oldest first."""
    with workspace.catalog.read() as connection:
        return publications_of(connection, find_case(connection, case).batch, case)


def list_approvals(workspace: Workspace, case: str) -> list[Approval]:
    """Who agreed to a publication of a case before it was made, oldest first, void ones included.

    Those that stand are named in `Case.approved_by`.
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        return approvals_of(connection, case)


def needs_two_people(workspace: Workspace, case: str) -> bool:
    """Whether publishing a case takes two people, by its judgement or by the policy in force now.

    Raises:
        NotFoundError: no such case.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> needs_two_people(workspace, case)
        False
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        return asks_for_two(row, policy_in_force(connection, row.dataset))


def weight_limit(workspace: Workspace, case: str) -> float:
    """The greatest weight that ``REWEIGHT`` may give a record of a case, by the policies.

    Raises:
        NotFoundError: no such case.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> weight_limit(workspace, case)
        1.0
    """
    with workspace.catalog.read() as connection:
        return most_weight(connection, find_case(connection, case))


def _check_arguments(action: Action, ways: Sequence[bool], reason: str) -> None:
    if sum(ways) != 1:
        raise UsageError("say on which records: ids, positions, a filter, or all; one of them")
    if not reason.strip():
        raise UsageError(f"{action.value} needs a reason: it stays on record")


def _check_value(
    store: Store,
    connection: Connection,
    row: Row[Any],
    held: StoredFile,
    action: Action,
    label: str | None,
    weight: float | None,
) -> None:
    if (label is not None) != (action is Action.RELABEL):
        raise UsageError("a label belongs to RELABEL, and RELABEL needs one")
    if (weight is not None) != (action is Action.REWEIGHT):
        raise UsageError("a weight belongs to REWEIGHT, and REWEIGHT needs one")
    if weight is not None:
        check_weight(connection, row, weight)
    if label is not None:
        name = row.columns["label"]
        schema = read_schema(store, held)
        if name is None or name not in schema.names:
            raise UsageError(f"the records of {row.batch} have no label column to change")
        as_label(label, schema.field(name).type)
