"""``lazaretto ledger``: does the chain of events still hold?"""

from pathlib import Path
from typing import Annotated

import typer

from lazaretto.cli.arguments import read_file
from lazaretto.cli.command import command
from lazaretto.cli.reply import Reply, facts
from lazaretto.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="The append-only, hash-chained record of every event.")


@command(app, "verify")
def verify(
    session: Session,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="Public key (PEM) whose checkpoints count; may be given several times"),
    ] = None,
) -> Reply:
    """Recompute every hash: an edited, dropped or reordered entry is found and named."""
    from lazaretto.ledger import chain as ledger

    keys = [read_file(path, "public key", limit=2**16) for path in key or []]
    with session.working("Recomputing the ledger's hashes"):
        report = ledger.verify(session.workspace, keys=keys)
    unchecked = "" if keys else " (signatures not checked: no --key)"
    shown: dict[str, object] = {
        "entries": report.entries,
        "checkpoints": f"{report.checkpoints}{unchecked}",
        "the chain holds": "yes" if report.ok else "NO",
    }
    if not report.ok:
        shown |= {"first bad entry": report.first_bad_seq, "problem": report.problem}
    return Reply(report, facts(shown), found=not report.ok)


@command(app, "checkpoint")
def checkpoint(
    session: Session,
    key: Annotated[
        Path, typer.Option(help="Private key (PEM, Ed25519), kept away from the catalog")
    ],
) -> Reply:
    """Sign the ledger's head and write it to the store; keep a copy elsewhere."""
    from lazaretto.ledger.checkpoint import checkpoint as sign

    data = {"checkpoint": sign(session.workspace, read_file(key, "private key", limit=2**16))}
    return Reply(data, facts(data))
