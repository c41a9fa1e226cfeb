"""One held record as it is drawn: its findings, its values by their kind, and what it lies near."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto.plugins.cells import LONGEST_NAME, Cell, as_scalar, cell_of
from lazaretto.plugins.short import shorten
from lazaretto.plugins.words import MOST_WORDS
from lazaretto.quarantine.findings import Finding, findings_of
from lazaretto.quarantine.held import REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import pyarrow as pa

    from lazaretto.quarantine.cases import Case
    from lazaretto.quarantine.neighbours import Neighbour
    from lazaretto.quarantine.records import HeldRecord

_REASON = 400
_LABEL = 200


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a record is shown.

    Attributes:
        columns: at most so many.
        characters: of one value; where there are many columns, of all together ten times as many.
        words: of a text that are compared with the nearest trusted record.
        findings: at most so many.
    """

    columns: int
    characters: int
    words: int
    findings: int


IN_A_LIST = Room(columns=16, characters=300, words=80, findings=50)
ALONE = Room(columns=4096, characters=20_000, words=MOST_WORDS, findings=5_000)
_COMPARED = 8
"""Columns of a record that are compared word by word."""


@dataclass(frozen=True, slots=True)
class NeighbourView:
    """A trusted record near a held one.

    Attributes:
        row: its place among the rows that the reference was fitted on, from 0.
        record_id: its id; None where the reference was saved without ids.
        label: its label.
        distance: Euclidean, between the two vectors.
        cells: what the reference keeps of the columns that are shown.
    """

    row: int
    record_id: str | None
    label: str | None
    distance: float
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class RecordView:
    """One held record; everything in it may come from an attacker.

    Attributes:
        index: what the catalog says of it.
        findings: everything that speaks against it.
        more_findings: how many are left out, where there are too many.
        cells: the columns that the policy names for reviewers, or else the first ones.
        more_columns: how many of them are left out.
        neighbours: the nearest trusted records, nearest first.
    """

    index: HeldRecord
    findings: list[Finding]
    more_findings: int
    cells: list[Cell]
    more_columns: int
    neighbours: list[NeighbourView]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Makes views of the records of one case.

    Attributes:
        case: whose records.
        schema: of the file of held records.
        columns: those that reviewers see.
        room: how much is shown.
    """

    case: Case
    schema: pa.Schema
    columns: list[str]
    room: Room

    def view(
        self,
        record: HeldRecord,
        row: pa.Table,
        failures: Sequence[Mapping[str, Any]],
        near: Sequence[Neighbour],
    ) -> RecordView:
        """The view of one record.

        Args:
            record: what the catalog says of it.
            row: its row, with the columns `names` and all reasons.
            failures: of the contract; see `failures_of`.
            near: its nearest trusted records.
        """
        reasons = row[REASONS][0].as_py() or []
        told = findings_of(reasons, failures, origin=self.case.origin, notes=self.case.notes)
        kept = told[: self.room.findings]
        wrong: dict[str, list[str]] = {}
        for failure in failures:
            if failure["column"] is not None:
                words = shorten(f"{failure['rule']}: {failure['text']}", _REASON)
                wrong.setdefault(failure["column"], []).append(words)
        nearest = near[0].content if near else {}
        return RecordView(
            index=record,
            findings=[_short(finding) for finding in kept],
            more_findings=len(told) - len(kept),
            cells=self._cells({name: row[name][0] for name in self.names}, nearest, wrong),
            more_columns=len(self.columns) - len(self.names),
            neighbours=[self._neighbour(one) for one in near],
        )

    @property
    def names(self) -> list[str]:
        """Columns that there is room for."""
        return self.columns[: self.room.columns]

    def _neighbour(self, one: Neighbour) -> NeighbourView:
        kept = {name: as_scalar(one.content[name]) for name in self.names if name in one.content}
        return NeighbourView(
            row=one.row,
            record_id=None if one.record_id is None else shorten(one.record_id, _LABEL),
            label=None if one.label is None else shorten(one.label, _LABEL),
            distance=one.distance,
            cells=self._cells(kept, {}, {}),
        )

    def _cells(
        self,
        values: Mapping[str, pa.Scalar],
        near: Mapping[str, object],
        wrong: Mapping[str, list[str]],
    ) -> list[Cell]:
        # Thousands of columns share what there is room for.
        most = max(80, min(self.room.characters, 10 * self.room.characters // max(len(values), 1)))
        return [
            cell_of(
                name,
                self.schema.get_field_index(name),
                value,
                characters=most,
                words=self.room.words,
                near=near.get(name) if number < _COMPARED else None,
                wrong=wrong.get(name),
            )
            for number, (name, value) in enumerate(values.items())
        ]


def _short(finding: Finding) -> Finding:
    return replace(
        finding,
        by=shorten(finding.by, LONGEST_NAME),
        text=shorten(finding.text, _REASON),
        column=None if finding.column is None else shorten(finding.column, LONGEST_NAME),
        value=None if finding.value is None else shorten(finding.value, _REASON),
    )
