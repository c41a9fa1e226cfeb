"""``lazaretto doctor``: is everything there that a working installation needs?"""

from typing import TYPE_CHECKING

import typer

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.health.examined import Line

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "cannot say": "magenta"}


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    command(app, "doctor", needs=Needs.WORKSPACE | Needs.POLICY)(doctor)


def doctor(session: Session) -> Reply:
    """Examine this installation: each line says ok, warning, failure or cannot say, and what to do.

    Looks at versions, catalog and store, clocks, keys, open cases, lineage, disks, Airflow, and at
    the policy with its encoder and the batches that its reference can judge. Makes and changes
    nothing. Exit code 1 when anything is found, 4 when nothing is and something cannot be said.
    """
    from lazaretto.health.doctor import examine
    from lazaretto.health.examined import State

    with session.working("Examining"):
        found = examine(lambda: session.workspace, policy=session.policy_path)
    return Reply(
        found,
        view(found.lines),
        found=found.state in (State.WARNING, State.FAILURE),
        cannot_say=found.state is State.CANNOT_SAY,
    )


def view(lines: "Sequence[Line]") -> Grid:
    """The table of what was found."""
    rows = [
        (
            line.subject,
            cell(line.state.value, _STYLES[line.state]),
            line.found if line.todo is None else f"{line.found}. To do: {line.todo}",
        )
        for line in lines
    ]
    return grid(["what", "state", "found"], rows, text=["found"])
