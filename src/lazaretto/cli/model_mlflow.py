"""``lazaretto model import-mlflow``, ``check-mlflow``: what a server says, and what differs."""

from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.models.mlflow_aliases import AliasDifference


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "import-mlflow", needs=Needs.WORKSPACE)(import_mlflow)
    command(app, "check-mlflow")(check_mlflow)


def import_mlflow(
    session: Session,
    uri: Annotated[str, typer.Argument(metavar="URI", help="Of the server: http://HOST:PORT")],
    *,
    name: Annotated[str | None, typer.Option(help="Only this registered model")] = None,
) -> Reply:
    """Read the model versions of an MLflow server, with their data, runs and aliases.

    Read again, it adds what is new. Credentials come from MLflow's own variables, such as
    MLFLOW_TRACKING_TOKEN. Exit code 4 when something could not be taken.
    """
    from lazaretto.lineage import import_mlflow

    with session.working("Reading the server"):
        found = import_mlflow(session.workspace, uri, name=name)
    shown = {
        "registry": found.registry,
        "model versions": found.versions,
        "without known data": ", ".join(found.without_inputs) or "none",
        "aliases changed": found.aliases,
        "not taken": "; ".join(found.skipped) or "nothing",
    }
    return Reply(found, facts(shown), cannot_say=bool(found.skipped))


def check_mlflow(
    session: Session,
    uri: Annotated[str, typer.Argument(metavar="URI", help="Of the server: http://HOST:PORT")],
    *,
    name: Annotated[str | None, typer.Option(help="Only this registered model")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Set there what promotions, demotions and rollbacks here say, first"
        ),
    ] = False,
) -> Reply:
    """Compare the aliases of an MLflow server with those of the ledger.

    Exit code 1 when one stands for another version there. With --repair, names that were promoted
    or demoted here are moved there first; the ledger stays as it is. `lazaretto model
    import-mlflow` puts on record what the server says.
    """
    from lazaretto.models.mlflow_aliases import differing_aliases, repair_aliases

    compare = repair_aliases if repair else differing_aliases
    with session.working("Reading the server"):
        found = compare(session.workspace, uri, name=name)
    return Reply(found, differences_view(found), found=bool(found))


def differences_view(found: "Sequence[AliasDifference]") -> Grid:
    """The table of names that stand for other versions on a server."""
    rows = [
        (
            one.model,
            one.alias,
            one.here or "no version",
            one.there or "no version",
            "yes" if one.promoted else "no",
            "yes" if one.follows else "no",
        )
        for one in found
    ]
    columns = ["model", "alias", "by the ledger", "by the server", "promoted here", "to repair"]
    return grid(columns, rows)
