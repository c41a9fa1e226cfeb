"""``lazaretto lineage schema``: the JSON schemas of our facets, which no web server has."""

import json
from typing import Annotated

import typer

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Document, facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import NotFoundError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "schema", needs=Needs.NOTHING)(schema)


def schema(
    _session: Session,
    facet: Annotated[
        str | None, typer.Argument(help="Key of a facet, such as lazaretto_source; default: list")
    ] = None,
) -> Reply:
    """Print the JSON schema of a facet of ours (always JSON), or list what there is.

    Events name these schemas by a URN: it says which schema, and not where it is. Here they are.
    """
    from lazaretto.lineage import facet_schemas

    found = facet_schemas()
    if facet is None:
        named = {key: one["$id"] for key, one in found.items()}
        return Reply(named, facts(named))
    if facet not in found:
        raise NotFoundError(f"no facet {facet!r} of ours; there are: {', '.join(found)}")
    document = found[facet]
    return Reply(document, Document(json.dumps(document, indent=2), json=True))
