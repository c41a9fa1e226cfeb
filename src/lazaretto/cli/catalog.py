"""``lazaretto catalog``: migrations, backups, and the health of catalog, store and ledger."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.arguments import Yes, confirm
from lazaretto.cli.command import command
from lazaretto.cli.layout import facts
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell, counted

if TYPE_CHECKING:
    from lazaretto.health import Finding, Health

app = typer.Typer(
    no_args_is_help=True, help="The database of sources, batches, cases and decisions."
)


@command(app, "upgrade")
def upgrade(session: Session) -> Reply:
    """Create the catalog, or bring its schema to this version of Lazaretto."""
    catalog = session.upgraded().catalog
    data = {"catalog": catalog.display_url, "schema": catalog.version()}
    return Reply(data, facts(data))


@command(app, "check")
def check(
    session: Session,
    *,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Read every byte of every file that the ledger names, and compare every held "
            "record; otherwise files are compared by size, and records are counted",
        ),
    ] = False,
) -> Reply:
    """Hold catalog, store and datasets against the ledger. Nothing is changed by it.

    Exit code 1 when anything is not as the ledger says.
    """
    from lazaretto.health import check as look

    with bars() as tell:
        found = look(session.workspace, deep=deep, progress=tell)
    return Reply(found, _view(found), found=not found.sound)


@command(app, "backup")
def backup(
    session: Session,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The backup; none may be there")],
) -> Reply:
    """Copy the catalog into a file, while others work on it, and read the copy back.

    Of SQLite the file is a database (its online backup), of PostgreSQL an archive of `pg_dump`. It
    tells where the ledger in it ends. Exit code 1 when the chain of that ledger does not hold.
    """
    from lazaretto.health import backup as make

    with session.working("Copying the catalog"):
        made = make(session.workspace.catalog, target)
    shown = {
        "catalog": made.catalog,
        "backup": made.file,
        "bytes": made.size,
        "workspace": made.head.workspace,
        "ledger": f"{counted(made.head.entries, 'entry')}, the last {made.head.hash[:16]}",
        "read back": made.problem or "its chain holds",
    }
    return Reply(made, facts(shown), found=made.problem is not None)


@command(app, "restore")
def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup")],
    *,
    yes: Yes = False,
) -> Reply:
    """Make the catalog what a backup says, at once or not at all. What came later is lost.

    A backup of another workspace than the store's is refused. Run `lazaretto catalog reconcile`
    afterwards: the store may be of another moment.
    """
    from lazaretto.health import restore as load

    confirm(f"Replace the catalog by {file}?", yes=yes)
    with session.working("Restoring the catalog"):
        done = load(file, catalog_url=session.catalog_url, store=session.store_root)
    shown = {
        "catalog": done.catalog,
        "backup": done.file,
        "ledger": f"{counted(done.head.entries, 'entry')}, the last {done.head.hash[:16]}",
        "before": "no catalog" if done.before is None else counted(done.before.entries, "entry"),
        "next": "lazaretto catalog reconcile",
    }
    return Reply(done, facts(shown))


@command(app, "reconcile")
def reconcile(
    session: Session,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without, it is only told what would be done")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Put on record that admitted records whose data files are gone are lost, so that "
            "the same batches may be admitted again; only where no backup has the files",
        ),
    ] = False,
) -> Reply:
    """After a restore: make the datasets' tables what the ledger says.

    What a table has and the ledger has not leaves its log and is kept under set-aside/ in the
    store; nothing is admitted by it. What the ledger has and the table has not is committed again.
    Tells what has to be delivered again. Exit code 1 when something is left to be done.
    """
    from lazaretto.cli.reconcile_view import reconciled
    from lazaretto.health import reconcile as make

    with session.working("Comparing tables and store with the ledger"):
        done = make(session.workspace, apply=apply, accept_loss=accept_loss)
    return Reply(done, reconciled(done), found=not done.settled)


@command(app, "prune")
def prune(
    session: Session,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete it; without, it is only told what would be")
    ] = False,
) -> Reply:
    """Delete records that the policies in force keep no longer (policy section `retention`).

    Never what an open case, an admission that is still to come, or a dataset without a snapshot
    needs. Findings, decisions, admitted rows and the ledger are kept; each deletion goes on the
    ledger. Exit code 1 when something would be deleted and --apply is missing.
    """
    from lazaretto.cli.prune_view import pruned
    from lazaretto.health import prune as make

    with session.working("Reading the ledger"):
        done = make(session.workspace, apply=apply)
    return Reply(done, pruned(done), found=not done.settled)


@command(app, "rebuild")
def rebuild(
    session: Session,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, it is only told what would change")
    ] = False,
) -> Reply:
    """Make the rows of the catalog and the lineage index what the ledger says.

    Refused where the ledger does not hold. What was changed goes on the ledger, with who did it.
    Exit code 1 when something would change and --yes is missing.
    """
    from lazaretto.health import rebuild as make

    with session.working("Making the catalog's rows anew from the ledger"):
        done = make(session.workspace, write=yes)
    told = {
        table: ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
        for table, counts in sorted(done.rows.items())
    }
    if done.moved:
        told["versions under another address"] = str(done.moved)
    if done.unreadable:
        cases = ", ".join(done.unreadable)
        told["left as they are"] = f"records of {cases}: restore their files first"
    if done.deleted:
        cases = ", ".join(done.deleted)
        told["deleted by retention"] = f"held records of {cases}: left as they are"
    outcome = "nothing: all rows say what the ledger says"
    if done.needed:
        outcome = "made what the ledger says" if done.done else "add --yes to do it"
    shown = facts({"catalog": session.workspace.catalog.display_url, **told, "done": outcome})
    lines = [cell(str(difference)) for difference in done.differences]
    return Reply(done, Group(shown, *lines), found=done.needed and not done.done)


def _view(found: "Health") -> RenderableType:
    behind = ", ".join(f"{name} by {count}" for name, count in found.behind.items() if count)
    leftovers = found.leftovers.count
    shown = facts(
        {
            "catalog": f"{found.catalog} (schema {found.schema})",
            "store": found.store,
            "ledger": f"{counted(found.entries, 'entry')}",
            "compared": f"{counted(found.rows, 'row')}, {counted(found.files, 'file')} "
            f"({'every byte' if found.deep else 'by name and size'})",
            **({"deleted by retention": counted(found.deleted, "file")} if found.deleted else {}),
            "behind the ledger": behind or "nothing",
            "left over": f"{counted(leftovers, 'file')} of refused or cut-off work, harmless"
            if leftovers
            else "nothing",
            "result": "all of it is what the ledger says"
            if found.sound
            else f"{counted(len(found.findings), 'finding')}",
        }
    )
    return Group(shown, *(line for finding in found.findings for line in _lines(finding)))


def _lines(finding: "Finding") -> list[RenderableType]:
    more = finding.count - len(finding.first)
    lines = [f"  {name}" for name in finding.first]
    lines += [f"  and {more} more"] if finding.first and more > 0 else []
    what = (
        finding.what
        if finding.count == 1 or not finding.first
        else f"{finding.what} ({finding.count})"
    )
    return [
        cell(""),
        cell(what, "bold"),
        *map(cell, lines),
        cell(f"To mend it: {finding.mend}."),
    ]
