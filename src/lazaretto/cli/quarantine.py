"""``lazaretto quarantine``: look at held records, decide on them, publish the decisions."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli import quarantine_sharing
from lazaretto.cli.announcing import AnnounceTo, airflow_at, announce
from lazaretto.cli.arguments import Limit, Reason, Yes, confirm
from lazaretto.cli.command import ON_EITHER, Needs, command
from lazaretto.cli.held_filter import CaseId, Filter, Selection
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

app = typer.Typer(
    no_args_is_help=True, help="Look at held records, decide on them, publish the decisions."
)


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


@command(app, "expire", needs=Needs.WORKSPACE | Needs.POLICY)
def expire(session: Session) -> Reply:
    """Reject records that nobody decided on within the policy's expire_days. Run it daily."""
    from lazaretto.quarantine import review

    decisions = review.expire(session.workspace, session.policy)
    return Reply(decisions, expired_view(decisions))


quarantine_sharing.register(app)


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
