"""Cases and held records, to read: lists by page, counts, filters, whole rows from the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.errors import ChangedStateError, NotFoundError
from lazaretto.ledger.cover import agree, covering
from lazaretto.ledger.deletions import deletion_of, deletions_told
from lazaretto.ledger.events import BatchJudged, TrainingSanitized
from lazaretto.quarantine.filters import UNDECIDED, conditions
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.opening import case_columns, gate_case_columns
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_chunks
from lazaretto.values import ColumnRoles, StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

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
        first = (_held.c.case_id == tables.case.c.id, _held.c.reason == reason)
        query = query.where(sa.exists().where(*first))
    if assignee is not None:
        named = None if assignee == NOBODY else assignee
        query = query.where(_assignee.is_(None) if named is None else _assignee == named)
    if opened_before is not None:
        query = query.where(tables.case.c.opened_at < opened_before)
    with workspace.catalog.read() as connection:
        if after is not None:
            # One search of a training set opens several cases with one entry.
            last = find_case(connection, after)
            older, same = tables.case.c.seq < last.seq, tables.case.c.seq == last.seq
            query = query.where(sa.or_(older, sa.and_(same, tables.case.c.id > last.id)))
        return [_case(connection, row) for row in connection.execute(query)]


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
    query = sa.select(sa.func.count()).select_from(_held).where(*conditions(case, filter))
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        return int(connection.scalar(query) or 0)


def held_rows(workspace: Workspace, case: str, positions: Sequence[int]) -> pa.Table:
    """Whole rows of held records, with all reasons, from the store.

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
    wanted, found, parts = pa.array(sorted(set(positions)), pa.int64()), 0, []
    with deletions_told(workspace.catalog.read, row.batch):
        for chunk in read_chunks(workspace.store, held):
            parts.append(chunk.filter(pc.is_in(chunk.column(POSITION), wanted)))
            found += parts[-1].num_rows
            if found >= len(wanted):
                break  # each position is there once
    return pa.Table.from_batches(parts)


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
    table = tables.decision
    return (
        connection.scalar(sa.select(sa.func.max(table.c.seq)).where(table.c.case_id == case)) or 0
    )


def _covered(connection: Connection, row: Row[Any]) -> StoredFile:
    event = covering(connection, "review_case", row.id, row).event
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
    counts = (
        sa.select(sa.func.coalesce(_held.c.action, UNDECIDED), sa.func.count())
        .where(_held.c.case_id == row.id)
        .group_by(_held.c.action)
    )
    actions = {str(action): int(count) for action, count in connection.execute(counts)}
    told = ("actions", "held_records", "columns", "decided", "deleted")
    values = {name: getattr(row, name) for name in Case.__dataclass_fields__ if name not in told}
    file = _covered(connection, row)
    gone = deletion_of(connection, row.batch, file.path)
    return Case(
        **values,
        actions=actions,
        held_records=file,
        columns=ColumnRoles(**row.columns),
        decided=newest_decision(connection, row.id),
        deleted=None if gone is None else gone.words,
    )
