"""``lazaretto lineage``: OpenLineage events in and out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell
from lazaretto.errors import SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.lineage import Ingested, Problem

app = typer.Typer(
    no_args_is_help=True, help="OpenLineage events: read from files, sent to your backend."
)

EventFile = Annotated[Path, typer.Argument(help="OpenLineage events, one JSON document per line")]


@command(app, "ingest")
def ingest(session: Session, file: EventFile) -> Reply:
    """Add runs that other tools reported to the index. Exit code 1 when a line was skipped."""
    from lazaretto import lineage

    with session.working("Reading events"):
        taken = lineage.ingest(session.workspace, file)
    return Reply(taken, _facts(taken), found=bool(taken.skipped))


@command(app, "check", needs=Needs.NOTHING)
def check(
    _session: Session,
    file: EventFile,
    strict: Annotated[
        bool, typer.Option("--strict", help="Also report facets whose schema is not known here")
    ] = False,
) -> Reply:
    """Check events against the official OpenLineage schemas and ours. Exit code 1 on a problem."""
    from lazaretto import lineage

    problems = lineage.check(file, strict=strict)
    return Reply(
        problems,
        check_view(problems) if problems else facts({"problems": "none"}),
        found=bool(problems),
    )


def check_view(problems: "Sequence[Problem]") -> Grid:
    """The table of what is wrong with some events."""
    rows = [(p.line, p.where, p.text) for p in problems]
    return grid(["line", "where", "problem"], rows, text=["problem"])


@command(app, "flush")
def flush(session: Session) -> Reply:
    """Send the ledger entries that your OpenLineage backend has not seen yet.

    Exit code 1 when entries wait because another process is sending, or OpenLineage is switched
    off; the answer says which, and until when.
    """
    from lazaretto.lineage import drain

    with session.working("Sending"):
        drained = drain(session.workspace)
    if drained.problem is not None:
        raise SystemFaultError(
            f"{drained.entries} ledger entries sent, {drained.remaining} wait: {drained.problem}"
        )
    told: dict[str, object] = {"entries sent": drained.entries}
    if drained.remaining:
        told["entries that wait"] = drained.remaining
    if drained.held is not None:
        told["another process sends them"] = drained.held.holder
        told["its lease ends"] = drained.held.until
    elif drained.disabled:
        told["nothing is sent"] = "OPENLINEAGE_DISABLED is set"
    waits = drained.remaining > 0 and (drained.held is not None or drained.disabled)
    return Reply(drained, facts(told), found=waits)


def _facts(taken: "Ingested") -> RenderableType:
    shown = facts(
        {
            "events": taken.events,
            "not known before": taken.new,
            "runs": taken.runs,
            "inputs and outputs": taken.edges,
            "outputs that only the ledger tells of": taken.ours,
        }
    )
    return Group(shown, *(cell(f"skipped {why}") for why in taken.skipped))
