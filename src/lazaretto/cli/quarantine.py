"""``lazaretto quarantine``: look at held records, decide on them, publish the decisions."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lazaretto.cli.announcing import AnnounceTo, airflow_at, announce
from lazaretto.cli.arguments import Limit, Reason, Yes, confirm
from lazaretto.cli.command import Needs, command
from lazaretto.cli.held_filter import Filter, Selection
from lazaretto.cli.layout import Grid, facts, grid, paged
from lazaretto.cli.reply import Reply, print_note
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import UsageError
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.quarantine.cases import Case
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.quarantine.reads import Read

app = typer.Typer(
    no_args_is_help=True, help="Look at held records, decide on them, publish the decisions."
)

ExportFormat = Literal["csv", "parquet", "argilla"]
ImportFormat = Literal["csv", "argilla"]
ON_EITHER = Needs.WORKSPACE | Needs.REVIEW
CaseId = Annotated[str, typer.Argument(metavar="CASE", help="Id of a case")]


@command(app, "list", needs=ON_EITHER)
def list_(
    session: Session,
    *,
    state: Annotated[str, typer.Option(help="OPEN, CLOSED, SUPERSEDED, or ALL")] = "OPEN",
    source: Annotated[str | None, typer.Option(help="Only cases of this source")] = None,
    batch: Annotated[str | None, typer.Option(help="Only cases of this batch")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only cases of this dataset")] = None,
    assignee: Annotated[
        str | None, typer.Option(help="Only cases that this person reviews, or `nobody`")
    ] = None,
    limit: Limit = 50,
    after: Annotated[
        str | None, typer.Option(metavar="CASE", help="Read on behind this case")
    ] = None,
) -> Reply:
    """List cases, newest first: what is held, and what is decided so far."""
    wanted = state.upper()
    if wanted not in ("OPEN", "CLOSED", "SUPERSEDED", "ALL"):
        raise UsageError(f"--state is OPEN, CLOSED, SUPERSEDED or ALL, not {state!r}")
    cases = session.reviewer.cases(
        state=None if wanted == "ALL" else wanted,
        source=source,
        batch=batch,
        dataset=dataset,
        assignee=assignee,
        after=after,
        limit=limit + 1,
    )
    shown = cases[:limit]
    onward = f"--after {shown[-1].id}" if len(cases) > limit else None
    return Reply(shown, paged(list_view(shown), onward))


def list_view(cases: "Sequence[Case]") -> Grid:
    """The table of some cases."""
    rows = [
        (c.id, c.state, c.batch, c.verdict, f"{c.held} of {c.rows}", counts(c.actions), c.opened_at)
        for c in cases
    ]
    columns = ["case", "state", "batch", "verdict", "held", "decisions", "opened"]
    return grid(columns, rows, text=["decisions"])


@command(app, "show", needs=ON_EITHER)
def show(
    session: Session,
    case: CaseId,
    *,
    which: Filter,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Show this column of the records (default: the policy's payload)"),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show at most so many records")] = 20,
    after: Annotated[int, typer.Option(help="Show records after this position, page by page")] = -1,
) -> Reply:
    """Show a case: why records are held, the records with all reasons, decisions, publications."""
    from lazaretto.cli.case_view import view

    found = session.reviewer.case(
        case, which.as_mapping(), columns=column, after=after, limit=limit
    )
    return Reply(found, view(found))


@command(app, "reads")
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


@command(app, "release", needs=ON_EITHER)
def release(
    session: Session, case: CaseId, *, reason: Reason, which: Selection, yes: Yes = False
) -> Reply:
    """Release held records. `publish` then admits them."""
    return _decide(session, case, Action.RELEASE, which, reason, yes=yes)


@command(app, "reject", needs=ON_EITHER)
def reject(
    session: Session, case: CaseId, *, reason: Reason, which: Selection, yes: Yes = False
) -> Reply:
    """Keep held records out."""
    return _decide(session, case, Action.REJECT, which, reason, yes=yes)


@command(app, "relabel", needs=ON_EITHER)
def relabel(
    session: Session,
    case: CaseId,
    *,
    to: Annotated[str, typer.Option(help="The right label")],
    reason: Reason,
    which: Selection,
    yes: Yes = False,
) -> Reply:
    """Release held records under another label."""
    return _decide(session, case, Action.RELABEL, which, reason, yes=yes, label=to)


@command(app, "reweight", needs=ON_EITHER)
def reweight(
    session: Session,
    case: CaseId,
    *,
    weight: Annotated[
        float,
        typer.Option(
            help="Their sample_weight, above 0 and at most the policy's review.max_weight; other "
            "records have 1"
        ),
    ],
    reason: Reason,
    which: Selection,
    yes: Yes = False,
) -> Reply:
    """Release held records with another weight in training."""
    return _decide(session, case, Action.REWEIGHT, which, reason, yes=yes, weight=weight)


@command(app, "undo", needs=ON_EITHER)
def undo(
    session: Session,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Id of a decision")],
    *,
    reason: Reason,
) -> Reply:
    """Take a decision back; what was decided before it is in force again."""
    done = session.reviewer.undo(decision, reason)
    shown = {"undone": decision, "by": done.id, "case": done.case, "records": done.records}
    return Reply(done, facts(shown))


@command(app, "publish", needs=ON_EITHER)
def publish(session: Session, case: CaseId, *, announce_to: AnnounceTo = None) -> Reply:
    """Apply the decisions of a case: what is released enters the admitted dataset.

    From then on these decisions cannot be undone; the records can be recalled. Whoever publishes is
    on record. Exit code 1 when it is refused: the policy in force would not take the delivery now,
    or it asks for two people, which the command line cannot show.
    """
    airflow = airflow_at(announce_to) if session.server is None else None  # else the page tells
    with session.working("Publishing"):
        made = session.reviewer.publish(case)
        if airflow and made.rows and made.dataset and made.seq:
            note = announce(session.workspace, made.dataset, made.seq, airflow)
            made = replace(made, announced=not note, note=note)
    if made.note:
        print_note(made.note)
    if not made.rows:
        return Reply(made, facts({"case": case, "published": "0 records: none is released"}))
    shown = {
        "case": case,
        "published": counted(made.rows, "record"),
        "dataset": made.dataset,
        "version": made.version,
        "by": made.by,
    } | ({} if made.announced is None else {"announced": "yes" if made.announced else "no"})
    return Reply(made, facts(shown))


@command(app, "assign", needs=ON_EITHER)
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


@command(app, "comment", needs=ON_EITHER)
def comment(
    session: Session, case: CaseId, text: Annotated[str, typer.Argument(metavar="TEXT")]
) -> Reply:
    """Put a remark on a case on record."""
    seq = session.reviewer.comment(case, text)
    return Reply({"case": case, "seq": seq}, facts({"case": case, "ledger entry": seq}))


@command(app, "export", needs=ON_EITHER)
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


@command(app, "import", needs=ON_EITHER)
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


@command(app, "expire", needs=Needs.WORKSPACE | Needs.POLICY)
def expire(session: Session) -> Reply:
    """Reject records that nobody decided on within the policy's expire_days. Run it daily."""
    from lazaretto.quarantine import review

    decisions = review.expire(session.workspace, session.policy)
    return Reply(decisions, expired_view(decisions))


def expired_view(decisions: "Sequence[Decision]") -> Grid:
    """The table of what expired."""
    rows = [(d.case, d.action, d.records, d.reason) for d in decisions]
    return grid(["case", "decision", "records", "reason"], rows, text=["reason"])


def counts(actions: dict[str, int]) -> str:
    """Records by decision, in words."""
    return ", ".join(f"{action.lower()} {count}" for action, count in sorted(actions.items()))


def _decide(
    session: Session,
    case: str,
    action: Action,
    which: Selection,
    reason: str,
    *,
    yes: bool,
    label: str | None = None,
    weight: float | None = None,
) -> Reply:
    from lazaretto.cli.reviewing import Choice

    which.check()
    chosen = which.as_mapping()
    if not which.ids:
        count = session.reviewer.count(case, chosen)
        confirm(f"{action.value} {counted(count, 'record')} of {case}?", yes=yes)
    choice = Choice(which.ids or None, chosen or None, all=which.everything)
    decision = session.reviewer.decide(case, action, choice, reason, label, weight)
    shown = {
        "decision": decision.id,
        "case": case,
        "action": action,
        "records": decision.records,
        "by": decision.actor.id,
    }
    return Reply(decision, facts(shown))
