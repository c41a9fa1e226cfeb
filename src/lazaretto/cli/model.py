"""``lazaretto model``: which model version learned from which snapshot."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazaretto.cli import model_bom
from lazaretto.cli.arguments import Limit, split_version
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid, paged
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Model versions and what they learned from.")


@command(app, "register", needs=Needs.WORKSPACE)
def register(
    session: Session,
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model version")],
    *,
    snapshot: Annotated[
        str,
        typer.Option(
            metavar="DATASET@VERSION", help="What it learned from: a snapshot that was taken"
        ),
    ],
    artifact: Annotated[
        str | None,
        typer.Option(help="Path, or URI in a bucket, of the weights; their sha256 goes on record"),
    ] = None,
    registry: Annotated[str, typer.Option(help="Namespace of your model registry")] = "local",
    purpose: Annotated[
        str, typer.Option(help="What the training was for, such as TRAINING or FINE_TUNING")
    ] = "TRAINING",
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A parameter of the training, to keep; may be given several times",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the training")] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Id of the training run in your experiment tracker")
    ] = None,
) -> Reply:
    """Put a model version on record, so that an incident can be traced to it."""
    from lazaretto import stages

    model, number = split_version(version)
    dataset, taken = split_version(snapshot)
    if not taken.isdigit():
        raise UsageError(
            f"{snapshot!r} names no snapshot: write DATASET@VERSION, such as reviews@12"
        )
    registered = stages.register_model(
        session.workspace,
        model,
        number,
        dataset,
        int(taken),
        registry=registry,
        purpose=purpose,
        artifact=artifact,
        external_run_id=run_id,
        params=dict(_pair(text) for text in param or []),
        seed=seed,
    )
    shown = {
        "model": f"{registered.model}@{registered.version}",
        "learned from": f"{registered.dataset}@{registered.snapshot}",
        "records": registered.rows,
        "recalled since": ", ".join(registered.recalls) or "nothing of it",
    }
    return Reply(registered, facts(shown), found=bool(registered.recalls))


@command(app, "list")
def list_(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only versions of this model")] = None,
    *,
    limit: Limit = 100,
    after: Annotated[
        str | None, typer.Option(metavar="MODEL@VERSION", help="Read on behind this version")
    ] = None,
) -> Reply:
    """List model versions, newest first, with the recalls of what they learned."""
    from lazaretto.stages.listing import list_models

    behind = None if after is None else split_version(after)
    page = list_models(session.workspace, name, limit=limit, after=behind)
    last = page.rows[-1] if page.more else None
    onward = None if last is None else f"--after {last['model']}@{last['version']}"
    return Reply(page.rows, paged(list_view(page.rows), onward))


def list_view(models: "Sequence[dict[str, Any]]") -> Grid:
    """The table of some model versions."""
    rows = [
        (
            f"{m['model']}@{m['version']}",
            f"{m['dataset']}@{m['snapshot']}",
            m["rows"],
            m["at"],
            ", ".join(m["recalls"]),
        )
        for m in models
    ]
    columns = ["model", "learned from", "records", "registered", "recalls"]
    return grid(columns, rows, text=["recalls"])


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--param {text!r} is not KEY=VALUE")
    return key, value


model_bom.register(app)
