"""``lazaretto dataset``: versions of the admitted dataset, and records that must leave it again."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.announcing import AnnounceTo, airflow_at, announce
from lazaretto.cli.arguments import Limit, Reason, Since, Until, Yes, confirm, read_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid, paged
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply, print_note
from lazaretto.cli.sanitizing import CompareOptions, ModelOptions
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell, counted
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

app = typer.Typer(no_args_is_help=True, help="The table that training reads, version by version.")

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset")]
Version = Annotated[int | None, typer.Option(min=0, help="Version (default: the newest)")]


@command(app, "log")
def log(
    session: Session,
    name: Name,
    *,
    limit: Limit = 100,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="ENTRY", help="Read on behind this ledger entry, from 0 for the start"
        ),
    ] = None,
) -> Reply:
    """What happened to a dataset, oldest first: admissions, recalls, losses and snapshots.

    Without `--after` it shows the newest.
    """
    from lazaretto.stages.listing import dataset_log

    page = dataset_log(session.workspace, name, limit=limit, after=after)
    table = log_view(page.rows)
    if not page.more:
        return Reply(page.rows, table)
    if after is None:
        return Reply(page.rows, Group(cell("older ones: raise --limit, or add --after 0"), table))
    return Reply(page.rows, paged(table, f"--after {page.rows[-1]['seq']}"))


def log_view(events: "Sequence[dict[str, Any]]") -> Grid:
    """The table of what happened to a dataset."""
    keys = ("version", "at", "what", "rows", "by", "about")
    columns = ["version", "when", "what", "records", "by", "about"]
    return grid(columns, [[event[key] for key in keys] for event in events], text=["about"])


@command(app, "snapshot")
def snapshot(
    session: Session,
    name: Name,
    *,
    version: Version = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Leave out these batches: one id in each line, or JSON with a list `batches`",
        ),
    ] = None,
) -> Reply:
    """Freeze a version for a training, and record which batches it really contains.

    With `--exclude` the answer names a view of the version without these batches, by an id of its
    own. `lazaretto.stages.open_snapshot` reads it.
    """
    from lazaretto import stages
    from lazaretto.stages.exclusions import read_exclusions

    left_out = [] if exclude is None else read_exclusions(read_file(exclude, "exclusion list"))
    with session.working("Counting the records of each batch"):
        taken = stages.snapshot(session.workspace, name, version=version, exclude=left_out)
    shown = {
        "snapshot": f"{taken.dataset}@{taken.id}",
        "records": taken.rows,
        "batches": len(taken.members),
        **({} if exclude is None else {"left out": counted(len(taken.excluded), "batch")}),
        **({"table": taken.uri} if taken.view is None else {}),
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
    """Write a version as one Parquet file, for a training elsewhere. Takes a snapshot.

    Every byte is checked against what was admitted; where one was changed, nothing is written.
    That the file was made is put on record, so that traces know what it holds.
    """
    from lazaretto import stages

    with session.working("Writing the records"):
        made = stages.export(session.workspace, name, out, version=version)
    shown = {"snapshot": f"{made.dataset}@{made.version}", "rows": made.rows, "file": str(out)}
    return Reply(shown | {"digest": made.digest}, facts(shown))


@command(app, "recall", needs=Needs.WORKSPACE)
def recall(
    session: Session,
    name: Name,
    *,
    reason: Reason,
    record: Annotated[
        list[str] | None,
        typer.Option(metavar="BATCH#RECORD", help="Only this record; may be given several times"),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Every record of this batch")] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Every record of this source that arrived in the window, or is from it"),
    ] = None,
    incident: Annotated[
        str | None, typer.Option(help="What is in question of this incident, by its last answer")
    ] = None,
    since: Since = None,
    until: Until = None,
    announce_to: AnnounceTo = None,
    yes: Yes = False,
) -> Reply:
    """Remove records from the next version; model versions that saw them are marked.

    Exit code 1 when a model version had seen one of them.
    """
    from lazaretto.dataset.recall import recall as recall_records
    from lazaretto.incidents.recalling import take_back

    airflow = airflow_at(announce_to)
    what = _described(record, batch, source, incident, since, until)
    if not record:
        confirm(f"Recall {what} from {name}?", yes=yes)
    with session.working("Recalling"):
        if incident is not None:
            done = take_back(session.workspace, incident, name, reason=reason)
        else:
            done = recall_records(
                session.workspace,
                name,
                ids=record or None,
                batch=batch,
                source=source,
                since=since,
                until=until,
                reason=reason,
            )
        note = announce(session.workspace, name, done.seqs[-1], airflow) if airflow else ""
    if note:
        print_note(note)
    shown = {
        "recall": done.id,
        "removed": f"{counted(done.records, 'record')} of {counted(len(done.members), 'batch')}",
        "first version without them": f"{done.dataset}@{done.version}",
        "models that saw them": ", ".join(done.models) or "none",
    }
    if airflow:
        shown["announced"] = "no" if note else "yes"
    data = asdict(done) | ({"announced": not note, "note": note} if airflow else {})
    return Reply(data, facts(shown), found=bool(done.models))


@command(app, "sanitize", needs=Needs.WORKSPACE | Needs.POLICY)
def sanitize(
    session: Session,
    name: Name,
    network: ModelOptions,
    again: CompareOptions,
    *,
    version: Version = None,
    trusted: Annotated[
        str | None,
        typer.Option(
            metavar="reference|none|FILE",
            help="Rows to judge against. none: compare the classes with each other; then no rate "
            "is promised (default: the policy's)",
        ),
    ] = None,
) -> Reply:
    """Search a dataset version for poison by a model's activations; hold it and recall it.

    A trigger that the model has not learned shows only by its wrong label. So your own model sees
    more than a probe does.

    Exit code 1 when records are held.
    """
    from lazaretto import stages
    from lazaretto.cli import sanitizing
    from lazaretto.stages.retrain import check_register
    from lazaretto.stages.trusted import read_trusted

    policy, workspace = session.policy, session.workspace
    sanitizing.check(network, again)
    check_register(again.retrained)
    inputs = sanitizing.read_inputs(network.inputs)
    known = read_trusted(trusted, policy)
    held_out = known if again.held_out is None else read_trusted(again.held_out, policy)
    if again.compare and (policy.sanitize.trusted if held_out is None else held_out) == "none":
        raise UsageError("--compare needs rows that neither model learned from: add --held-out")

    def rows() -> "pa.Table":
        return stages.snapshot(workspace, name, version=version, read=False).table()

    with bars() as progress:
        used = sanitizing.network(network, again, rows, policy, progress)
        probe = network.load_model is None
        done = stages.sanitize_training(
            workspace,
            name,
            used.module,
            policy,
            trusted=known,
            version=version,
            name=network.model or ("probe" if probe else None),
            inputs=inputs,
            dynamics=network.dynamics,
            device=network.device,
            progress=progress,
        )
        if again.compare and used.train is not None:
            done = stages.retrain_and_compare(
                workspace,
                done,
                used.module,
                policy,
                train=used.train,
                held_out=held_out,
                register=again.retrained,
                inputs=inputs,
                classes=used.classes,
                device=network.device,
            )
    view: RenderableType = facts(sanitizing.sanitized(done))
    if done.comparison is not None:
        view = Group(view, sanitizing.classes_view(done.comparison))
    return Reply(done, view, found=done.held > 0)


def _described(
    record: list[str] | None,
    batch: str | None,
    source: str | None,
    incident: str | None,
    since: datetime | None,
    until: datetime | None,
) -> str:
    ways = (batch, source, incident)
    if bool(record) + sum(way is not None for way in ways) != 1:
        raise UsageError(
            "which records? Give --record (several times), --batch, --source, or --incident"
        )
    if incident is not None:
        if since or until:
            raise UsageError("an incident has a window of its own: leave out --since and --until")
        return f"what is in question of {incident}"
    if batch is not None:
        return f"every record of batch {batch}"
    window = f" from {since or 'the beginning'} until {until or 'now'}"
    return f"every record of source {source}{window}"
