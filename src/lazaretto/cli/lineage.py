"""``lazaretto lineage``: OpenLineage events in and out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli import lineage_schema
from lazaretto.cli.arguments import Limit, Reason
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


@command(app, "alias")
def alias(
    session: Session,
    namespace: Annotated[str, typer.Argument(help="OpenLineage namespace of one name")],
    name: Annotated[str, typer.Argument(help="The name")],
    same_namespace: Annotated[str, typer.Argument(help="Namespace of the other name")],
    same_name: Annotated[str, typer.Argument(help="The other name")],
    *,
    reason: Reason,
    remove: Annotated[
        bool, typer.Option("--remove", help="They are not the same, after all")
    ] = False,
) -> Reply:
    """Say that two names are of the same dataset: its traces go by both from now on."""
    from lazaretto import lineage

    with session.working("Computing"):
        seq = lineage.alias(
            session.workspace,
            (namespace, name),
            (same_namespace, same_name),
            reason=reason,
            withdraw=remove,
        )
    shown = {"entry": seq, "the same": "no" if remove else "yes"}
    return Reply({"seq": seq, "same": not remove}, facts(shown))


@command(app, "external")
def external(
    session: Session,
    namespace: Annotated[str, typer.Argument(help="OpenLineage namespace, or model registry")],
    name: Annotated[str, typer.Argument(help="Name of the dataset or model")],
    *,
    reason: Reason,
    version: Annotated[
        str | None, typer.Option(help="Only this version; default: all of unknown origin")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Nobody vouches for it any more")
    ] = False,
) -> Reply:
    """Vouch that a dataset or model comes from outside and holds nothing of yours.

    Its unknown origin then makes no answer incomplete. The ledger says who vouches for it.
    """
    from lazaretto import lineage

    seq = lineage.declare_external(
        session.workspace, (namespace, name), version=version, reason=reason, withdraw=remove
    )
    shown = {"entry": seq, "comes from outside": "no" if remove else "yes"}
    return Reply({"seq": seq, "external": not remove}, facts(shown))


@command(app, "gaps")
def gaps(session: Session) -> Reply:
    """What nobody told the origin of, and nobody vouches for. Exit code 1 when there is something.

    Answers that it concerns are not complete until events, or a person, tell more.
    """
    from lazaretto import lineage

    with session.working("Looking"):
        found = lineage.unexplained(session.workspace)
    rows = [(gap.what, gap.namespace, gap.problem, gap.until) for gap in found]
    columns = ["what", "namespace", "problem", "until"]
    shown = grid(columns, rows, text=["what", "problem"]) if rows else facts({"gaps": "none"})
    return Reply(found, shown, found=bool(found))


@command(app, "links")
def links(session: Session, *, limit: Limit = 1000) -> Reply:
    """The graph that is concluded from events: each link with its basis and rule, and each gap."""
    from lazaretto.lineage.claims.dump import dump
    from lazaretto.lineage.claims.intake import bring_up

    with session.working("Computing"):
        bring_up(session.workspace)
        with session.workspace.catalog.read() as connection:
            lines = dump(connection, limit=limit)
    rows = [(line.src, line.dst, line.basis, line.why) for line in lines]
    columns = ["from", "to", "basis or gap", "why"]
    return Reply(lines, grid(columns, rows, text=["from", "to", "why"]))


@command(app, "rebuild")
def rebuild(session: Session) -> Reply:
    """Compute anew what follows from all events and the ledger; what is right stays as it is."""
    from lazaretto.lineage.claims.rebuild import rebuild as compute

    with session.working("Computing"):
        compute(session.workspace)
    return Reply({"rebuilt": True}, facts({"graph": "computed anew"}))


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


lineage_schema.register(app)
