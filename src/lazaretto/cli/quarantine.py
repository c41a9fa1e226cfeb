"""``lazaretto quarantine``: look at held records, decide on them, publish the decisions."""

from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.arguments import Limit, Reason, Yes, confirm
from lazaretto.cli.command import Needs, command
from lazaretto.cli.held_filter import Filter, Selection
from lazaretto.cli.layout import Grid, facts, grid, paged
from lazaretto.cli.reply import Reply
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

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="Id of a case")]


@command(app, "list")
def list_(
    session: Session,
    *,
    state: Annotated[str, typer.Option(help="OPEN, CLOSED, SUPERSEDED, or ALL")] = "OPEN",
    source: Annotated[str | None, typer.Option(help="Only cases of this source")] = None,
    batch: Annotated[str | None, typer.Option(help="Only cases of this batch")] = None,
    limit: Limit = 50,
    after: Annotated[
        str | None, typer.Option(metavar="CASE", help="Read on behind this case")
    ] = None,
) -> Reply:
    """List cases, newest first: what is held, and what is decided so far."""
    from lazaretto.quarantine.cases import list_cases

    wanted = state.upper()
    if wanted not in ("OPEN", "CLOSED", "SUPERSEDED", "ALL"):
        raise UsageError(f"--state is OPEN, CLOSED, SUPERSEDED or ALL, not {state!r}")
    cases = list_cases(
        session.workspace,
        state=None if wanted == "ALL" else wanted,
        source=source,
        batch=batch,
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


@command(app, "show")
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
    from lazaretto.cli.case_view import describe_case, view

    found = describe_case(
        session.workspace, case, which.as_mapping(), columns=column, after=after, limit=limit
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


@command(app, "release")
def release(
    session: Session, case: CaseId, *, reason: Reason, which: Selection, yes: Yes = False
) -> Reply:
    """Release held records. `publish` then admits them."""
    return _decide(session, case, Action.RELEASE, which, reason, yes=yes)


@command(app, "reject")
def reject(
    session: Session, case: CaseId, *, reason: Reason, which: Selection, yes: Yes = False
) -> Reply:
    """Keep held records out."""
    return _decide(session, case, Action.REJECT, which, reason, yes=yes)


@command(app, "relabel")
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


@command(app, "reweight")
def reweight(
    session: Session,
    case: CaseId,
    *,
    weight: Annotated[
        float, typer.Option(help="Their sample_weight, above 0; other records have 1")
    ],
    reason: Reason,
    which: Selection,
    yes: Yes = False,
) -> Reply:
    """Release held records with another weight in training."""
    return _decide(session, case, Action.REWEIGHT, which, reason, yes=yes, weight=weight)


@command(app, "undo")
def undo(
    session: Session,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="Id of a decision")],
    *,
    reason: Reason,
) -> Reply:
    """Take a decision back; what was decided before it is in force again."""
    from lazaretto.quarantine import review

    done = review.undo(session.workspace, decision, reason=reason)
    shown = {"undone": decision, "by": done.id, "case": done.case, "records": done.records}
    return Reply(done, facts(shown))


@command(app, "publish")
def publish(session: Session, case: CaseId) -> Reply:
    """Apply the decisions of a case: what is released enters the admitted dataset.

    From then on these decisions cannot be undone; the records can be recalled. Whoever publishes is
    on record. Exit code 1 when it is refused: the policy in force would not take the delivery now,
    or it asks for two people, which the command line cannot show.
    """
    from lazaretto.quarantine.publish import publish as publish_case
    from lazaretto.quarantine.review import list_publications

    with session.working("Publishing"):
        admission = publish_case(session.workspace, case)
    if admission is None:
        return Reply(None, facts({"case": case, "published": "0 records: none is released"}))
    known = list_publications(session.workspace, case)
    shown = {
        "case": case,
        "published": counted(admission.rows, "record"),
        "dataset": admission.dataset,
        "version": admission.version,
        "by": next(one.by.id for one in known if one.part == admission.part),
    }
    return Reply(admission, facts(shown))


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
    from lazaretto.quarantine import review
    from lazaretto.quarantine.cases import count_records

    which.check()
    chosen = which.as_mapping()
    if not which.ids:
        count = count_records(session.workspace, case, chosen)
        confirm(f"{action.value} {counted(count, 'record')} of {case}?", yes=yes)
    decision = review.decide(
        session.workspace,
        case,
        action,
        ids=which.ids or None,
        filter=chosen or None,
        all=which.everything,
        reason=reason,
        label=label,
        weight=weight,
    )
    shown = {
        "decision": decision.id,
        "case": case,
        "action": action,
        "records": decision.records,
        "by": decision.actor.id,
    }
    return Reply(decision, facts(shown))
