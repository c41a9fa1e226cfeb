"""What a task's log says: one line for each stage, and a warning with the reasons of a hold.

What a source delivers ends up in reasons and notes, such as the name of a column: it is quoted,
escaped and bounded, so that it can forge no line and no part of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lazaretto.operators.links import page_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lazaretto.dataset.admission import Admission
    from lazaretto.stages.judgement import Judgement
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace

_REASONS = 5
_NOTES = 3
_SHORT = 120
_LONG = 200
_WHOLE = 300
_LINE = 4_000
"""More than all parts at their longest, each of which is bounded: no quoted text is cut."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log.

    Attributes:
        text: the whole of it, for people.
        fields: the same for machines; Airflow writes them beside the text.
    """

    text: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Said:
    """What one stage's result says; `parts` may hold what a source wrote only as `_quoted`."""

    batch: str | None
    parts: list[str]
    fields: dict[str, Any] = field(default_factory=dict)


def stage_line(workspace: Workspace, stage: str, result: object) -> Line:
    """The line of a stage that is done.

    Args:
        workspace: catalog and store that it worked on.
        stage: its name.
        result: what it returned.
    """
    from lazaretto.text import cut

    said = _said(result)
    parts = [part for part in said.parts if part]
    fields: dict[str, Any] = {"stage": stage} | said.fields
    where = []
    if said.batch is not None:
        fields |= {"batch": said.batch, "page": page_url(said.batch)}
        where = [f"batch {said.batch}", f"page {fields['page']}"]
    catalog, store = workspace.catalog.display_url, workspace.store.root
    where += [f"catalog {catalog}", f"store {store}"]
    fields |= {"catalog": catalog, "store": store}
    # What stands at the end must not fall to the length of what a source wrote.
    end = "; ".join(where)
    beginning = cut(f"{stage}: {'; '.join(parts)}", max(_LINE - len(end) - 2, _SHORT))
    return Line(f"{beginning}; {end}", fields)


def hold_line(judged: Judgement) -> Line:
    """The warning that records of a batch are held, and why."""
    from lazaretto.text import cut

    page = page_url(judged.batch)
    parts = [
        f"{judged.batch}: {judged.held} of {judged.rows} records are held ({judged.verdict.value})",
        _reasons(judged.reasons),
        *_notes(judged.notes),
    ]
    beginning = cut("; ".join(filter(None, parts)), max(_LINE - len(page) - 10, _SHORT))
    return Line(f"{beginning}; review: {page}", _of_judgement(judged) | {"page": page})


def bounded_reasons(reasons: Mapping[str, int], most: int = 50) -> dict[str, int]:
    """Reasons with their counts, the greatest first, each escaped and bounded."""
    from lazaretto.text import excerpt

    in_order = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return {excerpt(reason, _WHOLE): count for reason, count in in_order[:most]}


def bounded_notes(notes: Iterable[str], most: int = 50) -> list[str]:
    """The first notes, each escaped and bounded."""
    from lazaretto.text import excerpt

    return [excerpt(note, _WHOLE) for note in list(notes)[:most]]


def _said(result: object) -> _Said:
    from lazaretto.dataset.admission import Admission
    from lazaretto.stages.ingest import Ingestion
    from lazaretto.stages.judgement import Judgement
    from lazaretto.stages.results import StageResult
    from lazaretto.values import BatchRef

    match result:
        case BatchRef():
            return _Said(result.id, [f"{result.rows} records"], {"rows": result.rows})
        case StageResult():
            return _of_stage(result)
        case Judgement():
            return _judged(result)
        case Admission():
            return _admitted(result)
        case Ingestion():
            inner = _judged(result.judgement)
            admitted = 0 if result.admission is None else result.admission.rows
            fields = inner.fields | {"admitted": admitted}
            return _Said(inner.batch, [*inner.parts, f"{admitted} admitted"], fields)
        case _:
            return _other(result)


def _admitted(admission: Admission) -> _Said:
    version = "nothing new" if admission.version is None else f"version {admission.version}"
    parts = [f"{admission.rows} records of it are in {admission.dataset}", version]
    recalled = "" if admission.recalled is None else f"recalled since: {admission.recalled}"
    fields = {
        "dataset": admission.dataset,
        "rows": admission.rows,
        "version": admission.version,
    }
    return _Said(admission.batch, [*parts, recalled], fields)


def _of_stage(result: StageResult[Any]) -> _Said:
    from lazaretto.ledger.events import BatchEmbedded, BatchScreened, BatchValidated

    event = result.event
    if event is None:
        return _Said(result.batch, [f"skipped: {_quoted(result.skipped, _LONG)}"], {})
    fields: dict[str, Any] = {"rows": event.rows}
    if isinstance(event, BatchValidated):
        rules = [_quoted(rule.words) for rule in event.rules if rule.failed]
        parts = [f"{event.failing_rows} of {event.rows} records break the contract"]
        parts += [f"rules: {_listed(rules)}" if rules else ""]
        parts += [f"the contract is broken: {_listed(map(_quoted, event.broken))}"] * bool(
            event.broken
        )
        return _Said(result.batch, parts, fields | {"failing": event.failing_rows})
    if isinstance(event, BatchEmbedded):
        parts = [f"{event.rows} vectors of {event.dimensions} dimensions", f"by {event.encoder}"]
        return _Said(result.batch, parts, fields | {"dimensions": event.dimensions})
    if isinstance(event, BatchScreened):
        return _screened(result.batch, event)
    return _Said(result.batch, [f"{event.rows} records"], fields)


def _screened(batch: str, event: Any) -> _Said:
    fired = [_quoted(f"{test.name}: {test.detail}") for test in event.tests if test.fired]
    parts = [
        event.verdict.value,
        f"{event.held} of {event.rows} records stand out",
        f"tests of the whole batch: {_listed(fired)}" if fired else "",
        f"looks like {event.triage.category}" if event.triage is not None else "",
        _quoted(event.note, _LONG) if event.note else "",
    ]
    fields = {"verdict": event.verdict.value, "rows": event.rows, "held": event.held}
    return _Said(batch, parts, fields)


def _judged(judged: Judgement) -> _Said:
    held = "would be held" if judged.shadow is not None else "held"
    parts = [
        judged.verdict.value,
        f"{judged.held} of {judged.rows} records {held}, {judged.cleared} cleared",
        _reasons(judged.reasons),
        f"case {judged.case}" if judged.case else "",
        "" if judged.decided is None else f"decided before: {_quoted(judged.decided, _LONG)}",
        "" if judged.shadow is None else "in shadow: this policy is not in force",
    ]
    return _Said(judged.batch, parts, _of_judgement(judged))


def _of_judgement(judged: Judgement) -> dict[str, Any]:
    return {
        "batch": judged.batch,
        "dataset": judged.dataset,
        "verdict": judged.verdict.value,
        "rows": judged.rows,
        "held": judged.held,
        "cleared": judged.cleared,
        "case": judged.case,
        "reasons": bounded_reasons(judged.reasons, _REASONS),
        "shadow": judged.shadow is not None,
    }


def _other(result: object) -> _Said:
    """Results that are about no batch: their numbers and names, as far as they are short."""
    from dataclasses import fields, is_dataclass

    from lazaretto.quarantine.outcome import ReviewOutcome

    if isinstance(result, ReviewOutcome):
        actions = [f"{action} {count}" for action, count in sorted(result.actions.items())]
        decided = ", ".join(actions) or "none was held"
        said = f"every held record is decided on, and published: {decided}"
        return _Said(result.batch, [said], {"actions": dict(result.actions)})
    if not is_dataclass(result):
        return _Said(None, [])
    found: dict[str, Any] = {}
    for part in fields(result):
        value = getattr(result, part.name)
        if isinstance(value, bool | int | float) or value is None:
            found[part.name] = value
        elif isinstance(value, str):
            found[part.name] = _quoted(value, _LONG)
        elif isinstance(value, list):
            found[part.name] = len(value)
    return _Said(None, [f"{name} {value}" for name, value in found.items() if value is not None])


def _reasons(reasons: Mapping[str, int]) -> str:
    shown = bounded_reasons(reasons, _REASONS)
    left = len(reasons) - len(shown)
    words = [f"{_quoted(reason)} {count}" for reason, count in shown.items()]
    return f"reasons: {', '.join(words)}{f' and {left} more' if left else ''}" if words else ""


def _notes(notes: list[str]) -> list[str]:
    left = len(notes) - _NOTES
    return [_quoted(note, _LONG) for note in notes[:_NOTES]] + [f"{left} more notes"] * (left > 0)


def _listed(words: Iterable[str]) -> str:
    found = list(words)
    left = len(found) - _REASONS
    return ", ".join(found[:_REASONS]) + (f" and {left} more" if left > 0 else "")


def _quoted(text: object, limit: int = _SHORT) -> str:
    """Text of somebody else between quotes that it cannot close."""
    from lazaretto.text import excerpt

    return repr(excerpt(text, limit))
