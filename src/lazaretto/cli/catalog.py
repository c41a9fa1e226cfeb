"""``lazaretto catalog``: migrations, and the health of catalog, store and ledger."""

import typer
from rich.console import Group

from lazaretto.cli.command import command
from lazaretto.cli.reply import Reply, facts
from lazaretto.cli.session import Session
from lazaretto.cli.text import cell

app = typer.Typer(
    no_args_is_help=True, help="The database of sources, batches, cases and decisions."
)

_SHOWN = 20


@command(app, "upgrade")
def upgrade(session: Session) -> Reply:
    """Create the catalog, or bring its schema to this version of Lazaretto."""
    catalog = session.upgraded().catalog
    data = {"catalog": catalog.display_url, "schema": catalog.version()}
    return Reply(data, facts(data))


@command(app, "check")
def check(session: Session) -> Reply:
    """Check schema, ledger and files. Exit code 1 when something is broken or lost."""
    from lazaretto import health

    with session.working("Checking the ledger and the files"):
        found = health.check(session.workspace)
    behind = ", ".join(f"{name} by {count}" for name, count in found.behind.items() if count)
    shown = facts(
        {
            "catalog": f"{found.catalog} (schema {found.schema})",
            "store": found.store,
            "ledger": f"{found.entries} entries, {'holds' if found.ledger else 'BROKEN'}",
            "problem": found.problem,
            "behind the ledger": behind or "nothing",
            "missing files": len(found.missing),
            "orphans": f"{len(found.orphans)} (harmless leftovers of a crash)",
        }
    )
    lines = [*(f"missing: {path}" for path in found.missing[:_SHOWN])]
    lines += [f"orphan: {path}" for path in found.orphans[:_SHOWN]]
    return Reply(found, Group(shown, *map(cell, lines)), found=not found.ok)
