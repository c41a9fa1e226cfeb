"""Decisions that were made elsewhere, in a spreadsheet or in Argilla, and come back as a file."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from lazaretto.errors import UsageError
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.export import DECIDED_LABEL, DECIDED_WEIGHT, DECISION, as_it_was
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.review import check_values, decide
from lazaretto.storage import tables
from lazaretto.values import Action, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.storage.workspace import Workspace

ImportFormat = Literal["csv", "argilla"]
LARGEST = 64 * 2**20
"""Bytes that a file of decisions may have."""
_DEFAULT_REASON = "decided elsewhere and imported"
_MOST_MISTAKES = 5
_AT_ONCE = 10_000  # bound parameters of one statement: SQLite takes 32,766
_held = tables.held_record


@dataclass(frozen=True, slots=True)
class Wanted:
    """One decision of a file, on any number of records.

    Attributes:
        action: what is decided.
        label: for ``RELABEL``.
        weight: for ``REWEIGHT``.
    """

    action: Action
    label: str | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file asks for.

    Attributes:
        case: that it is about.
        groups: positions of the records by what is wanted for them, in the order of the file.
        as_they_are: records for which it says what is in force already, or nothing.
    """

    case: str
    groups: dict[Wanted, list[int]] = field(default_factory=dict)
    as_they_are: int = 0

    @property
    def records(self) -> int:
        """How many records it would decide on."""
        return sum(len(positions) for positions in self.groups.values())


def read_decisions(
    workspace: Workspace,
    case: str,
    content: bytes,
    format: ImportFormat,  # noqa: A002
) -> Imported:
    r"""Reads decisions and checks every row of them; nothing is decided yet.

    Args:
        workspace: catalog and store.
        case: its id.
        content: of the file. ``csv``: as `export_case` wrote it, with the columns
            ``_lazaretto_position``, ``_lazaretto_decision`` (an `Action`, or empty), and
            ``_lazaretto_decided_label`` and ``_lazaretto_decided_weight`` where those are needed.
            ``argilla``: as ``Dataset.records.to_json`` of Argilla 2 writes it, with answers to the
            questions ``decision``, ``label`` and ``weight``; an answer under ``label`` alone that
            is not the delivered label relabels.
        format: of the file.

    Raises:
        NotFoundError: no such case.
        UsageError: the file is not such a file, or rows of it cannot be meant; the first are named.

    Examples:
        >>> text = "_lazaretto_position,_lazaretto_decision\n0,REJECT\n1,\n"
        >>> read_decisions(workspace, case, text.encode(), "csv").records
        1
    """
    if len(content) > LARGEST:
        raise UsageError(f"{len(content):,} bytes; a file of decisions has at most {LARGEST:,}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the file is not UTF-8: {error}") from None
    rows = list(_csv_rows(text) if format == "csv" else _argilla_rows(text, case))
    return _checked(workspace, case, rows)


def import_decisions(
    workspace: Workspace,
    imported: Imported,
    *,
    reason: str | None = None,
    seen: int | None = None,
) -> list[Decision]:
    r"""Decides what a file asks for: one decision for each group of records.

    Args:
        workspace: catalog and store; whoever acts through it decides.
        imported: what the file asks for.
        reason: why; stays on record for ever.
        seen: as of `decide`, for the first decision.

    Raises:
        OvertakenError: somebody else decided meanwhile.
        UsageError: a record is published already, or a value does not fit its column. Decisions
            that were made before it stand; each can be undone.

    Examples:
        >>> text = "_lazaretto_position,_lazaretto_decision\n0,REJECT\n"
        >>> found = read_decisions(workspace, case, text.encode(), "csv")
        >>> [made.records for made in import_decisions(workspace, found)]
        [1]
    """
    made: list[Decision] = []
    for wanted, positions in imported.groups.items():
        done = decide(
            workspace,
            imported.case,
            wanted.action,
            positions=positions,
            label=wanted.label,
            weight=wanted.weight,
            reason=reason or _DEFAULT_REASON,
            seen=made[-1].seq if made else seen,
            expected=len(positions),
        )
        made.append(done)
    return made


def as_told(imported: Imported, made: Sequence[Decision]) -> dict[str, Any]:
    """What a file asks for and what was decided by it, for programs and for people."""
    groups = [
        {
            "action": wanted.action.value,
            "label": wanted.label,
            "weight": wanted.weight,
            "records": len(positions),
        }
        for wanted, positions in imported.groups.items()
    ]
    return {
        "case": imported.case,
        "records": imported.records,
        "as_they_are": imported.as_they_are,
        "groups": groups,
        "decisions": to_json(list(made)),
    }


@dataclass(frozen=True, slots=True)
class _Row:
    """What a file says of one record, and where."""

    where: str
    position: str
    decision: str
    label: str
    weight: str
    implied: bool = False


def _csv_rows(text: str) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = [as_it_was(name) for name in reader.fieldnames or ()]
        reader.fieldnames = names
        for column in (POSITION, DECISION):
            if column not in names:
                raise UsageError(
                    f"the file has no column {column}: export the case first, and fill that in"
                )
        for row in reader:
            said = {name: as_it_was(value or "") for name, value in row.items() if name is not None}
            yield _Row(
                f"line {reader.line_num}",
                said[POSITION].strip(),
                said[DECISION].strip(),
                said.get(DECIDED_LABEL, ""),
                said.get(DECIDED_WEIGHT, "").strip(),
            )
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num}: no CSV: {error}") from None


def _argilla_rows(text: str, case: str) -> Iterator[_Row]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the file is not JSON: {error}") from None
    if not isinstance(records, list):
        raise UsageError("the file is not a list of Argilla's records")
    for number, record in enumerate(records, 1):
        where = f"record {number}"
        if not isinstance(record, dict):
            raise UsageError(f"{where} is not an object")
        of_case, _, position = str(record.get("id")).rpartition(":")
        if of_case != case:
            raise UsageError(f"{where} is {record.get('id')!r}, which is not of {case}")
        decision, label = _answer(record, "decision", where), _answer(record, "label", where)
        weight, delivered = _answer(record, "weight", where), _suggested(record, "label")
        implied = not decision and bool(label) and label != delivered
        yield _Row(where, position, decision, label, weight, implied)


def _answer(record: dict[str, Any], question: str, where: str) -> str:
    """The one answer that people gave to a question; empty where nobody did."""
    responses = record.get("responses")
    given = responses.get(question) if isinstance(responses, dict) else None
    values = {
        str(each["value"])
        for each in given or ()
        if isinstance(each, dict) and each.get("value") is not None
    }
    if len(values) > 1:
        raise UsageError(f"{where}: people disagree on {question}: {sorted(values)[:3]}")
    return next(iter(values), "")


def _suggested(record: dict[str, Any], question: str) -> str:
    suggestions = record.get("suggestions")
    found = suggestions.get(question) if isinstance(suggestions, dict) else None
    return str(found.get("value")) if isinstance(found, dict) else ""


def _checked(workspace: Workspace, case: str, rows: list[_Row]) -> Imported:
    meant: list[tuple[_Row, int, Wanted | None]] = []
    mistakes: list[str] = []
    for row in rows:
        try:
            meant.append((row, *_meaning(row)))
        except UsageError as error:
            mistakes.append(f"{row.where}: {error}")
    standing = _standing(workspace, case, [position for _, position, _ in meant])
    imported, unchanged = Imported(case), 0
    twice = Counter(position for _, position, _ in meant)
    for row, position, wanted in meant:
        if position not in standing:
            mistakes.append(f"{row.where}: no record at position {position} is held in {case}")
        elif twice[position] > 1:
            mistakes.append(f"{row.where}: position {position} is there {twice[position]} times")
        elif wanted is None or wanted == standing[position]:
            unchanged += 1
        else:
            imported.groups.setdefault(wanted, []).append(position)
    if mistakes:
        more = f" (and {len(mistakes) - _MOST_MISTAKES} more)" * (len(mistakes) > _MOST_MISTAKES)
        raise UsageError("; ".join(mistakes[:_MOST_MISTAKES]) + more)
    check_values(
        workspace, case, [(each.action, each.label, each.weight) for each in imported.groups]
    )
    return replace(imported, as_they_are=unchanged)


def _standing(workspace: Workspace, case: str, positions: list[int]) -> dict[int, Wanted | None]:
    """What is decided in force on each held record among these positions."""
    found: dict[int, Wanted | None] = {}
    made = tables.decision
    query = (
        sa.select(_held.c.position, made.c.action, made.c.label, made.c.weight)
        .outerjoin(made, made.c.id == _held.c.decision)
        .where(_held.c.case_id == case)
    )
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        for start in range(0, len(positions), _AT_ONCE):
            some = _held.c.position.in_(positions[start : start + _AT_ONCE])
            for position, action, label, weight in connection.execute(query.where(some)):
                known = None if action is None else Wanted(Action(action), label, weight)
                found[position] = known
    return found


def _meaning(row: _Row) -> tuple[int, Wanted | None]:
    if not (row.position.isascii() and row.position.isdigit() and len(row.position) < 19):
        raise UsageError(f"{row.position!r} is no position")
    position = int(row.position)
    if row.implied:
        return position, Wanted(Action.RELABEL, row.label)
    if not row.decision:
        return position, None
    try:
        action = Action(row.decision.upper())
    except ValueError:
        known = ", ".join(action.value for action in Action)
        raise UsageError(f"{row.decision!r} is no decision ({known})") from None
    if action is Action.RELABEL:
        if not row.label:
            raise UsageError("RELABEL needs a label")
        return position, Wanted(action, row.label)
    if action is Action.REWEIGHT:
        try:
            return position, Wanted(action, weight=float(row.weight))
        except ValueError:
            raise UsageError(f"REWEIGHT needs a weight, not {row.weight!r}") from None
    return position, Wanted(action)
