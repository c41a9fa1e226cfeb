"""``lazaretto model bom``: what a model version was made of, as CycloneDX, for those who use it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lazaretto.cli.arguments import Registry, split_version, write_new_file
from lazaretto.cli.command import command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import SystemFaultError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "bom")(bom)


def bom(
    session: Session,
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A model version")],
    *,
    out: Annotated[Path, typer.Option(help="File to write; an existing one is kept")],
    registry: Registry = None,
) -> Reply:
    """Write a model version's bill of materials: CycloneDX 1.6, as JSON.

    It names snapshots, batches, sources and base models with their digests and signatures, the
    entry of the ledger that it is as of, and whether it is complete. With the extra `bom` it is
    checked by CycloneDX's schema before it is written.

    Exit code 4 when it is not complete.
    """
    from lazaretto.lineage import bom_bytes, check_bom, model_bom

    name, number = split_version(version)
    made = model_bom(session.workspace, name, number, registry=registry)
    text = bom_bytes(made)
    checked = find_spec("cyclonedx") is not None
    if checked and (problem := check_bom(text)) is not None:
        raise SystemFaultError(f"the bill of materials is not valid CycloneDX: {problem}")
    write_new_file(out, text)
    [complete] = [
        one["value"]
        for one in made["metadata"]["properties"]
        if one["name"] == "lazaretto:complete"
    ]
    data = {
        "model": version,
        "file": str(out),
        "serial": made["serialNumber"],
        "components": len(made["components"]),
        "complete": complete == "yes",
        "checked": checked,
    }
    shown = data | {
        "components": counted(len(made["components"]), "component"),
        "complete": "yes" if complete == "yes" else "NO: see `lazaretto trace model`",
        "checked": "valid CycloneDX 1.6" if checked else "no: pip install 'lazaretto[bom]'",
    }
    return Reply(data, facts(shown), cannot_say=complete != "yes")
