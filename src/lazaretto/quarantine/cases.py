"""Cases and held records, to read: lists by page, counts, filters, whole rows from the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import ChangedStateError, NotFoundError
from lazaretto.ledger.cover import agree, covering, covering_each
from lazaretto.ledger.deletions import deletion_of, deletions_of_each, deletions_told
from lazaretto.ledger.events import BatchJudged, TrainingSanitized
from lazaretto.quarantine.approvals import approvals_of_each
from lazaretto.quarantine.counts import KEPT, by_action, kept_counts, require_counts, taken_by
from lazaretto.quarantine.filters import conditions
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.opening import case_columns, gate_case_columns
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_keyed
from lazaretto.values import ColumnRoles, StoredFile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa
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


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """One held record in the index; everything in it may come from an attacker.

    Attributes:
        position: row number within the batch; the key within the case.
        record_id: identity within the batch.
        label: as text.
        score: of the screening; None when it was not screened.
        p_value: of the screening.
        reason: signature of the first reason.
        action: decision in force; None when undecided.
        part: publication that admitted it.
    """

    position: int
    record_id: str
    label: str | None
    score: float | None
    p_value: float | None
    reason: str
    action: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class Content:
    """Where the whole rows of a case are, without what is counted of them.

    Attributes:
        file: with them, and all reasons.
        columns: names of the batch's columns by what they are for.
        deleted: when retention deleted it, in words; None: it is there.
    """

    file: StoredFile
    columns: ColumnRoles
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


def held_records(
    workspace: Workspace,
    case: str,
    filter: Mapping[str, str] | None = None,  # noqa: A002
    *,
    after: int = -1,
    limit: int = 100,
) -> list[HeldRecord]:
    """Held records of a case in order of position.

    Args:
        workspace: catalog and store.
        case: its id.
        filter: ``reason``, ``label``, ``min_score``, ``max_score``, ``min_p_value``,
            ``max_p_value``, ``action`` (``UNDECIDED`` or an `Action`); all must hold.
        after: page on: `HeldRecord.position` of the last one seen.
        limit: at most so many.

    Raises:
        NotFoundError: no such case.
        UsageError: no such filter.

    Examples:
        >>> [record.record_id for record in held_records(workspace, case, limit=2)]
        ['u0', 'u1']
    """
    names = HeldRecord.__dataclass_fields__
    query = (
        sa.select(*(_held.c[name] for name in names))
        .where(*conditions(case, filter), _held.c.position > after)
        .order_by(_held.c.position)
        .limit(limit)
    )
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        return [HeldRecord(*row) for row in connection.execute(query)]


def count_records(
    workspace: Workspace,
    case: str,
    filter: Mapping[str, str] | None = None,  # noqa: A002
) -> int:
    """How many held records a filter takes: the preview of a bulk decision; see `held_records`.

    Examples:
        >>> count_records(workspace, case)
        6
    """
    wanted = conditions(case, filter)
    query = sa.select(sa.func.count()).select_from(_held).where(*wanted)
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        if KEPT.issuperset(filter or {}):
            return taken_by(kept_counts(connection, [case])[case], filter or {})
        return int(connection.scalar(query) or 0)


def content_of(workspace: Workspace, case: str) -> Content:
    """Where the whole rows of a case are.

    Raises:
        NotFoundError: no such case.

    Examples:
        >>> content_of(workspace, case).columns.payload
        ['text']
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        file = held_file(connection, row)
        gone = deletion_of(connection, row.batch, file.path)
    return Content(file, ColumnRoles(**row.columns), None if gone is None else gone.words)


def position_before(workspace: Workspace, case: str, position: int) -> int | None:
    """Position of the held record before a place in the batch; None where there is none.

    Examples:
        >>> position_before(workspace, case, 1)
        0
    """
    before = sa.and_(_held.c.case_id == case, _held.c.position < position)
    with workspace.catalog.read() as connection:
        found: int | None = connection.scalar(
            sa.select(sa.func.max(_held.c.position)).where(before)
        )
        return found


def held_rows(
    workspace: Workspace,
    case: str,
    positions: Sequence[int],
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Rows of held records, with all reasons, from the store, in order of position.

    Args:
        workspace: catalog and store.
        case: its id.
        positions: see `HeldRecord.position`.
        columns: to read, beside the position; default: all.

    Raises:
        NotFoundError: no such case.
        DeletedPayloadError: retention deleted them.
        ChangedFileError: its file is gone or was changed.

    Examples:
        >>> held_rows(workspace, case, [0, 1])["text"].to_pylist()
        ['record 0 <script>', 'record 1 <script>']
    """
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        held = held_file(connection, row)
    wanted = None if columns is None else [POSITION, *columns]
    with deletions_told(workspace.catalog.read, row.batch):
        return read_keyed(workspace.store, held, POSITION, positions, columns=wanted)


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
