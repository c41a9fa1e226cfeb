"""What the review page shows of held records: the first of a case, whole, but cut to what fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.batch._shown import rows_as_python
from lazaretto.quarantine.held import ADDED_NAMES, POSITION, REASONS
from lazaretto.quarantine.review import held_records
from lazaretto.storage.sidecars import read_chunks
from lazaretto.text import cut, visible

if TYPE_CHECKING:
    from lazaretto.quarantine.cases import Case, HeldRecord
    from lazaretto.storage.workspace import Workspace

_COLUMNS = 8
_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class RecordView:
    """One held record; everything in it may come from an attacker.

    Attributes:
        index: what the catalog says of it.
        reasons: all reasons, in words.
        payload: its first columns, as name and text.
    """

    index: HeldRecord
    reasons: list[str]
    payload: list[tuple[str, str]]


def first_held(workspace: Workspace, case: Case, *, limit: int) -> list[RecordView]:
    """The first held records of a case, in the batch's order; reads no more of the file."""
    index = {record.position: record for record in held_records(workspace, case.id, limit=limit)}
    views: list[RecordView] = []
    for chunk in read_chunks(workspace.store, case.held_records):
        for row in rows_as_python(chunk.slice(0, limit - len(views))):
            if row[POSITION] in index:
                payload = [(name, row[name]) for name in row if name not in ADDED_NAMES][:_COLUMNS]
                texts = [
                    (shorten(name, 100), shorten(value, _CHARACTERS)) for name, value in payload
                ]
                views.append(RecordView(index[row[POSITION]], list(row[REASONS] or []), texts))
        if len(views) >= limit:
            break
    return views


def shorten(value: object, length: int) -> str:
    """A value as text of at most so many characters, in which nothing is invisible."""
    text = "" if value is None else visible(cut(str(value), length), keep_newlines=True)
    return cut(text, length)
