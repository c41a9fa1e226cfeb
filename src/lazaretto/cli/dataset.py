"""``lazaretto dataset``: versions of the admitted dataset, and records that must leave it again."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from lazaretto.cli.arguments import ImageShape, Reason, Since, Until, Yes, confirm
from lazaretto.cli.command import Needs, command
from lazaretto.cli.reply import Reply, facts, grid
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="The table that training reads, version by version.")

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset")]
Version = Annotated[int | None, typer.Option(min=0, help="Version (default: the newest)")]


@command(app, "log")
def log(session: Session, name: Name) -> Reply:
    """What happened to a dataset, oldest first: admissions, recalls and snapshots."""
    from lazaretto.cli.catalog_rows import dataset_log

    found = dataset_log(session.workspace, name)
    keys = ("version", "at", "what", "rows", "about")
    columns = ["version", "when", "what", "records", "about"]
    return Reply(found, grid(columns, [[event[key] for key in keys] for event in found]))


@command(app, "snapshot")
def snapshot(session: Session, name: Name, *, version: Version = None) -> Reply:
    """Freeze a version for a training, and record which batches it really contains."""
    from lazaretto import stages

    with session.working("Counting the records of each batch"):
        taken = stages.snapshot(session.workspace, name, version=version)
    shown = {
        "snapshot": f"{taken.dataset}@{taken.version}",
        "records": taken.rows,
        "batches": len(taken.members),
        "table": taken.uri,
        "digest": taken.digest,
    }
    return Reply(taken, facts(shown))


@command(app, "export")
def export(
    session: Session,
    name: Name,
    *,
    out: Annotated[Path, typer.Option(help="Parquet file to write; an existing one is kept")],
    version: Version = None,
) -> Reply:
    """Write a version as one Parquet file, for a training elsewhere. Takes a snapshot."""
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    from lazaretto import stages

    if out.exists():
        raise UsageError(f"{str(out)!r} exists already and is kept; name another file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {str(out)!r} does not exist")
    taken = stages.snapshot(session.workspace, name, version=version)
    rows = DeltaTable(taken.uri, version=taken.version).to_pyarrow_dataset()
    partial = out.with_name(out.name + ".part")
    with session.working(f"Writing {counted(taken.rows, 'record')}"):
        with pq.ParquetWriter(partial, rows.schema, compression="zstd") as writer:
            for chunk in rows.to_batches():
                writer.write_batch(chunk)
        partial.replace(out)
    data = {"snapshot": f"{taken.dataset}@{taken.version}", "rows": taken.rows, "file": str(out)}
    return Reply(data, facts(data))


@command(app, "recall", needs=Needs.WORKSPACE | Needs.ACTOR)
def recall(
    session: Session,
    name: Name,
    *,
    reason: Reason,
    record: Annotated[
        list[str] | None,
        typer.Option(metavar="BATCH#RECORD", help="This record; may be given several times"),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Every record of this batch")] = None,
    source: Annotated[
        str | None, typer.Option(help="Every record that this source collected in the window")
    ] = None,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
) -> Reply:
    """Remove records from the next version; model versions that saw them are marked.

    Exit code 1 when a model version had seen one of them.
    """
    from lazaretto.quarantine.recall import recall as recall_records

    what = _described(record, batch, source, since, until)
    if not record:
        confirm(f"Recall {what} from {name}?", yes=yes)
    with session.working("Recalling"):
        done = recall_records(
            session.workspace,
            name,
            ids=record or None,
            batch=batch,
            source=source,
            since=since,
            until=until,
            actor=session.actor,
            reason=reason,
        )
    shown = {
        "recall": done.id,
        "removed": f"{counted(done.records, 'record')} of {counted(len(done.members), 'batch')}",
        "first version without them": f"{done.dataset}@{done.version}",
        "models that saw them": ", ".join(done.models) or "none",
    }
    return Reply(done, facts(shown), found=bool(done.models))


@command(app, "sanitize", needs=Needs.WORKSPACE | Needs.POLICY)
def sanitize(
    session: Session,
    name: Name,
    *,
    load_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Your function that takes the weights' path and returns the torch module "
            "(default: a probe network, trained on the version)",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Path or URI of the weights, handed to your function")
    ] = None,
    version: Version = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@VERSION", help="The model (default: the one registered on the snapshot)"
        ),
    ] = None,
    image: ImageShape = None,
    device: Annotated[str, typer.Option(help="torch device, or auto")] = "auto",
) -> Reply:
    """Look for poison in the activations of a model that learned from a version; recall it.

    A poison that the model has not learned does not show in it: your own model sees more than a
    probe does.

    Exit code 1 when records are held.
    """
    from lazaretto import stages
    from lazaretto.cli.probing import train_probe

    policy = session.policy
    if (load_model is None) != (weights is None):
        raise UsageError("your model is --load-model MODULE:FUNCTION and --weights FILE, together")
    if load_model is not None and weights is not None:
        network = _resolve(load_model)(weights)
    else:
        model = model or "probe"
        with session.working("Training a probe"):
            rows = stages.snapshot(session.workspace, name, version=version).table()
            network = train_probe(rows, policy, image=image, epochs=30, seed=0, device=device).model
    with session.working("Capturing and judging activations"):
        done = stages.sanitize_training(
            session.workspace, name, network, policy, version=version, name=model, device=device
        )
    shown = {
        "examined": f"{done.dataset}@{done.version}, {counted(done.rows, 'record')}",
        "by": done.model,
        "held": counted(done.held, "record"),
        "calibrated": "yes" if done.calibrated else "NO: there are no trusted rows",
        "cases": ", ".join(done.cases) or "none",
        "first version without them": done.recalled_version,
        "models that saw them": ", ".join(done.models) or "none",
        "findings": done.findings_uri,
    }
    return Reply(done, facts(shown), found=done.held > 0)


def _described(
    record: list[str] | None,
    batch: str | None,
    source: str | None,
    since: datetime | None,
    until: datetime | None,
) -> str:
    if sum([bool(record), batch is not None, source is not None]) != 1:
        raise UsageError("which records? Give --record (several times), --batch, or --source")
    if batch is not None:
        return f"every record of batch {batch}"
    window = f" from {since or 'the beginning'} until {until or 'now'}"
    return f"every record of source {source}{window}"


def _resolve(path: str) -> Callable[[str], Any]:
    """Imports ``module:function``, looking in the current folder too: a script of yours."""
    from pkgutil import resolve_name

    sys.path.insert(0, str(Path.cwd()))
    try:
        found = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--load-model {path!r} cannot be imported: {error}") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise UsageError(f"--load-model {path!r} is not a function")
    return cast("Callable[[str], Any]", found)
