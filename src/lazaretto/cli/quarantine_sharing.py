"""``lazaretto quarantine``, beside deciding: share the work, agree, and take cases elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lazaretto.cli.arguments import Limit, Reason, Yes, confirm
from lazaretto.cli.command import ON_EITHER, command
from lazaretto.cli.held_filter import CaseId, Filter
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.quarantine.reads import Read

ExportFormat = Literal["csv", "parquet", "argilla"]
ImportFormat = Literal["csv", "argilla"]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "approve", needs=ON_EITHER)(approve)
    command(app, "assign", needs=ON_EITHER)(assign)
    command(app, "comment", needs=ON_EITHER)(comment)
    command(app, "override", needs=ON_EITHER)(override)
    command(app, "export", needs=ON_EITHER)(export)
    command(app, "import", needs=ON_EITHER)(import_)
    command(app, "reads")(reads)


def approve(session: Session, case: CaseId, *, yes: Yes = False) -> Reply:
    """Agree to what would be published, where a policy asks for two people.

    It counts only for people whom Airflow authenticated, so it needs `--server`. A newer decision
    on the case voids it.
    """
    found = session.reviewer.case(case, {}, columns=None, after=-1, limit=0)["case"]
    released = sum(found["actions"].get(name, 0) for name in ("RELEASE", "RELABEL", "REWEIGHT"))
    confirm(f"Approve what is released of {case} ({counted(released, 'record')})?", yes=yes)
    made = session.reviewer.approve(case, found["decided"])
    shown = {"case": case, "approved": counted(made.records, "record"), "by": made.by.id}
    return Reply(made, facts(shown))


def assign(
    session: Session,
    case: CaseId,
    *,
    to: Annotated[
        str | None, typer.Option(help="Who reviews it, such as user:ann; default: nobody")
    ] = None,
) -> Reply:
    """Make a case somebody's to review. Others may still decide on it."""
    session.reviewer.assign(case, to)
    return Reply({"case": case, "assignee": to}, facts({"case": case, "reviewer": to or "nobody"}))


def comment(
    session: Session,
    case: CaseId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The remark; it stays on record")],
) -> Reply:
    """Put a remark on a case on record."""
    seq = session.reviewer.comment(case, text)
    return Reply({"case": case, "seq": seq}, facts({"case": case, "ledger entry": seq}))


def override(session: Session, case: CaseId, *, reason: Reason) -> Reply:
    """Let the records of a case be released although its source or key is revoked.

    It counts only for people whom Airflow authenticated, so it needs `--server`. It releases
    nothing by itself, and counts until something of the source is revoked again.
    """
    seq = session.reviewer.override(case, reason)
    shown = {"case": case, "overridden": "it can be released", "ledger entry": seq}
    return Reply({"case": case, "seq": seq}, facts(shown))


def export(
    session: Session,
    case: CaseId,
    *,
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write; must not exist yet")],
    format_: Annotated[ExportFormat, typer.Option("--format", help="Of the file")] = "csv",
    which: Filter,
) -> Reply:
    """Write the held records of a case with all reasons and decisions. Who did is on record."""
    try:
        with session.working("Exporting"), to.open("xb") as file:
            try:
                session.reviewer.export(case, file, format_, which.as_mapping())
            except BaseException:
                to.unlink()
                raise
    except FileExistsError:
        raise UsageError(f"{to} exists already: name another file") from None
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error}") from error
    shown = {"case": case, "file": str(to), "format": format_}
    return Reply(shown, facts(shown))


def import_(
    session: Session,
    case: CaseId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="With decisions made elsewhere")],
    *,
    format_: Annotated[ImportFormat, typer.Option("--format", help="Of the file")] = "csv",
    reason: Annotated[str | None, typer.Option(help="Why; stays on record")] = None,
    yes: Yes = False,
) -> Reply:
    """Take the decisions of a file that `export` wrote and people filled in."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    found = session.reviewer.bring(case, content, format_, reason, apply=False)
    if found["records"]:
        groups = ", ".join(f"{g['action'].lower()} {g['records']}" for g in found["groups"])
        asked = f"Decide on {counted(found['records'], 'record')} of {case} ({groups})?"
        confirm(asked, yes=yes)
        with session.working("Deciding"):
            found = session.reviewer.bring(case, content, format_, reason, apply=True)
    shown = {
        "case": case,
        "decided": counted(found["records"], "record"),
        "as they are": counted(found["as_they_are"], "record"),
        **{f"decision {n}": made["id"] for n, made in enumerate(found["decisions"], start=1)},
    }
    return Reply(found, facts(shown))


def reads(
    session: Session,
    case: CaseId,
    *,
    limit: Limit = 50,
) -> Reply:
    """Show who was shown the content of a case's records, newest first: the read log.

    It tells of the review page, its API and exports. Looking again within minutes adds nothing.
    """
    from lazaretto.quarantine.reads import list_reads

    shown = list_reads(session.workspace, case, limit=limit)
    return Reply(shown, reads_view(shown))


def reads_view(shown: "Sequence[Read]") -> Grid:
    """The table of some reads."""
    rows = [
        (
            read.seq,
            read.at,
            read.actor.id if read.actor.authenticated else f"{read.actor.id} (not authenticated)",
            read.via,
            read.records,
            str(read.first) if read.first == read.last else f"{read.first} to {read.last}",
            ", ".join(f"{name} {value}" for name, value in sorted(read.filter.items())),
        )
        for read in shown
    ]
    columns = ["entry", "when", "by", "via", "records", "positions", "filter"]
    return grid(columns, rows, text=["filter"])
