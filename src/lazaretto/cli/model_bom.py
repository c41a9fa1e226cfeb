"""``lazaretto model bom`` and ``card``: what a model version was made of, for those who use it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lazaretto.cli.arguments import Registry, split_version, write_new_file
from lazaretto.cli.command import command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import counted
from lazaretto.errors import SystemFaultError, UsageError

Named = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A model version")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "bom")(bom)
    command(app, "card")(card)


def bom(
    session: Session,
    version: Named,
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
    made, text, checked = _checked(session, version, registry)
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
        "checked": _in_words(checked=checked),
    }
    return Reply(data, facts(shown), cannot_say=complete != "yes")


def card(
    session: Session,
    version: Named,
    *,
    out: Annotated[
        Path, typer.Option(help="File to write, NAME.md or NAME.html; an existing one is kept")
    ],
    registry: Registry = None,
) -> Reply:
    """Write a model version's card, for people: Markdown, or one HTML page.

    It is made of the bill of materials that `lazaretto model bom` writes, and of nothing else: what
    the model was measured at, what it learned from, who delivered that, and what is known against
    it. With the extra `bom` that bill is checked by CycloneDX's schema first.

    Exit code 4 when it is not known what else the model was made of.
    """
    from lazaretto.lineage import card_html, card_markdown, model_card

    kinds = {".md": card_markdown, ".html": card_html}
    if out.suffix not in kinds:
        raise UsageError(f"{str(out)!r} ends with neither .md nor .html")
    made, _, checked = _checked(session, version, registry)
    found = model_card(made)
    write_new_file(out, kinds[out.suffix](found).encode())
    data = {
        "model": version,
        "file": str(out),
        "bom": found.bom,
        "complete": found.complete,
        "checked": checked,
    }
    shown = data | {
        "complete": "yes" if found.complete else "NO: see `lazaretto trace model`",
        "checked": _in_words(checked=checked),
    }
    return Reply(data, facts(shown), cannot_say=not found.complete)


def _checked(
    session: Session, version: str, registry: str | None
) -> tuple[dict[str, Any], bytes, bool]:
    """The bill, its bytes, and whether it was checked."""
    from lazaretto.lineage import bom_bytes, check_bom, model_bom

    name, number = split_version(version)
    made = model_bom(session.workspace, name, number, registry=registry)
    text = bom_bytes(made)
    checked = find_spec("cyclonedx") is not None
    if checked and (problem := check_bom(text)) is not None:
        raise SystemFaultError(f"the bill of materials is not valid CycloneDX: {problem}")
    return made, text, checked


def _in_words(*, checked: bool) -> str:
    return "valid CycloneDX 1.6" if checked else "no: pip install 'lazaretto[bom]'"
