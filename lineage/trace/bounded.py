"""A trace while somebody waits for a page: only where ledger and index are small enough for it.

A trace reads the whole ledger to check the index that it answers from. How long that takes is known
beforehand by their sizes, so a page says at once that the command line must be asked instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import head
from lazaretto.lineage.trace.asking import command_of
from lazaretto.lineage.trace.trace import trace_source
from lazaretto.sources.registry import get_source
from lazaretto.storage.tables import lineage_edge, lineage_link, lineage_node
from lazaretto.times import in_utc
from lazaretto.values import Question

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.storage.workspace import Workspace

MOST_ENTRIES = 50_000
MOST_NODES = 50_000
MOST_EDGES = 200_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be read for an answer.

    Attributes:
        entries: of the ledger.
        nodes: of the lineage index.
        edges: of the lineage index.
    """

    entries: int
    nodes: int
    edges: int


@dataclass(frozen=True, slots=True)
class BoundedTrace:
    """The answer, or that it takes too long here.

    Attributes:
        trace: None: it was not made.
        why: it was not made, in words; None: it was.
        command: the command that answers the same question.
    """

    trace: Trace | None
    why: str | None
    command: str


def trace_source_within(
    workspace: Workspace,
    name: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    bounds: Bounds | None = None,
) -> BoundedTrace:
    """Traces a source as `trace_source` does, unless too much is to be read for it.

    Args:
        workspace: where.
        name: of a registered source.
        since: aware start (included) of the window; None: from the beginning.
        until: aware end (excluded); None: until now.
        bounds: how much may be read; default: what takes some ten seconds.

    Raises:
        NotFoundError: no such source is registered.
        UsageError: a moment without a time zone, or an empty window.

    Examples:
        >>> found = trace_source_within(workspace, "vendor")
        >>> found.command, [model.name for model in found.trace.models]
        ('lazaretto trace source vendor', ['net'])
        >>> trace_source_within(workspace, "vendor", bounds=Bounds(1, 1, 1)).trace is None
        True
    """
    name = get_source(workspace, name).name
    why = too_much(workspace, bounds)
    command = trace_command(name, since, until)
    if why is not None:
        return BoundedTrace(None, why, command)
    return BoundedTrace(trace_source(workspace, name, since, until), None, command)


def too_much(workspace: Workspace, bounds: Bounds | None = None) -> str | None:
    """Why a question would take too long while somebody waits; None: it would not.

    Args:
        workspace: where.
        bounds: how much may be read; default: what takes some ten seconds.

    Examples:
        >>> too_much(workspace) is None
        True
    """
    usual = Bounds(MOST_ENTRIES, MOST_NODES, MOST_EDGES)
    with workspace.catalog.read() as connection:
        return _too_much(connection, bounds or usual)


def trace_command(name: str, since: datetime | None = None, until: datetime | None = None) -> str:
    """The command that traces a source, for a shell.

    Args:
        name: of the source.
        since: aware start of the window.
        until: aware end of it.

    Examples:
        >>> from datetime import UTC, datetime
        >>> trace_command("vendor", datetime(2026, 3, 2, tzinfo=UTC))
        'lazaretto trace source vendor --since 2026-03-02T00:00:00+00:00'
    """
    since, until = (moment and in_utc(moment) for moment in (since, until))
    return command_of(Question("source", name, since, until))


def _too_much(connection: Connection, bounds: Bounds) -> str | None:
    """What there is too much of; None where all of it can be read."""
    entries = head(connection)
    if entries > bounds.entries:
        return (
            f"the ledger has {entries:,} entries, and at most {bounds.entries:,} are read while "
            "somebody waits"
        )
    for table, what, most in (
        (lineage_node, "versions", bounds.nodes),
        (lineage_edge, "edges", bounds.edges),
        (lineage_link, "links", bounds.edges),
    ):
        some = sa.select(sa.literal(1)).select_from(table).limit(most + 1).subquery()
        if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) > most:
            return (
                f"the lineage index has more than {most:,} {what}, and no more are read while "
                "somebody waits"
            )
    return None
