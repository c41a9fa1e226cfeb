"""``lazaretto trace prediction``: which records, batches and sources drove a model's mistakes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.arguments import Registry, split_version
from lazaretto.cli.command import command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply
from lazaretto.cli.sanitizing import read_inputs, resolve_function
from lazaretto.cli.session import Session
from lazaretto.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.attribution import BatchShare
    from lazaretto.stages import PredictionTrace
    from lazaretto.stages.query_rows import Reader

_SHOWN = 10
_FOUND_BY = {
    "records": "records that pull further than on right predictions",
    "batches": "batches that differ from each other",
    "source": "all of its records together",
}
_NETWORK = "The model looks at the rows"
_CAPTURED = "What was captured before"


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Where features and predictions come from: the model, or files."""

    load_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Your function that takes the weights' path and returns the torch module",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="Path of the weights; their sha256 is compared with what is on record",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|MODULE:FUNCTION",
            help="What the model reads: a column, or your function from an Arrow record batch to "
            "its input",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    class_name: Annotated[
        list[str] | None,
        typer.Option(
            help="Class of each output, in their order; may be given several times (default: the "
            "numbers from 0, or the labels sorted)",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    device: Annotated[str, typer.Option(help="torch device, or auto", rich_help_panel=_NETWORK)] = (
        "auto"
    )
    features: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Features of the training records, as capture_to writes them, instead of the "
            "model",
            rich_help_panel=_CAPTURED,
        ),
    ] = None
    vectors: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Of the other rows: the same features, as a list of numbers",
            rich_help_panel=_CAPTURED,
        ),
    ] = "features"
    prediction: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Of the other rows: the class that the model gave",
            rich_help_panel=_CAPTURED,
        ),
    ] = "prediction"
    layer: Annotated[
        str | None,
        typer.Option(
            help="Layer whose output is used (default: what goes into the last linear layer)"
        ),
    ] = None


def add_prediction(app: typer.Typer) -> None:
    """Registers the command."""
    command(app, "prediction")(prediction)


def prediction(
    session: Session,
    network: ReaderOptions,
    *,
    model: Annotated[str, typer.Option(metavar="NAME@VERSION", help="A registered model version")],
    wrong: Annotated[
        str, typer.Option("--input", metavar="FILE", help="Rows that the model got wrong")
    ],
    right: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Rows that it did not learn from and got right, to compare with; without them "
            "nobody is accused",
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of these rows, the true label: sorts out what is not wrong, or not right",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="COLUMN", help="Label of the training records")
    ] = "label",
    registry: Registry = None,
    level: Annotated[
        float, typer.Option(help="Chance of accusing a source where none is to blame")
    ] = 0.01,
) -> Reply:
    """Which training records, batches and sources drove wrong predictions of a model.

    Exit code 1 when a source is accused, 0 when none is, 4 when it cannot be said. That none is
    accused clears nobody: what would have been accused is told with the answer.
    """
    from lazaretto import stages

    name, number = split_version(model)
    reader = _reader(network)
    with bars() as progress:
        found = stages.trace_prediction(
            session.workspace,
            name,
            number,
            _rows(wrong, "--input"),
            reader,
            label=label,
            right=None if right is None else _rows(right, "--right"),
            truth=truth,
            weights=network.weights,
            registry=registry,
            level=level,
            progress=progress,
        )
    accused = bool(found.accused)
    return Reply(found.to_json(), view(found), found=accused, cannot_say=bool(found.cannot_say))


def view(found: "PredictionTrace") -> RenderableType:
    """Facts and tables of the answer."""
    told = found.found
    parts: list[RenderableType] = [facts(_summary(found))]
    parts.append(
        grid(
            ["source", "records", "share", "usual", "influence", "p", "accused"],
            [
                (
                    s.source,
                    s.records,
                    _percent(s.share),
                    _percent(s.usual),
                    _percent(s.influence),
                    f"{s.p_value:.3g}",
                    "yes" if s.accused else "no",
                )
                for place, s in enumerate(told.sources)
                if place < _SHOWN or s.accused
            ],
            title="Sources"
            if len(told.sources) <= _SHOWN
            else f"Sources: the first {_SHOWN} of {len(told.sources)}, and who is accused",
        )
    )
    parts.append(
        grid(
            ["batch", "source", "records", "share", "usual", "p"],
            [_batch_row(batch) for batch in told.batches[:_SHOWN]],
            title=f"Batches: the first {min(_SHOWN, len(told.batches))} of {len(told.batches)}",
        )
    )
    records = told.records.slice(0, _SHOWN).to_pylist()
    parts.append(
        grid(
            ["record", "label", "share", "usual"],
            [
                (row["record_id"], row["label"], f"{row['share']:.2%}", f"{row['usual']:.2%}")
                for row in records
            ],
            title=f"Records: the first {len(records)} of {told.records.num_rows}",
        )
    )
    return Group(*parts)


def _summary(found: "PredictionTrace") -> dict[str, object]:
    told = found.found
    answer = "no source is accused, which clears none of them"
    if found.accused:
        answer = f"accused: {', '.join(found.accused)}"
    if found.cannot_say:
        answer = "CANNOT SAY"
    right = "none given" if told.agreement_right is None else f"{told.agreement_right:.0%}"
    summary: dict[str, object] = {"answer": answer}
    summary |= {f"because {n}": why for n, why in enumerate(found.cannot_say, start=1)}
    summary |= {
        "model": f"{found.model}, learned from {found.dataset}@{found.snapshot}, "
        f"{found.rows} records",
        "predictions": f"{told.wrong} wrong, {told.right} right",
        "the probe agrees": f"wrong {told.agreement_wrong:.0%}, right {right}",
        "level": f"{told.level:g}; the smallest p that these rows could give is "
        f"{told.smallest_p:.2g}",
    }
    if found.accused:
        summary["found by"] = "; ".join(
            f"{one.source}: {', '.join(_FOUND_BY[test] for test in one.found_by)}"
            for one in told.sources
            if one.accused
        )
    if told.planted:
        summary["would be accused"] = "; ".join(
            f"{one.records} records like these in one batch: {one.accused} of {one.trials} trials"
            for one in told.planted
        )
    notes = [*found.notes, *told.notes, *(found.gaps if found.accused else [])]
    return summary | {f"note {number}": note for number, note in enumerate(notes, start=1)}


def _batch_row(batch: "BatchShare") -> tuple[object, ...]:
    shares = (_percent(batch.share), _percent(batch.usual))
    return (batch.batch, batch.source, batch.records, *shares, f"{batch.p_value:.3g}")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _reader(options: ReaderOptions) -> "Reader":
    from lazaretto.stages.query_rows import Captured, Network

    if options.features is not None:
        if options.load_model or options.inputs or options.class_name:
            raise UsageError(
                "--features stands for the model: leave out --load-model, --inputs and --class-name"
            )
        return Captured(options.features, options.layer, options.vectors, options.prediction)
    if options.load_model is None or options.weights is None or options.inputs is None:
        raise UsageError(
            "which features? Give --load-model, --weights and --inputs, for the model to look at "
            "the rows, or --features with what was captured before"
        )
    load = resolve_function(options.load_model, "--load-model")
    from torch import nn

    module = load(options.weights)
    if not isinstance(module, nn.Module):
        raise UsageError(f"--load-model returned {type(module).__name__}, not a torch module")
    inputs = read_inputs(options.inputs)
    return Network(module, inputs, options.layer, options.class_name, options.device)


def _rows(path: str, option: str) -> "pa.Table":
    from lazaretto.batch import open_batch

    try:
        return open_batch(path).table()
    except DeliveryError as error:
        raise UsageError(f"{option} cannot be read: {error}") from error
