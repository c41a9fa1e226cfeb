"""Held records of a case, to read: pages, counts and filters of the index, whole rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.deletions import deletion_of, deletions_told
from lazaretto.quarantine.cases import find_case, held_file
from lazaretto.quarantine.counts import KEPT, kept_counts, taken_by
from lazaretto.quarantine.filters import conditions
from lazaretto.quarantine.held import POSITION
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_keyed
from lazaretto.values import ColumnRoles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_held = tables.held_record


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
