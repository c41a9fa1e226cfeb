"""The graph of claims by names: each link with what it rests on, and each gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import GAPS, WORDS, Basis, Why
from lazaretto.storage.tables import (
    lineage_gap,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A link of the graph, or a gap.

    Attributes:
        src: version or run that it leads from; of a gap, what is not explained.
        dst: version or run that it leads to; empty: it is a gap.
        basis: ``known``, ``inferred``, ``possible`` or ``measured``; of a gap its kind.
        why: the rule, in words.
    """

    src: str
    dst: str
    basis: str
    why: str


def dump(connection: Connection, *, limit: int | None = None) -> list[Line]:
    """The graph by names, in order: the same for the same claims and ledger, whatever their order.

    Args:
        connection: of the catalog.
        limit: how many links, and how many gaps, at most; None: all.
    """
    names = _names(connection)
    return sorted({*_links(connection, names, limit), *_gaps(connection, names, limit)})


def _links(connection: Connection, names: dict[int, str], limit: int | None) -> Iterator[Line]:
    link = lineage_link.c
    query = sa.select(link.src, link.dst, link.basis, link.why).limit(limit)
    for src, dst, basis, why in connection.execute(query):
        if names[src] != names[dst]:  # else one version under two names
            yield Line(names[src], names[dst], Basis(basis).name.lower(), WORDS[Why(why)])


def _gaps(connection: Connection, names: dict[int, str], limit: int | None) -> Iterator[Line]:
    query = sa.select(lineage_gap.c.node, lineage_gap.c.kind).limit(limit)
    for node, kind in connection.execute(query):
        yield Line(names[node], "", kind, GAPS[kind])


def _names(connection: Connection) -> dict[int, str]:
    """What each end is called; a version of what has several names by the first of them."""
    version, name, run = lineage_version.c, lineage_name.c, lineage_run.c
    spelled = {
        row.id: (row.same_as, f"{row.namespace} {row.name}")
        for row in connection.execute(sa.select(name.id, name.same_as, name.namespace, name.name))
    }
    first: dict[int, str] = {}
    for same_as, text in spelled.values():
        first[same_as] = min(first.get(same_as, text), text)
    query = sa.select(version.id, version.name, version.version)
    found = {
        2 * id_: f"{first[spelled[of][0]]}@{text}" for id_, of, text in connection.execute(query)
    }
    return found | {
        2 * id_ + 1: f"run {uuid}" for id_, uuid in connection.execute(sa.select(run.id, run.run))
    }
