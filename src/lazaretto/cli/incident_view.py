"""How incidents look on a terminal: what is known first, then what to do, then the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from lazaretto.cli.layout import Command, Document, facts, grid
from lazaretto.cli.text import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from lazaretto.cli.layout import Grid
    from lazaretto.incidents import Incident, Overview, Refreshed
    from lazaretto.incidents.production import InProduction

_MOST = 10
"""Rows of each table; ``--json`` has all."""


def list_view(incidents: Sequence[Incident]) -> Grid:
    """The table of some incidents."""
    return grid(
        ["incident", "state", "opened", "affected", "unknown", "handled by", "about"],
        [
            (
                one.id,
                one.state,
                one.opened_at,
                len(one.answer.models),
                len(one.answer.unknown),
                one.assignee,
                one.title,
            )
            for one in incidents
        ],
        text=["about"],
    )


def view(shown: Overview) -> RenderableType:
    """An incident: facts, what to do first, then tables."""
    return Group(facts(_known(shown)), *_now(shown), *_steps(shown), *_tables(shown))


def changed_view(done: Refreshed) -> RenderableType:
    """What asking again brought."""
    since = plain(done.before.answered_at)
    changed = "; ".join(done.changed.sentences()) or "nothing"
    lines: dict[str, object] = {"incident": done.incident.id, f"since {since}": changed}
    for name, words in (
        ("models", "affected"),
        ("unknown", "may be affected"),
        ("measured", "measured with it"),
    ):
        found = getattr(done.changed, name)
        if found.new:
            lines[f"now {words}"] = _some(found.new)
        if found.gone:
            lines[f"no longer {words}"] = _some(found.gone)
    if done.changed.batches.new:
        lines["new batches"] = _some(done.changed.batches.new)
    lines["affected in all"] = counted(len(done.incident.answer.models), "model version")
    return facts(lines)


def _known(shown: Overview) -> dict[str, object]:
    # Loaded when there is something to show: help must come at once.
    from lazaretto.authority.holds import noun_of
    from lazaretto.incidents.evidence import still_in
    from lazaretto.incidents.overview import WINDOWED
    from lazaretto.incidents.question import in_words

    found, evidence = shown.incident, shown.evidence
    answer = found.answer
    lines: dict[str, object] = {
        "incident": f"{found.id}, {found.state}",
        "title": found.title,
        "question": in_words(found.question),
        "opened": f"{plain(found.opened_at)} by {found.opened_by.id}: {found.reason}",
        "handled by": found.assignee or "nobody in particular",
    }
    if found.closed_at is not None and found.closed_by is not None:
        by = found.closed_by.id
        lines["closed"] = f"{plain(found.closed_at)} by {by}: {found.conclusion}"
    lines["affected"] = _some(answer.models) or "no model version that is known"
    whole = "" if answer.complete else "CANNOT SAY: the answer is not whole"
    unknown = "; ".join(filter(None, (_some(answer.unknown), whole)))
    lines["may be affected"] = unknown or "none that is known"
    if answer.measured:
        lines["only measured"] = f"{_some(answer.measured)}: what was measured with it is wrong"
    if shown.since_opened.anything:
        lines["since opened"] = "; ".join(shown.since_opened.sentences())
    lines["asked last"] = f"{plain(found.answered_at)}, up to ledger entry {answer.head}"
    used = ", ".join(still_in(evidence, found.question))
    counts = f"{counted(len(answer.batches), 'batch')}, {counted(evidence.records, 'record')}"
    lines["in question"] = f"{counts}; {used or 'none entered a dataset'}"
    lines["signed by"] = (
        ", ".join(
            f"{_key(one.key_id, one.revoked_at is not None)} ({counted(one.batches, 'batch')})"
            for one in evidence.keys[:_MOST]
        )
        or "nobody: no batch is in question"
    )
    held = sum(one.records for one in evidence.held)
    cases = counted(len(evidence.held), "case")
    lines["still held"] = f"{counted(held, 'record')} in {cases}" if held else "nothing"
    its = "its name" if found.question.kind == "source" else "the name of its source"
    lines["refused"] = f"{counted(len(shown.refused), 'delivery')} under {its} in the window"
    if found.question.kind not in WINDOWED:
        del lines["refused"]
    lines["on hold"] = (
        "; ".join(f"{noun_of(one.what)} {one.name}" for one in shown.holds) or "nothing"
    )
    if not shown.production:
        lines["in production"] = "no alias of these models is on record"
    return lines


def _now(shown: Overview) -> Iterator[RenderableType]:
    """What is in use, and what is stopped, each since when."""
    from lazaretto.authority.holds import noun_of
    from lazaretto.incidents.production import named

    if shown.production:
        yield grid(
            ["model", "alias", "version", "since", "it is"],
            [
                (named(one, shown.production), one.alias, one.version, one.since, _state(one))
                for one in shown.production[:_MOST]
            ],
            title="In production now",
        )
    if shown.holds:
        yield grid(
            ["on hold", "since", "by", "because"],
            [
                (f"{noun_of(one.what)} {one.name}", one.at, one.by.id, one.reason)
                for one in shown.holds[:_MOST]
            ],
            title="On hold for this incident",
            text=["because"],
        )


def _steps(shown: Overview) -> Iterator[RenderableType]:
    """Numbered; a command stands on a line of its own, to be copied whole."""
    for number, step in enumerate(shown.steps, start=1):
        title = "What to do first, in this order" if number == 1 else None
        if title is not None:
            yield Document("")
        yield facts({f"{number}.": step.what}, title=title)
        if step.command is not None:
            yield Command(step.command)


def _tables(shown: Overview) -> Iterator[RenderableType]:
    if shown.evidence.held:
        yield grid(
            ["case", "batch", "dataset", "records"],
            [(o.case, o.batch, o.dataset, o.records) for o in shown.evidence.held[:_MOST]],
            title="Held, and not decided",
        )
    if shown.refused:
        yield grid(
            ["entry", "refused", "because", "delivered as"],
            [(r.seq, r.at, f"{r.code}: {r.reason}", r.uri) for r in shown.refused[:_MOST]],
            title="Refused deliveries, the newest first",
            text=["because"],
        )
    if shown.actions:
        yield grid(
            ["entry", "when", "who", "what was done"],
            [
                (o.seq, o.at, o.by.id, f"{o.what}{f' ({o.note})' if o.note else ''}")
                for o in shown.actions[-_MOST:]
            ],
            title="What was done since",
            text=["what was done"],
        )
    if shown.incident.notes:
        yield grid(
            ["when", "who", "note"],
            [(o.at, o.by.id, o.text) for o in shown.incident.notes[-_MOST:]],
            title="Notes",
            free=["note"],
        )


def _state(one: InProduction) -> str:
    return "AFFECTED" if one.affected else "unknown" if one.unknown else "not affected"


def _key(key: str | None, revoked: bool) -> str:
    if key is None:
        return "no key"
    return f"{key[:16]}{' (revoked)' if revoked else ''}"


def _some(names: Sequence[str]) -> str:
    left = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {left} more" if left > 0 else "")
