"""What the review page shows of held records: a page of them, or one as a whole, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.errors import ChangedStateError, NotFoundError
from lazaretto.plugins.drawing import ALONE, IN_A_LIST, Drawing, RecordView, Room
from lazaretto.quarantine.filters import FILTERS
from lazaretto.quarantine.findings import failures_of, findings_of
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, REASONS
from lazaretto.quarantine.neighbours import Neighbourhood, neighbours_of
from lazaretto.quarantine.provenance import Provenance, provenance_of
from lazaretto.quarantine.reads import log_read
from lazaretto.quarantine.records import position_before
from lazaretto.quarantine.review import count_records, held_records, held_rows
from lazaretto.storage.sidecars import read_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lazaretto.quarantine.cases import Case
    from lazaretto.quarantine.records import HeldRecord
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import ColumnRoles

UNNAMED = 8
"""Columns that are shown where the policy names none."""
_SEARCHED = 64 * 2**20
"""Bytes of a reference that is searched for every page of a case."""


@dataclass(frozen=True, slots=True)
class FilterQuery:
    """Which records of a case are asked for.

    Attributes:
        filter: see `lazaretto.quarantine.review.held_records`.
    """

    filter: dict[str, str]

    @classmethod
    def of(cls, query: Mapping[str, str]) -> FilterQuery:
        """Takes from an address what is a filter and not empty."""
        return cls({name: query[name] for name in FILTERS if query.get(name)})


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some held records of a case.

    Attributes:
        records: in the batch's order.
        matching: how many records the filter takes in all: what a decision on the filter touches.
        after: position to go on behind; None: these are the last.
        reference: ``name/version`` whose records are the neighbours; None: there are none.
        unknown: why nobody can say what the records lie near, in words; None: it is said.
    """

    records: list[RecordView]
    matching: int
    after: int | None
    reference: str | None
    unknown: str | None


@dataclass(frozen=True, slots=True)
class WholeRecord:
    """One held record, and where it came from.

    Attributes:
        record: it.
        reference: as of `RecordPage`; so is the next one.
        unknown: see there.
        provenance: of its batch.
        before: position of the held record before it; None: it is the first.
        after: position of the next one; None: it is the last.
    """

    record: RecordView
    reference: str | None
    unknown: str | None
    provenance: Provenance
    before: int | None
    after: int | None


def page_of_records(
    workspace: Workspace,
    case: Case,
    wanted: FilterQuery,
    *,
    via: str,
    after: int = -1,
    limit: int,
) -> RecordPage:
    """Reads a page of records, with their rows from the store, unless retention deleted those.

    Whoever acts through the workspace is on the read log before anything is read.

    Args:
        workspace: catalog and store.
        case: whose records.
        wanted: which of them.
        via: ``page`` or ``api``.
        after: page on: position of the last one seen.
        limit: at most so many.

    Raises:
        UsageError: a value that a filter cannot have.
        ChangedFileError: the file with the rows is gone or was changed.
    """
    index = held_records(workspace, case.id, wanted.filter, after=after, limit=limit + 1)
    shown, more = index[:limit], len(index) > limit
    views, near = _views(workspace, case, shown, via, IN_A_LIST, wanted.filter)
    matching = count_records(workspace, case.id, wanted.filter)
    following = shown[-1].position if more else None
    return RecordPage(views, matching, following, near.reference, near.unknown)


def whole_record(workspace: Workspace, case: Case, position: int, *, via: str) -> WholeRecord:
    """Reads one record with all that is known of it; on the read log as `page_of_records` is.

    Raises:
        NotFoundError: no record is held there.
        ChangedFileError: the file with the rows is gone or was changed.
    """
    found = held_records(workspace, case.id, after=position - 1, limit=2)
    if not found or found[0].position != position:
        raise NotFoundError(f"no record is held at position {position} of {case.id}")
    (view,), near = _views(workspace, case, found[:1], via, ALONE)
    return WholeRecord(
        record=view,
        reference=near.reference,
        unknown=near.unknown,
        provenance=provenance_of(workspace, case.id),
        before=position_before(workspace, case.id, position),
        after=found[1].position if len(found) > 1 else None,
    )


def shown_columns(roles: ColumnRoles, names: Sequence[str]) -> list[str]:
    """The columns that reviewers of a case see, of those that its file has."""
    own = [name for name in names if name not in ADDED_NAMES]
    return [name for name in roles.payload if name in own] or own[:UNNAMED]


def _views(
    workspace: Workspace,
    case: Case,
    shown: Sequence[HeldRecord],
    via: str,
    room: Room,
    filter: Mapping[str, str] | None = None,  # noqa: A002
) -> tuple[list[RecordView], Neighbourhood]:
    positions = [record.position for record in shown]
    if not shown or case.deleted is not None:
        gone = findings_of([case.deleted or ""])
        views = [RecordView(record, gone, 0, [], 0, []) for record in shown]
        return views, Neighbourhood(None, {}, case.deleted)
    log_read(workspace, case.id, via, positions, filter)
    schema = read_schema(workspace.store, case.held_records)
    columns = shown_columns(case.columns, schema.names)
    table = held_rows(workspace, case.id, positions, [*columns[: room.columns], REASONS])
    rows = {position: row for row, position in enumerate(table[POSITION].to_pylist())}
    most = None if room is ALONE else _SEARCHED
    near = neighbours_of(workspace, case.id, positions, most_bytes=most)
    failures: dict[int, list[dict[str, Any]]] = {}
    if any(record.reason.startswith("contract:") for record in shown):
        failures = failures_of(workspace, case.id, positions)
    drawing = Drawing(case, schema, columns, room)
    views = []
    for record in shown:
        row = rows.get(record.position)
        if row is None:
            place = f"{case.id} at position {record.position}"
            raise ChangedStateError(
                "held_record", place, "the file of held records has no such row"
            )
        views.append(
            drawing.view(
                record,
                table.slice(row, 1),
                failures.get(record.position, []),
                near.near.get(record.position, []),
            )
        )
    return views, near
