"""``lazaretto demo``: a week of deliveries, an attack and its blast radius, on this machine."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.reply import Reply, print_note
from lazaretto.cli.session import Session


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    command(app, "demo", needs=Needs.NOTHING)(demo)


def demo(
    _session: Session,
    out: Annotated[
        Path, typer.Option(help="Folder for everything it makes; an earlier demo there is replaced")
    ] = Path("build/demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the split, the attacks and the trainings")
    ] = 0,
    store: Annotated[
        str | None,
        typer.Option(
            help="Store to use in place of a folder in --out, to see how a bucket serves: "
            "`s3://bucket/try`. It must be new, and stays there",
            show_default=False,
        ),
    ] = None,
) -> Reply:
    """Play the whole story on real digits: a week of deliveries, an attack, the gate, the trace."""
    from lazaretto.demo import run_demo

    with _progress() as tell:
        summary = run_demo(out=out.absolute(), seed=seed, store=store, progress=tell)
    return Reply(summary, view(summary, out))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, a line for each step elsewhere; both on stderr."""
    if not sys.stderr.isatty():
        yield lambda text, _done, _total: print_note(text)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # The demo redirects descriptor 2 while Airflow runs: the bar needs one of its own.
    with os.fdopen(os.dup(2), "w") as terminal:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=Console(file=terminal), transient=True) as bar:
            task = bar.add_task("")
            yield lambda text, done, total: bar.update(
                task, description=text, completed=done, total=total
            )


_DELIVERY_COLUMNS = (
    "id",
    "verdict",
    "rows",
    "poisoned",
    "held",
    "poisoned_held",
    "clean_held",
    "reason",
)


def view(summary: dict[str, Any], out: Path) -> RenderableType:
    """The summary as tables: deliveries, models, trace, incident, and where the files are."""
    deliveries = grid(
        [key.replace("_", " ") for key in _DELIVERY_COLUMNS],
        [[row[key] for key in _DELIVERY_COLUMNS] for row in summary["deliveries"]],
        title="What happened to each delivery",
        text=["reason"],
    )
    models = grid(
        ["model", "trained on what was", "clean accuracy", "attack success"],
        [
            [
                f"{row['name']}@{row['version']}",
                row["trained_on"],
                f"{row['clean_accuracy']:.1%}",
                f"{row['attack_success_rate']:.1%}",
            ]
            for row in summary["models"]
        ],
        title="What the models learned",
    )
    trace = summary["trace"]
    blast = facts(
        {
            "window": f"{trace['since']} to {trace['until']}",
            "batches": ", ".join(trace["batches"]),
            "models": ", ".join(trace["models"]) or "none",
            "expected": ", ".join(trace["expected_models"]) or "none",
        },
        title=f"What {trace['source']} reached while it was compromised",
    )
    incident = summary["incident"]
    response = facts(
        {
            "incident": f"{incident['id']}, {incident['state']}",
            "affected": ", ".join(incident["affected"]) or "none",
            "recalled": f"{incident['recalled']} records",
            "trained anew": incident["retrained"],
        },
        title="What was done about it",
    )
    life = grid(
        ["entry", "what happened"],
        [(one["entry"], one["what"]) for one in incident["life"]],
        title="The life of the incident, as the ledger tells it",
        text=["what happened"],
    )
    promotion, drill = incident["promotion"], summary["drill"]
    in_use = facts(
        {
            "before": promotion["before"] or "nothing",
            **{
                f"{version} is refused": "; ".join(why)
                for version, why in promotion["refused"].items()
            },
            "in production now": promotion["promoted"] or promotion["before"] or "nothing",
            "its accuracy": f"{promotion['accuracy']:.1%}",
        },
        title="What may be in use",
    )
    drilled = grid(
        ["attack", *(f"held of {dose:.0%}" for dose in drill["doses"])],
        [[name, *(f"{share:.0%}" for share in shares)] for name, shares in drill["recall"].items()],
        title="A drill: attacks on a copy of the last batch that was admitted",
    )
    files = facts(
        {
            "summary": out / "summary.json",
            "OpenLineage": f"{summary['events']['count']} events in {summary['events']['file']}",
            "time": f"{summary['seconds']} s with Airflow {summary['airflow']}",
        },
        title="Where things are",
    )
    return Group(deliveries, models, blast, response, life, in_use, drilled, files)
