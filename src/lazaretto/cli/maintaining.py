"""``lazaretto dataset maintain``: small files put together, a checkpoint, old files deleted."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.command import command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell, counted

if TYPE_CHECKING:
    from lazaretto.health import Maintained

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "maintain")(maintain)


def maintain(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset")],
    *,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Delete what is due; without, it is only told what would be"),
    ] = False,
) -> Reply:
    """Put small data files together, write a checkpoint of the log, delete files nothing needs.

    Versions get the same records in fewer files; snapshots stay what they are. Deleted are data
    files that the newest version has no longer, that no snapshot has, and that the policy's
    `retention.replaced_days` keeps no longer; never while an incident is open or the dataset is on
    hold. Others may admit and recall meanwhile. Exit code 1 when something would be deleted and
    --apply is missing.
    """
    from lazaretto.health import maintain as make

    with bars() as progress:
        done = make(session.workspace, name, apply=apply, progress=progress)
    return Reply(done, maintained(done), found=not done.settled)


def maintained(done: "Maintained") -> RenderableType:
    """What was put together, what is due, and what is kept."""
    size = sum(one.bytes for one in done.due)
    head: dict[str, object] = {
        "dataset": f"{done.dataset}@{done.version}",
        "put together": f"{done.before} files to {done.after}"
        if done.before
        else "nothing: no small files",
        "checkpoint": "none: the store's server gives no part of a file as S3 does"
        if done.checkpoint is None
        else f"version {done.checkpoint}",
        "due": f"{counted(len(done.due), 'file')}, {size:,} bytes{_outcome(done)}",
        "kept": f"{counted(done.waiting, 'file')} {_days(done.days)}; "
        f"{counted(done.needed, 'file')} for snapshots and traces",
    }
    if done.again:
        head["again"] = f"{counted(len(done.again), 'file')} deleted before, and there"
    if done.kept is not None:
        head["nothing is deleted"] = done.kept
    parts: list[RenderableType] = [facts(head)]
    if done.due:
        title = "Deleted" if done.deleted else "Due"
        rows = [(one.path, f"{one.since:%Y-%m-%d}", one.bytes) for one in done.due[:_SHOWN]]
        parts.append(grid(["file", "since", "bytes"], rows, title=title))
        if len(done.due) > _SHOWN:
            parts.append(cell(f"and {len(done.due) - _SHOWN} more (--json)"))
    return Group(*parts)


def _days(days: int | None) -> str:
    return "for ever: no retention.replaced_days" if days is None else f"for {days} days"


def _outcome(done: "Maintained") -> str:
    if done.deleted:
        return ": deleted" if done.due or done.again else ""
    return "" if done.settled else ": add --apply to delete them"
