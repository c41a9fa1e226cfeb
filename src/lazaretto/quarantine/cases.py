"""Cases, to read: lists by page, what is held and decided of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import ChangedStateError, NotFoundError
from lazaretto.ledger.cover import agree, covering, covering_each
from lazaretto.ledger.deletions import deletions_of_each
from lazaretto.ledger.events import BatchJudged, TrainingSanitized
from lazaretto.ledger.source_names import source_identity
from lazaretto.quarantine.approvals import approvals_of_each
from lazaretto.quarantine.counts import by_action, kept_counts, require_counts
from lazaretto.quarantine.opening import case_columns, gate_case_columns
from lazaretto.storage import tables
from lazaretto.values import ColumnRoles, StoredFile

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

_held = tables.held_record
_assignee = tables.case_assignment.c.assignee
NOBODY = "nobody"
"""Stands for the cases that nobody in particular reviews, where people filter by assignee."""


@dataclass(frozen=True, slots=True)
class Case:
    """One held batch, or the held records of one batch.

    Attributes:
        id: of the case.
        batch: its batch.
        source: who delivered it.
        dataset: where released records go.
        origin: ``gate`` or ``sanitize``.
        verdict: of the gate; ``HOLD_RECORDS`` for a case of sanitizing.
        state: ``OPEN``, ``CLOSED`` (decided and published), ``SUPERSEDED`` (judged again).
        rows: records of the batch.
        held: records of the case.
        reasons: held records by the signature of their first reason.
        notes: what is wrong with the batch, in words.
        actions: held records by the decision in force; ``UNDECIDED`` for none.
        held_records: file with whole rows and all reasons.
        two_people: whether another person must publish than who decided.
        opened_at: when.
        assignee: who reviews it, such as ``user:ann``; None: nobody in particular.
        seq: ledger entry.
        columns: names of the batch's columns by what they are for, as the policy said.
        decided: ledger entry of the newest decision; 0: none.
        approved_by: who approved the decisions as they are now; see `approve`.
        deleted: when retention deleted its whole rows, in words; None: they are there.
    """

    id: str
    batch: str
    source: str
    dataset: str
    origin: str
    verdict: str
    state: str
    rows: int
    held: int
    reasons: dict[str, int]
    notes: list[str]
    actions: dict[str, int]
    held_records: StoredFile
    two_people: bool
    opened_at: datetime
    assignee: str | None
    seq: int
    columns: ColumnRoles
    decided: int
    approved_by: list[str]
    deleted: str | None


def list_cases(
    workspace: Workspace,
    *,
    state: str | None = "OPEN",
    batch: str | None = None,
    source: str | None = None,
    dataset: str | None = None,
    verdict: str | None = None,
    reason: str | None = None,
    assignee: str | None = None,
    opened_before: datetime | None = None,
    hidden: Collection[str] = (),
    after: str | None = None,
    limit: int = 50,
) -> list[Case]:
    """Cases, newest first.

    Args:
        workspace: catalog and store.
        state: only these; None for all.
        batch: only of this batch.
        source: only of this source.
        dataset: only of this dataset.
        verdict: only with this one.
        reason: only where a record is held first of all for this; see `HeldRecord.reason`.
        assignee: only those that this one reviews; `NOBODY`: nobody in particular.
        opened_before: only those that were opened before; aware.
        hidden: none of these datasets.
        after: page on: id of the last one seen.
        limit: at most so many.

    Raises:
        NotFoundError: there is no case of the id in `after`.

    Examples:
        >>> [(found.batch == tuesday, found.held) for found in list_cases(workspace)]
        [(True, 6)]
    """
    if source is not None:
        with workspace.catalog.read() as connection:
            source = source_identity(connection, source)
    query = _cases().order_by(tables.case.c.seq.desc(), tables.case.c.id).limit(limit)
    wanted = {
        tables.case.c.state: state,
        tables.case.c.batch: batch,
        tables.batch.c.source: source,
        tables.case.c.dataset: dataset,
        tables.case.c.verdict: verdict,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if reason is not None:
        kept = tables.case_count.c
        first = (kept.case_id == tables.case.c.id, kept.reason == reason)
        query = query.where(sa.exists().where(*first))
    if assignee is not None:
        named = None if assignee == NOBODY else assignee
        query = query.where(_assignee.is_(None) if named is None else _assignee == named)
    if hidden:
        query = query.where(tables.case.c.dataset.not_in(hidden))
    if opened_before is not None:
        query = query.where(tables.case.c.opened_at < opened_before)
    with workspace.catalog.read() as connection:
        if after is not None:
            # One search of a training set opens several cases with one entry.
            last = find_case(connection, after)
            older, same = tables.case.c.seq < last.seq, tables.case.c.seq == last.seq
            query = query.where(sa.or_(older, sa.and_(same, tables.case.c.id > last.id)))
        return _all_cases(connection, connection.execute(query).all())


def show_case(workspace: Workspace, case: str) -> Case:
    """One case.

    Raises:
        NotFoundError: there is none.

    Examples:
        >>> show_case(workspace, case).verdict
        'HOLD_RECORDS'
    """
    with workspace.catalog.read() as connection:
        return _case(connection, find_case(connection, case))


def find_case(connection: Connection, case: str) -> Row[Any]:
    """The row of a case with its batch's source, inside a transaction.

    Raises:
        NotFoundError: there is none.
        ChangedStateError: the row does not say what the ledger says.
    """
    row = connection.execute(_cases().where(tables.case.c.id == case)).one_or_none()
    if row is None:
        raise NotFoundError(f"no case {case!r}: see `lazaretto quarantine list`")
    _covered(connection, row)
    return row


def held_file(connection: Connection, row: Row[Any]) -> StoredFile:
    """The file with the held records of a case, as the ledger names it.

    Raises:
        ChangedStateError: the case's row does not say what the ledger says.
    """
    return _covered(connection, row)


def newest_decision(connection: Connection, case: str) -> int:
    """Ledger entry of the newest decision on a case; 0 where there is none."""
    return newest_decisions(connection, [case]).get(case, 0)


def newest_decisions(connection: Connection, cases: Sequence[str]) -> dict[str, int]:
    """The same for some cases; those without a decision are not among them."""
    table = tables.decision.c
    query = sa.select(table.case_id, sa.func.max(table.seq)).where(table.case_id.in_(cases))
    return {case: int(seq) for case, seq in connection.execute(query.group_by(table.case_id))}


def _covered(connection: Connection, row: Row[Any]) -> StoredFile:
    return _file_of(row, covering(connection, "review_case", row.id, row))


def _file_of(row: Row[Any], cover: Entry) -> StoredFile:
    event = cover.event
    if isinstance(event, BatchJudged) and event.case == row.id and event.held_records:
        agree("review_case", row.id, row, gate_case_columns(event))
        return event.held_records
    if isinstance(event, TrainingSanitized):
        for opened in event.cases:
            if opened.case == row.id:
                agree("review_case", row.id, row, case_columns(event, opened))
                return opened.held_records
    raise ChangedStateError("review_case", row.id, f"ledger entry {row.seq} opened no such case")


def _cases() -> sa.Select[Any]:
    owned = tables.case_assignment
    return (
        sa.select(tables.case, tables.batch.c.source, _assignee)
        .join(tables.batch, tables.batch.c.id == tables.case.c.batch)
        .outerjoin(owned, owned.c.case_id == tables.case.c.id)
    )


def _case(connection: Connection, row: Row[Any]) -> Case:
    (found,) = _all_cases(connection, [row])
    return found


def _all_cases(connection: Connection, rows: Sequence[Row[Any]]) -> list[Case]:
    """The same for some cases, by as many questions to the catalog as for one."""
    ids = [row.id for row in rows]
    counts, decided = kept_counts(connection, ids), newest_decisions(connection, ids)
    covers = covering_each(connection, "review_case", {row.id: row for row in rows})
    gone = deletions_of_each(connection, {row.batch for row in rows})
    approved = approvals_of_each(connection, decided)
    told = ("actions", "held_records", "columns", "decided", "approved_by", "deleted")
    names = [name for name in Case.__dataclass_fields__ if name not in told]
    found = []
    for row in rows:
        file = _file_of(row, covers[row.id])
        require_counts(row, counts[row.id])
        deletion = next((one for one in gone[row.batch] if file.path in one.event.files), None)
        found.append(
            Case(
                **{name: getattr(row, name) for name in names},
                actions=by_action(counts[row.id]),
                held_records=file,
                columns=ColumnRoles(**row.columns),
                decided=decided.get(row.id, 0),
                approved_by=sorted({one.by.id for one in approved.get(row.id, [])}),
                deleted=None if deletion is None else deletion.words,
            )
        )
    return found
