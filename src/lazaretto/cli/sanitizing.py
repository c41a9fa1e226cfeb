"""Options of ``dataset sanitize``, and the models that they stand for."""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazaretto.cli.arguments import ImageShape
from lazaretto.cli.layout import Grid, grid
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from torch import nn

    from lazaretto.activations import Probe
    from lazaretto.policy import Policy
    from lazaretto.stages import Retraining, SanitizeResult, Snapshot

_MODEL = "The model"
_COMPARE = "Retrain and compare"
_FUNCTION = "MODULE:FUNCTION"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model looks at the records, and what it reads of them."""

    load_model: Annotated[
        str | None,
        typer.Option(
            metavar=_FUNCTION,
            help="Your function that takes the weights' path and returns the torch module "
            "(default: a probe network)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="Path or URI of the weights for your function. Without --load-model: a probe's "
            "weights, from `batch probe --out` (default: a probe is trained on the version)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@VERSION",
            help="Name of the model, for the ledger (default: the one registered on the snapshot)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar=f"COLUMN|{_FUNCTION}",
            help="What your model reads: a column, or your function from an Arrow record batch to "
            "its input (default: the embedding)",
            rich_help_panel=_MODEL,
        ),
    ] = None
    image: ImageShape = None
    dynamics: Annotated[
        Path | None,
        typer.Option(
            help="How your model learned each record: the file that record_dynamics of "
            "lazaretto.training wrote; read where there are no trusted rows",
            rich_help_panel=_MODEL,
        ),
    ] = None
    device: Annotated[str, typer.Option(help="torch device, or auto", rich_help_panel=_MODEL)] = (
        "auto"
    )


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Whether to train again without what was held, and how."""

    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Train again without the held records; compare loss, accuracy and agreement",
            rich_help_panel=_COMPARE,
        ),
    ] = False
    retrain: Annotated[
        str | None,
        typer.Option(
            metavar=_FUNCTION,
            help="Your function that takes the new snapshot, trains, and returns the weights' path "
            "(not needed for a probe)",
            rich_help_panel=_COMPARE,
        ),
    ] = None
    retrained: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@VERSION",
            help="Register the new model under this name and version",
            rich_help_panel=_COMPARE,
        ),
    ] = None
    held_out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Compare on these rows (default: the trusted ones)",
            rich_help_panel=_COMPARE,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Network:
    """A model, its class names where they are known, and how to train it again."""

    module: "nn.Module"
    classes: list[str] | None
    train: "Callable[[Snapshot], tuple[nn.Module, str | None]] | None"


def check(model: ModelOptions, compare: CompareOptions) -> None:
    """Refuses options that do not go together.

    Raises:
        UsageError: the message says which.
    """
    own = model.load_model is not None
    if own and model.weights is None:
        raise UsageError("--load-model needs the --weights that it loads")
    if (compare.retrain or compare.retrained or compare.held_out) and not compare.compare:
        raise UsageError("--retrain, --retrained and --held-out go with --compare")
    if compare.compare and own != (compare.retrain is not None):
        raise UsageError(
            "--compare trains again: your own model by --retrain MODULE:FUNCTION"
            if own
            else "--retrain is for a model of your own, with --load-model; a probe needs none"
        )
    if compare.compare and not own and (model.weights or compare.retrained):
        raise UsageError(
            "a probe is compared only with one that was trained the same way, and is no model to "
            "register: leave out --weights and --retrained"
        )


def network(
    options: ModelOptions,
    compare: CompareOptions,
    rows: "Callable[[], pa.Table]",
    policy: "Policy",
    progress: Callable[[str, int, int], None],
) -> Network:
    """The model that the options mean; a probe is trained on `rows`.

    Raises:
        UsageError: a function cannot be imported, or the weights are no probe's.
    """
    if options.load_model is not None:
        load = resolve_function(options.load_model, "--load-model")
        again = resolve_function(compare.retrain, "--retrain") if compare.retrain else None

        def train(snapshot: "Snapshot") -> "tuple[nn.Module, str | None]":
            assert again is not None  # noqa: S101  `check` saw to it
            weights = str(again(snapshot))
            return load(weights), weights

        return Network(load(options.weights), None, train if again else None)
    if options.weights is not None:
        from lazaretto.activations.probe_file import load_probe

        loaded = load_probe(options.weights)
        return Network(loaded.model, loaded.classes, None)
    first = _probe(rows(), options, policy, progress, "training a probe")

    def train_probe_again(snapshot: "Snapshot") -> "tuple[nn.Module, str | None]":
        second = _probe(snapshot.table(), options, policy, progress, "training again")
        if second.classes != first.classes:
            raise UsageError("a class lost all its records: the two probes cannot be compared")
        return second.model, None

    return Network(first.model, first.classes, train_probe_again)


def read_inputs(path: str | None) -> Any:
    """What ``--inputs`` means; None where it is not given."""
    if path is None or ":" not in path:
        return path
    return resolve_function(path, "--inputs")


def sanitized(done: "SanitizeResult") -> dict[str, object]:
    """What people see of the result."""
    from lazaretto.cli.text import counted

    shown: dict[str, object] = {
        "examined": f"{done.dataset}@{done.version}, {counted(done.rows, 'record')}",
        "by": done.model,
        "held": counted(done.held, "record"),
        "calibrated": done.calibrated,
        "which means": done.calibration,
        "cases": ", ".join(done.cases) or "none",
        "first version without them": done.recalled_version,
        "models that saw them": ", ".join(done.models) or "none",
        "scores": done.scores and done.scores.path,
    }
    found = done.comparison
    if found is not None:
        shown |= {
            "trained again on": f"{done.dataset}@{found.version}",
            "new model": found.model or "not registered",
            "held records it contradicts": f"{found.contradicted} of {found.held}",
            "compared on": found.compared_on,
            "comparison": found.file and found.file.path,
        }
    return shown


def classes_view(found: "Retraining") -> Grid:
    """The comparison's table: one row per class, and the whole."""
    n = sum(change.n for change in found.classes)
    rows: list[list[object]] = []
    for label, size, figures in [
        *((c.label, c.n, c) for c in found.classes),
        ("all", n, None),
    ]:
        get = found.overall.__getitem__ if figures is None else figures.__getattribute__
        rows.append(
            [
                label,
                size,
                f"{get('loss_before'):.3f} -> {get('loss_after'):.3f}",
                f"{get('accuracy_before'):.1%} -> {get('accuracy_after'):.1%}",
                f"{get('agreement'):.1%}",
            ]
        )
    columns = ["class", "records", "loss", "accuracy", "agreement"]
    return grid(columns, rows, title="before -> after, on rows that neither model learned from")


def _probe(
    rows: "pa.Table",
    options: ModelOptions,
    policy: "Policy",
    progress: Callable[[str, int, int], None],
    step: str,
) -> "Probe":
    from lazaretto.cli.probing import train_probe

    return train_probe(
        rows,
        policy,
        image=options.image,
        epochs=30,
        seed=0,
        device=options.device,
        progress=lambda epoch: progress(step, epoch, 30),
    )


def resolve_function(path: str, option: str) -> Callable[..., Any]:
    """Imports ``module:function``, looking in the current folder too: a script of yours.

    Raises:
        UsageError: it cannot be imported, or is no function.
    """
    from lazaretto.stages.user_code import resolve

    with _here():
        return resolve(path, option)


@contextmanager
def _here() -> "Iterator[None]":
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.pop(0)
