"""What nobody told the origin of, as answers need it: without what a person vouches for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ExternalDeclared
from lazaretto.lineage.claims.bits import LEDGER_RUNS, Basis, Gap, Kind, State
from lazaretto.lineage.claims.names import Names
from lazaretto.lineage.claims.timeline import TOLERANCE
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import (
    lineage_gap,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.engine import Connection


class Hole(NamedTuple):
    """A gap.

    Attributes:
        node: end of links whose origin is not known.
        kind: one of `lazaretto.lineage.claims.bits.Gap`.
        owner: name that it follows from; 0: from the node alone.
        until: what arrived later cannot be in it; None: anything can.
    """

    node: int
    kind: str
    owner: int
    until: int | None


def holes(
    connection: Connection,
    store_root: str,
    *,
    since: int | None = None,
    nodes: Collection[int] | None = None,
    kinds: Collection[str] | None = None,
) -> list[Hole]:
    """Gaps that nobody vouches for.

    Args:
        connection: of the catalog.
        store_root: root of the store.
        since: only those that may hold what arrived at that moment, in microseconds.
        nodes: only those of these ends; None: of all.
        kinds: only those of these kinds; None: of all.
    """
    gap = lineage_gap.c
    query = sa.select(gap.node, gap.kind, gap.owner, gap.until)
    if since is not None:
        query = query.where(gap.until.is_(None) | (gap.until >= since - TOLERANCE))
    if nodes is not None:
        query = query.where(among(connection, gap.node, list(nodes)))
    if kinds is not None:
        query = query.where(gap.kind.in_(kinds))
    found = [Hole(*row) for row in connection.execute(query)]
    if not found:
        return []
    vouched = _vouched(connection, store_root)
    return [hole for hole in found if not _is_vouched(connection, hole, vouched)]


class _Vouched(NamedTuple):
    names: set[int]
    versions: set[int]


def _vouched(connection: Connection, store_root: str) -> _Vouched:
    """Names and versions that somebody says come from outside."""
    spell = Names(store_root)
    newest: dict[tuple[str, str, str | None], ExternalDeclared] = {}
    for entry in entries(connection, kinds=[ExternalDeclared.kind], checked=True):
        if isinstance(event := entry.event, ExternalDeclared):
            newest[event.namespace, event.name, event.version] = event
    names: set[int] = set()
    versions: set[int] = set()
    for event in newest.values():
        if event.withdrawn:
            continue
        ids = _same(connection, *spell.spell(event.namespace, event.name))
        if event.version is None:
            names.update(ids)
        else:
            version = lineage_version.c
            query = sa.select(version.id).where(
                version.name.in_(ids), version.version == event.version
            )
            versions.update(connection.scalars(query))
    return _Vouched(names, versions)


def _same(connection: Connection, namespace: str, name: str) -> Iterable[int]:
    column = lineage_name.c
    root = sa.select(column.same_as).where(column.namespace == namespace, column.name == name)
    query = sa.select(column.id).where(column.same_as == root.scalar_subquery())
    return list(connection.scalars(query))


def _is_vouched(connection: Connection, hole: Hole, vouched: _Vouched) -> bool:
    if not (vouched.names or vouched.versions):
        return False
    if hole.kind == Gap.TABLE:
        return hole.owner in vouched.names
    if hole.kind == Gap.NO_INPUTS:
        link = lineage_link.c
        query = sa.select(link.dst).where(link.src == hole.node, link.basis <= int(Basis.POSSIBLE))
        made = list(connection.scalars(query))
        return bool(made) and all(_version_vouched(connection, end, vouched) for end in made)
    return not hole.node % 2 and _version_vouched(connection, hole.node, vouched)


def _version_vouched(connection: Connection, end: int, vouched: _Vouched) -> bool:
    if end % 2:
        return False
    if end // 2 in vouched.versions:
        return True
    query = sa.select(lineage_version.c.name).where(lineage_version.c.id == end // 2)
    return connection.scalar(query) in vouched.names


def last_end(connection: Connection, runs: Collection[int]) -> int:
    """When the last of some runs ended, in microseconds; 0 where there is none."""
    run = lineage_run.c
    query = sa.select(sa.func.max(run.ended_at)).where(among(connection, run.id, list(runs)))
    return connection.scalar(query) or 0


def last_registered(connection: Connection, ends: Collection[int]) -> int:
    """When the last of those models was registered that no run is known to have made.

    Args:
        connection: of the catalog.
        ends: of versions, and of anything else.

    Returns:
        Microseconds since 1970; 0 where there is no such model.
    """
    link, run = lineage_link.c, lineage_run.c
    name, version = lineage_name.c, lineage_version.c
    query = (
        sa.select(name.same_as, version.version, run.run, run.ended_at)
        .select_from(lineage_link)
        .join(lineage_version, version.id == link.dst // 2)
        .join(lineage_name, name.id == version.name)
        .join(lineage_run, run.id == link.src // 2)
        .where(
            among(connection, link.dst, [end for end in ends if end > 0 and not end % 2]),
            link.src % 2 == 1,
            version.kinds.bitwise_and(int(Kind.MODEL)) != 0,
            (run.purpose != "EVAL") | (run.states.bitwise_and(int(State.LEDGER)) != 0),
        )
    )
    last: dict[tuple[int, str], int] = {}
    made: set[tuple[int, str]] = set()
    for row in connection.execute(query):
        key = row.same_as, row.version
        if row.run.startswith(LEDGER_RUNS):
            last[key] = max(last.get(key, 0), row.ended_at)
        else:
            made.add(key)
    return max((at for key, at in last.items() if key not in made), default=0)


def begun_before(
    connection: Connection, runs: Collection[int], moment: int, *, training: bool = False
) -> set[int]:
    """Those of some runs that began before a moment.

    Args:
        connection: of the catalog.
        runs: ids.
        moment: microseconds since 1970.
        training: only those that say that they train a model.
    """
    run = lineage_run.c
    query = sa.select(run.id).where(among(connection, run.id, list(runs)), run.started_at < moment)
    if training:
        query = query.where(run.states.bitwise_and(int(State.TRAINS)) != 0)
    return set(connection.scalars(query))
