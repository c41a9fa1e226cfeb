"""``lazaretto model``: which model version learned from what, and which of them is in use."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from lazaretto.cli import model_bom, model_evaluate, model_mlflow, model_promote
from lazaretto.cli.arguments import Limit, split_version
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid, paged
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Model versions and what they learned from.")

Named = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model version")]
Registry = Annotated[
    str | None,
    typer.Option(help="Namespace of its registry, where more than one has a model of that name"),
]


@command(app, "register", needs=Needs.WORKSPACE)
def register(
    session: Session,
    version: Named,
    *,
    snapshot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET@VERSION",
            help="A snapshot that it learned from; may be given several times",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"NAMESPACE NAME[@VERSION]"',
            help="A table of somebody else's, by its OpenLineage names; several times",
        ),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"[REGISTRY ]MODEL@VERSION"',
            help="A model whose weights it began with; several times",
        ),
    ] = None,
    predictions_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"[REGISTRY ]MODEL@VERSION"',
            help="A model whose predictions it learned from; several times",
        ),
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET@VERSION:COLUMN,...",
            help="Which columns of a snapshot the training read; several times. It says whether it "
            "read the weights of reviewers",
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="How snapshots, tables and predictions were used: TRAIN, FINETUNE, PRETRAIN, "
            "CALIBRATION, VALIDATION, TEST or EVAL (default: by the purpose)"
        ),
    ] = None,
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
    """Put a model version on record, so that an incident can be traced to it.

    Registered again, it learned from what is named then, too: inputs in another role are told by a
    second command.
    """
    from lazaretto.stages.model_inputs import as_read
    from lazaretto.stages.registering import register_model

    model, number = split_version(version)
    registered = register_model(
        model,
        number,
        snapshots=snapshot or (),
        tables=table or (),
        base=base or (),
        predictions_of=predictions_of or (),
        reads=[as_read(one) for one in read or ()],
        role=role,
        registry=registry,
        purpose=purpose,
        artifact=artifact,
        external_run_id=run_id,
        params=dict(_pair(text) for text in param or []),
        seed=seed,
        workspace=session.workspace,
    )
    inputs: list[dict[str, Any]] = to_json(registered.inputs)
    shown = {
        "model": f"{registered.model}@{registered.version}",
        **({} if registered.registry == "local" else {"registry": registered.registry}),
        "learned from": ", ".join(map(_in_words, inputs)),
        "records": sum(one.rows or 0 for one in registered.inputs if one.role.weighs),
        "recalled since": ", ".join(registered.recalls) or "nothing of it",
        **_ignored(registered.ignored_weights),
    }
    return Reply(registered, facts(shown), found=bool(registered.recalls))


@command(app, "alias", needs=Needs.WORKSPACE)
def alias(
    session: Session,
    version: Named,
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as candidate")],
    *,
    registry: Registry = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away from it")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the ledger")] = "",
) -> Reply:
    """Say which version of a model a name such as `candidate` stands for, from now on.

    Names that a policy guards, by default `production`, are moved by `lazaretto model promote`.
    """
    from lazaretto.stages.alias_model import alias_model

    model, number = split_version(version)
    changed = alias_model(
        session.workspace, model, number, name, registry=registry, remove=remove, reason=reason
    )
    stands_for = None if remove else version
    data = {"model": model, "alias": name, "version": stands_for and number, "changed": changed}
    shown = {"alias": name, "stands for": stands_for or "no version"}
    shown["changed"] = "yes" if changed else "no, it was so already"
    return Reply(data, facts(shown))


@command(app, "show")
def show(session: Session, version: Named, *, registry: Registry = None) -> Reply:
    """Show one model version: what it learned from, its aliases, evaluations and weights.

    Exit code 1 when something that it learned from was recalled.
    """
    from lazaretto.stages.models import show_model

    model, number = split_version(version)
    found = show_model(session.workspace, model, number, registry=registry)
    shown = {
        "model": version,
        "registry": found["registry"],
        "registered": found["at"],
        "purpose": found["purpose"],
        "aliases": ", ".join(map(model_evaluate.standing, found["aliases"])) or "none",
        "evaluations": model_evaluate.evaluated(found["evaluations"]),
        "recalls": ", ".join(found["recalls"]) or "none",
        **_ignored(found["ignored_weights"]),
        "weights": found["artifact_uri"] or "not named",
        "sha256": found["artifact_digest"] or "not known",
    }
    view = Group(facts(shown), inputs_view(found["inputs"]))
    return Reply(found, view, found=bool(found["recalls"]))


def _ignored(snapshots: "Sequence[str]") -> dict[str, str]:
    """Said only where it is so: not every training says what it read."""
    return {"weights of reviewers": f"not read, of {', '.join(snapshots)}"} if snapshots else {}


@command(app, "list")
def list_(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only versions of this model")] = None,
    *,
    limit: Limit = 100,
    after: Annotated[
        str | None,
        typer.Option(
            metavar='"[REGISTRY ]MODEL@VERSION"',
            help="Read on behind this version",
        ),
    ] = None,
) -> Reply:
    """List model versions, newest first, with the recalls of what they learned."""
    from lazaretto.stages.models import list_models

    behind = None if after is None else _behind(after)
    page = list_models(session.workspace, name, limit=limit, after=behind)
    last = page.rows[-1] if page.more else None
    named = "" if last is None else f"{last['registry']} {last['model']}@{last['version']}"
    onward = None if last is None else f"--after {shlex.quote(named)}"
    return Reply(page.rows, paged(list_view(page.rows), onward))


def list_view(models: "Sequence[dict[str, Any]]") -> Grid:
    """The table of some model versions."""
    rows = [
        (
            f"{m['model']}@{m['version']}",
            m["registry"],
            ", ".join(m["aliases"]),
            _learned(m),
            m["at"],
            ", ".join(m["recalls"]),
        )
        for m in models
    ]
    columns = ["model", "registry", "aliases", "learned from", "registered", "recalls"]
    return grid(columns, rows, text=["aliases", "learned from", "recalls"])


def inputs_view(inputs: "Sequence[dict[str, Any]]") -> Grid:
    """The table of what a model version learned from."""
    rows = [
        (
            one["kind"],
            _named(one),
            one["role"],
            "not known" if one["rows"] is None else one["rows"],
        )
        for one in inputs
    ]
    return grid(["kind", "learned from", "role", "records"], rows, title="Learned from")


def _named(one: "dict[str, Any]") -> str:
    """Something that a model learned from, as it is written to register it."""
    version = "" if one["version"] is None else f"@{one['version']}"
    return f"{one['namespace']} {one['name']}".strip() + version


def _in_words(one: "dict[str, Any]") -> str:
    """The same with its role, where that is another than to be learned from."""
    return _named(one) if one["role"] == "TRAIN" else f"{_named(one)} ({one['role']})"


def _learned(model: "dict[str, Any]") -> str:
    """Its first snapshot, and how many inputs it has besides."""
    if model["dataset"] is None:
        return f"{model['inputs']} inputs" if model["inputs"] else "nothing known"
    first = f"{model['dataset']}@{model['snapshot']}"
    return first if model["inputs"] == 1 else f"{first} and {model['inputs'] - 1} more"


def _behind(text: str) -> "tuple[str, ...]":
    registry, space, named = text.strip().rpartition(" ")
    model, version = split_version(named if space else text)
    return (registry, model, version) if space else (model, version)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--param {text!r} is not KEY=VALUE")
    return key, value


model_evaluate.register(app)
model_promote.register(app)
model_mlflow.register(app)
model_bom.register(app)
