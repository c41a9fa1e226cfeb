"""What the review page shows of held records: a page of them, whole, but cut to what fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.batch._shown import rows_as_python
from lazaretto.quarantine.filters import FILTERS
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, REASONS
from lazaretto.quarantine.review import count_records, held_records, held_rows
from lazaretto.text import cut, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.quarantine.cases import Case, HeldRecord
    from lazaretto.storage.workspace import Workspace

_COLUMNS = 8
_CHARACTERS = 300
_REASON = 300
_REASONS = 5


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
class RecordView:
    """One held record; everything in it may come from an attacker.

    Attributes:
        index: what the catalog says of it.
        reasons: the first reasons, in words.
        payload: the columns that the policy names for reviewers, or else the first ones, as name
            and text.
    """

    index: HeldRecord
    reasons: list[str]
    payload: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some held records of a case.

    Attributes:
        records: in the batch's order.
        matching: how many records the filter takes in all: what a decision on the filter touches.
        after: position to go on behind; None: these are the last.
    """

    records: list[RecordView]
    matching: int
    after: int | None


def page_of_records(
    workspace: Workspace, case: Case, wanted: FilterQuery, *, after: int = -1, limit: int
) -> RecordPage:
    """Reads a page of records, with their rows from the store, unless retention deleted those.

    Raises:
        UsageError: a value that a filter cannot have.
        ChangedFileError: the file with the rows is gone or was changed.
    """
    index = held_records(workspace, case.id, wanted.filter, after=after, limit=limit + 1)
    shown, more = index[:limit], len(index) > limit
    rows: dict[int, dict[str, object]] = {}
    if shown and case.deleted is None:
        table = held_rows(workspace, case.id, [record.position for record in shown])
        rows = {row[POSITION]: row for row in rows_as_python(table)}
    deleted: dict[str, object] = {REASONS: [case.deleted]}
    views = [
        _view(record, rows.get(record.position, deleted), case.columns.payload) for record in shown
    ]
    matching = count_records(workspace, case.id, wanted.filter)
    return RecordPage(views, matching, shown[-1].position if more else None)


def _view(record: HeldRecord, row: Mapping[str, object], columns: Sequence[str]) -> RecordView:
    names = [name for name in columns if name in row]
    names = names or [name for name in row if name not in ADDED_NAMES][:_COLUMNS]
    payload = [(shorten(name, 100), as_text(row[name], _CHARACTERS)) for name in names]
    told = row[REASONS]
    reasons = [shorten(why, _REASON) for why in told] if isinstance(told, list) else []
    return RecordView(record, reasons[:_REASONS], payload)


def as_text(value: object, length: int) -> str:
    """A value as a reviewer reads it: bytes by their number, long lists by their beginning."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list) and len(value) > _COLUMNS:
        first = ", ".join(as_text(each, 20) for each in value[:_COLUMNS])
        return shorten(f"{first}, … ({len(value):,} values)", length)
    return shorten(value, length)


def shorten(value: object, length: int) -> str:
    """A value as text of at most so many characters, in which nothing is invisible."""
    text = "" if value is None else visible(cut(str(value), length), keep_newlines=True)
    return cut(text, length)
