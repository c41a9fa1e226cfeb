"""``lazaretto incident``: the life of an incident, from the first question to its conclusion."""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Group

from lazaretto.cli.asked_about import AskedAbout
from lazaretto.cli.command import command
from lazaretto.cli.incident_view import changed_view, list_view, view
from lazaretto.cli.layout import facts, paged
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError
from lazaretto.values import HoldKind

app = typer.Typer(
    no_args_is_help=True, help="Incidents: ask, stop, take back, ask again, conclude."
)

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="Id of the incident")]
Why = Annotated[str, typer.Option("--why", help="Why; kept in the ledger")]
_SOURCE, _DATASET, _MODEL = HoldKind.SOURCE, HoldKind.PUBLISHING, HoldKind.PROMOTION
_NEXT = {
    _SOURCE: "what it held waits for a review: `lazaretto quarantine list`",
    _DATASET: "what was refused can enter: `lazaretto batch admit`, `lazaretto quarantine publish`",
}


@dataclass(frozen=True, slots=True)
class OnHold:
    """What is on hold: exactly one of the three."""

    source: Annotated[
        str | None, typer.Option(help="Whatever it delivers is held, batch by batch")
    ] = None
    dataset: Annotated[str | None, typer.Option(help="Nothing enters it")] = None
    model: Annotated[str | None, typer.Option(help="No version of it is put in use")] = None

    def named(self) -> tuple[HoldKind, str]:
        """Kind and name.

        Raises:
            UsageError: none is given, or more than one.
        """
        all_ = [(_SOURCE, self.source), (_DATASET, self.dataset), (_MODEL, self.model)]
        named = [(what, name) for what, name in all_ if name is not None]
        if len(named) != 1:
            raise UsageError("what? Give one of --source, --dataset, --model")
        return named[0]


@command(app, "open")
def open_(
    session: Session,
    about: AskedAbout,
    *,
    why: Why,
    title: Annotated[str | None, typer.Option(help="One line (default: the question)")] = None,
    freeze_source: Annotated[
        bool,
        typer.Option(
            "--freeze-source",
            help="Put the source on hold at once; of a batch, a record or a key whoever delivered",
        ),
    ] = False,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET", help="Let nothing enter this dataset; may be repeated"),
    ] = None,
    freeze_model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Put no version of it in use; may be repeated"),
    ] = None,
) -> Reply:
    """Open an incident: ask what was reached, keep the answer, and stop what is named.

    It can be about all that `lazaretto trace` can be asked about. Exit code 1 when a model version
    is affected, or was measured with it; 4 when none was found and the answer is not whole.
    """
    from lazaretto.incidents import open_incident

    holds = [(_DATASET, name) for name in freeze or []]
    holds += [(_MODEL, name) for name in freeze_model or []]
    opened = open_incident(
        session.workspace,
        about.question(),
        reason=why,
        title=title,
        holds=holds,
        hold_source=freeze_source,
    )
    return _shown(session, opened.id)


@command(app, "list")
def list_(
    session: Session,
    *,
    open_: Annotated[bool, typer.Option("--open", help="Only those that are open")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="INCIDENT", help="Read on behind this one")
    ] = None,
) -> Reply:
    """List incidents, newest first."""
    from lazaretto.incidents import list_incidents

    state = "OPEN" if open_ else None
    found = list_incidents(session.workspace, state=state, after=after, limit=limit + 1)
    shown = found[:limit]
    onward = f"--after {shown[-1].id}" if len(found) > limit else None
    return Reply(shown, paged(list_view(shown), onward))


@command(app, "show")
def show(session: Session, incident: Id) -> Reply:
    """What is known, what is in production, what is on hold, and what to do first.

    Exit code 1 while it is open and a model version is affected; 4 when none was found and the
    answer is not whole; 0 once it is closed, unless the records have said something else since.
    """
    return _shown(session, incident)


@command(app, "refresh")
def refresh(session: Session, incident: Id) -> Reply:
    """Ask again, and tell what changed since the last time.

    Exit codes are those of `incident show`.
    """
    from lazaretto.incidents import refresh as ask_again

    with session.working("Asking again"):
        done = ask_again(session.workspace, incident)
    found = done.incident
    data = {
        "incident": found,
        "changed": done.changed,
        "sentences": done.changed.sentences(),
        "since": done.before.answered_at,
        "seq": done.seq,
    }
    return Reply(data, changed_view(done), found=found.affected, cannot_say=found.cannot_say)


@command(app, "assign")
def assign(
    session: Session,
    incident: Id,
    assignee: Annotated[str, typer.Argument(help="Such as user:ann; `nobody` takes it back")],
) -> Reply:
    """Make an incident somebody's to handle. Others may still act on it."""
    from lazaretto.incidents import assign as make

    to = None if assignee == "nobody" else assignee
    data = {"incident": incident, "assignee": to, "changed": make(session.workspace, incident, to)}
    return Reply(data, facts(data))


@command(app, "note")
def note(
    session: Session,
    incident: Id,
    text: Annotated[str, typer.Argument(help="The note; kept in the ledger")],
) -> Reply:
    """Put a note on record."""
    from lazaretto.incidents import note as write

    data = {"incident": incident, "entry": write(session.workspace, incident, text)}
    return Reply(data, facts(data))


@command(app, "freeze")
def freeze(session: Session, incident: Id, on: OnHold, *, why: Why) -> Reply:
    """Put a source, a dataset or a model on hold for an incident.

    A source still delivers, and the gate holds each batch as a whole. Nothing enters a dataset.
    """
    from lazaretto.incidents import place_hold

    what, name = on.named()
    changed = place_hold(session.workspace, incident, what, name, reason=why)
    return _held(incident, what, name, on_hold=True, changed=changed)


@command(app, "lift")
def lift(session: Session, incident: Id, on: OnHold, *, why: Why) -> Reply:
    """End a hold. What it held waits for a review, like any other case."""
    from lazaretto.incidents import lift_hold

    what, name = on.named()
    changed = lift_hold(session.workspace, incident, what, name, reason=why)
    return _held(incident, what, name, on_hold=False, changed=changed)


@command(app, "action")
def action(
    session: Session,
    incident: Id,
    *,
    entry: Annotated[int, typer.Option(min=1, help="Number of the ledger entry")],
    note: Annotated[str, typer.Option(help="What it was for")] = "",
) -> Reply:
    """Link a ledger entry with an incident, as something that was done about it.

    Recalls, revoked keys and new model versions are found without that.
    """
    from lazaretto.incidents import link_action

    seq = link_action(session.workspace, incident, entry, note)
    data = {"incident": incident, "linked": entry, "entry": seq}
    return Reply(data, facts(data))


@command(app, "close")
def close(session: Session, incident: Id, *, why: Why) -> Reply:
    """Conclude an incident. Lift its holds first."""
    from lazaretto.incidents import close as conclude

    found = conclude(session.workspace, incident, why)
    shown = {"incident": found.id, "state": found.state, "conclusion": found.conclusion}
    return Reply(found, facts(shown))


def _shown(session: Session, incident: str) -> Reply:
    from lazaretto.incidents import show_incident

    shown = show_incident(session.workspace, incident)
    found = shown.incident
    return Reply(shown, view(shown), found=found.affected, cannot_say=found.cannot_say)


def _held(incident: str, what: HoldKind, name: str, *, on_hold: bool, changed: bool) -> Reply:
    data = {
        "incident": incident,
        "what": what,
        "name": name,
        "on_hold": on_hold,
        "changed": changed,
    }
    from lazaretto.authority.holds import noun_of

    said = f"{noun_of(what)} {name} is {'' if on_hold else 'not '}on hold for {incident}"
    again = "" if changed else ", as before"
    lines = {"done": f"{said}{again}"}
    if changed and not on_hold and what is not _MODEL:
        lines["next"] = _NEXT[what]
    return Reply(data, Group(facts(lines)))
