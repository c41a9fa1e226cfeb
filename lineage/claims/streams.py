"""The moments of streams: by each event, what their inputs held at the one before has gone on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.bits import Basis, Kind, State, Why, run_end, version_end
from lazaretto.lineage.claims.names import RUNS
from lazaretto.lineage.claims.timeline import Reader, TableState
from lazaretto.storage.tables import lineage_claim
from lazaretto.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.engine import Connection

_NAMES = rows.Merge(
    "lineage_name",
    ("namespace", "name", "types", "same_as", "stale"),
    ("namespace", "name"),
    "types = {t}.types",
    ("id", "name"),
)
_VERSIONS = rows.Merge(
    "lineage_version",
    ("name", "version", "kinds", "first_at", "last_at", "written"),
    ("name", "version"),
    "written = excluded.written",
    ("id", "name", "version"),
)


@dataclass(frozen=True, slots=True)
class Moments:
    """The events of a stream.

    Attributes:
        run: its id in `lineage_run`.
        times: of its events, in order, in microseconds.
        nodes: the node of what it had passed on by each event but the first.
    """

    run: int
    times: tuple[int, ...]
    nodes: tuple[int, ...]

    def readers(self, end: int, clock: str) -> Iterator[Reader]:
        """The stream as readers of what its inputs held at each event.

        Args:
            end: of links that the run is.
            clock: whose clock its events are by.
        """
        for before, after, node in zip(self.times, self.times[1:], self.nodes, strict=False):
            yield Reader(version_end(node), before, after, clock, gap=False, passes=True, run=end)

    def states(self, end: int, clock: str, uuid: str) -> Iterator[tuple[TableState, int]]:
        """The states of its outputs, each with the id of the node that it holds.

        Args:
            end: of links that the run is.
            clock: whose clock its events are by.
            uuid: OpenLineage id of the run.
        """
        pairs = zip(self.times, self.times[1:], self.nodes, strict=False)
        for number, (before, after, node) in enumerate(pairs, start=1):
            key = f"run:{uuid}#{number:06d}"
            yield (
                TableState(key, 0, end, None, before, after, clock, passed=True),
                node,
            )

    def links(self) -> Iterator[tuple[int, int, Basis, Why]]:
        """What it had passed on is passed on."""
        before = run_end(self.run)
        for node in self.nodes:
            if before != run_end(self.run):
                yield before, version_end(node), Basis.INFERRED, Why.STREAM
            before = version_end(node)


def moments_of(connection: Connection, accesses: Sequence[Any]) -> dict[int, Moments]:
    """The moments of those runs that are streams, by the id of the run.

    Args:
        connection: of an open `Catalog.transaction`.
        accesses: rows with ``run``, ``uuid`` and ``states``.
    """
    uuids = {row.uuid: row.run for row in accesses if State(row.states) & State.STREAMING}
    if not uuids:
        return {}
    times: dict[str, set[int]] = {}
    claim = lineage_claim.c
    query = sa.select(claim.run, claim.body).where(claim.run.in_(list(uuids)))
    for run, body in connection.execute(query):
        at = parse_time(json.loads(body)["eventTime"])
        times.setdefault(run, set()).add(int(at.timestamp()) * 1_000_000 + at.microsecond)
    nodes = _nodes(connection, {uuid: len(found) - 1 for uuid, found in times.items()})
    return {
        uuids[uuid]: Moments(uuids[uuid], tuple(sorted(found)), tuple(nodes.get(uuid, ())))
        for uuid, found in times.items()
        if len(found) > 1
    }


def _nodes(connection: Connection, counts: dict[str, int]) -> dict[str, list[int]]:
    """Ids of the nodes of what streams had passed on, in order."""
    many = {uuid: count for uuid, count in counts.items() if count > 0}
    values = [(RUNS, uuid, 0, 0, False) for uuid in many]
    ids = {name: id_ for id_, name in rows.merge(connection, _NAMES, values)}
    rows.settle(connection, list(ids.values()))
    hidden = int(Kind.HIDDEN | Kind.MADE)
    wanted = [
        (ids[uuid], f"{number:06d}", hidden, 0, 0, True)
        for uuid, count in many.items()
        for number in range(1, count + 1)
    ]
    uuids = {id_: uuid for uuid, id_ in ids.items()}
    found: dict[str, list[tuple[str, int]]] = {}
    for id_, name, version in rows.merge(connection, _VERSIONS, wanted):
        found.setdefault(uuids[name], []).append((version, id_))
    return {uuid: [id_ for _, id_ in sorted(each)] for uuid, each in found.items()}


def all_links(moments: Iterable[Moments]) -> Iterator[tuple[int, int, Basis, Why]]:
    """The links within streams."""
    for each in moments:
        yield from each.links()
