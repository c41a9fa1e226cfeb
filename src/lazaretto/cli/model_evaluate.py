"""``lazaretto model evaluate``: a version is measured, and what comes of it goes on record."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from lazaretto.cli.arguments import Registry, split_version
from lazaretto.cli.command import command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.models import Evaluated
    from lazaretto.models.report import Report

_MODEL = "The model"
_FEW = 5
_MORE = "What is measured besides accuracy"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "evaluate")(evaluate)


def evaluate(
    session: Session,
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model version")],
    *,
    on: Annotated[str, typer.Option("--on", metavar="FILE", help="Test rows with their labels")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="The weights: ONNX, a probe's safetensors, or what --load-model reads. Their "
            "sha256 must be the one on record",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    load_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Your function from the weights' path to a torch module, or to a function from "
            "an Arrow table to labels or probabilities",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of the model: its answers, in a column `prediction`, row by row",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|MODULE:FUNCTION",
            help="What the model reads: a column, or your function from an Arrow record batch to "
            "its input",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    class_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Class of each output, in their order; may be given several times (default: the "
            "numbers from 0, or the labels sorted)",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the answer (default: the policy's label)")
    ] = None,
    slice_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Measure each value of this column; several times (default: columns.slices)",
            rich_help_panel=_MORE,
        ),
    ] = None,
    canaries: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Rows whose answer must come", rich_help_panel=_MORE),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(
            help="Make trigger canaries of what this case holds; several times (default: of what "
            "reviewers rejected)",
            rich_help_panel=_MORE,
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Try FGSM and PGD that move a value so far, in its own unit",
            rich_help_panel=_MORE,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNELSxHEIGHTxWIDTH",
            help="The vector is a flattened image: blur it, too",
            rich_help_panel=_MORE,
        ),
    ] = None,
    registry: Registry = None,
    alias: Annotated[
        str, typer.Option(help="Compare with the version that this name stands for")
    ] = "production",
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key that signs the report, PEM")
    ] = None,
) -> Reply:
    """Measure a model version on a test set; the report goes on record.

    Accuracy by class and slice, calibration, canaries, damaged rows, attacks, and how often it
    agrees with the version in use. `lazaretto model promote` reads it where the policy asks.
    """
    from lazaretto.cli.sanitizing import read_inputs, resolve_function
    from lazaretto.models import evaluate_file
    from lazaretto.models.figures import Asked
    from lazaretto.models.open_model import ModelSource, read_test_file

    name, number = split_version(version)
    source = ModelSource(
        weights=weights,
        load=None if load_model is None else resolve_function(load_model, "--load-model"),
        predictions=predictions,
        inputs=read_inputs(inputs),
        classes=class_name,
    )
    column = inputs if inputs is not None and ":" not in inputs else None
    asked = Asked(
        label=label,
        slices=slice_by,
        reads=None if column is None else [column],
        image=_shape(image),
        epsilon=epsilon,
        canaries=None if canaries is None else read_test_file(canaries).rows,
        cases=case or (),
    )
    with session.working("Asking the model"):
        done = evaluate_file(
            session.workspace,
            name,
            number,
            on,
            source,
            asked=asked,
            registry=registry,
            code=load_model,
            alias=alias,
            key=None if key is None else key.read_bytes(),
        )
    return Reply(done, Group(facts(_shown(done)), figures_view(done.report)))


def figures_view(report: "Report") -> Grid:
    """The table of what was measured."""
    rows: list[tuple[str, str]] = [
        (name.replace("_", " "), f"{value:.4f}") for name, value in sorted(report.figures.items())
    ]
    rows += [(f"under {name}", f"{value:.4f}") for name, value in report.corruptions.items()]
    rows += [(f"under {name}", f"{value:.4f}") for name, value in report.attacks.items()]
    rows += [
        (f"slice {one.name} ({one.rows} rows)", f"{one.accuracy:.4f}") for one in report.slices
    ]
    return grid(["figure", "value"], rows, title="Figures")


def standing(alias: dict[str, Any]) -> str:
    """A name that stands for it, and whether that was promoted."""
    return f"{alias['alias']} (promoted)" if alias["promoted"] else str(alias["alias"])


def evaluated(evaluations: list[dict[str, Any]]) -> str:
    """The newest evaluations in a few words each."""
    told = []
    for one in evaluations[:_FEW]:
        accuracy = one["figures"].get("accuracy")
        figure = "" if accuracy is None else f": accuracy {accuracy:.4f} of {one['rows']:,} rows"
        told.append(f"entry {one['seq']} ({one['how']}){figure}")
    return "; ".join(told) or "none"


def _shown(done: "Evaluated") -> dict[str, object]:
    report = done.report
    found = report.calibration
    return {
        "model": f"{report.model}@{report.version}",
        "asked by": report.how,
        "weights": report.artifact_digest or "not known",
        "test set": report.test_set,
        "rows": report.rows,
        "compared with": report.compared_with or "no version",
        "temperature": "not fitted"
        if found is None or found.temperature is None
        else f"{found.temperature:.3f} (error then {found.error_with_temperature:.4f})",
        "not measured": "; ".join(report.notes) or "nothing",
        "signed": "yes" if done.signed else "no: --key signs it",
        "ledger entry": done.seq,
    }


def _shape(text: str | None) -> tuple[int, int, int] | None:
    parts = [] if text is None else text.lower().split("x")
    if text is None:
        return None
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise UsageError(f"--image {text!r} is not CHANNELSxHEIGHTxWIDTH, such as 1x28x28")
    return int(parts[0]), int(parts[1]), int(parts[2])
