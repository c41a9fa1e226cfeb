"""Computes the part of the graph that follows from rules, dataset by dataset, where it is stale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.admitted import Follows, conclude_admitted
from lazaretto.lineage.claims.beside import with_gaps
from lazaretto.lineage.claims.bits import Basis, Gap, Kind, Why, version_end
from lazaretto.lineage.claims.names import Name, source_in_store
from lazaretto.lineage.claims.network import note_change
from lazaretto.lineage.claims.renamed import earlier_versions, leave_open
from lazaretto.lineage.claims.same import members
from lazaretto.lineage.claims.seen import seen_early
from lazaretto.lineage.claims.states import Nameless, states_of
from lazaretto.lineage.claims.streams import all_links
from lazaretto.lineage.claims.table import Dataset, read_dataset
from lazaretto.lineage.claims.timeline import (
    Concluded,
    History,
    TableState,
    conclude,
    surely_after,
    surely_before,
)
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import (
    lineage_access,
    lineage_gap,
    lineage_link,
    lineage_name,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.admitted import Link
    from lazaretto.storage.workspace import Workspace

_NODES = rows.Merge(
    "lineage_version",
    ("name", "version", "kinds", "first_at", "last_at", "written"),
    ("name", "version"),
    "kinds = excluded.kinds, first_at = excluded.first_at, last_at = excluded.last_at",
    ("id", "version"),
)
_UNSURE = (Basis.POSSIBLE, Why.NOT_FINISHED)
_PER_TRANSACTION = 200


def derive(workspace: Workspace) -> int:
    """Computes what is stale anew; how many datasets that were.

    Each transaction takes a few, so that others can write meanwhile.
    """
    done = 0
    while True:
        with workspace.catalog.read() as connection:
            if not _stale(connection, 1):
                return done
        with workspace.catalog.transaction() as connection:
            done += derive_some(connection, workspace.store.root, _PER_TRANSACTION)


def derive_some(connection: Connection, store_root: str, limit: int) -> int:
    """Computes at most some stale datasets anew; how many.

    Args:
        connection: of an open `Catalog.transaction`.
        store_root: root of the store.
        limit: how many.
    """
    names = _stale(connection, limit)
    seen: set[int] = set()
    for name in names:
        if name not in seen:
            ids = members(connection, name)
            seen.update(ids)
            _derive(connection, store_root, name)
            connection.execute(
                lineage_name.update().where(lineage_name.c.id.in_(ids)).values(stale=False)
            )
    if seen:
        note_change(connection)
    return len(seen)


def _stale(connection: Connection, limit: int) -> Sequence[int]:
    query = sa.select(lineage_name.c.id).where(lineage_name.c.stale).order_by(lineage_name.c.id)
    return list(connection.scalars(query.limit(limit)))


def _derive(connection: Connection, store_root: str, name: int) -> None:
    if _is_plain(connection, name):
        return
    dataset = read_dataset(connection, name)
    ids = list(dataset.names)
    connection.execute(lineage_link.delete().where(lineage_link.c.owner.in_(ids)))
    connection.execute(lineage_gap.delete().where(lineage_gap.c.owner.in_(ids)))
    if dataset.admitted is not None:
        found = conclude_admitted(connection, store_root, dataset)
    else:
        found = _conclude_table(connection, dataset)
    _fill(connection, found.filled)
    links = [*all_links(dataset.moments.values()), *found.links]
    _write(connection, dataset.owner, links, found.gaps)
    _forget_nodes(connection, ids, found.used)


def _conclude_table(connection: Connection, dataset: Dataset) -> Follows:
    """What the rules lead to for what the ledger does not tell of."""
    earlier = earlier_versions(connection, dataset)
    filled = _written_elsewhere(dataset) | earlier.filled
    leave_open(connection, dataset, filled)
    states, nameless = states_of(dataset, earlier.known)
    nodes = _nameless_nodes(connection, nameless)
    states = [
        replace(state, node=version_end(nodes[state.key])) if state.node == 0 else state
        for state in states
    ]
    concluded = _conclude(dataset, seen_early(connection, states))
    history = _history_nodes(connection, dataset.owner, concluded)
    missing = [
        (version_end(nodes[each.key]), Gap.MISSING, each.at)
        for each in nameless
        if each.holds is None
    ]
    links = [
        *_same_versions(dataset),
        *earlier.links,
        *_contents(nameless, nodes),
        *_concluded_links(dataset, concluded, history),
    ]
    used = {*nodes.values(), *history.values()}
    return Follows(links, missing + concluded.gaps, filled, used)


def _write(
    connection: Connection,
    owner: int,
    links: Iterable[Link],
    gaps: Iterable[tuple[int, str, int]],
) -> None:
    """Writes what follows: of several links between two ends, that of the lowest basis."""
    best: dict[tuple[int, int], tuple[int, int]] = {}
    cut: set[int] = set()
    for src, dst, basis, why in links:
        known, found = best.get((src, dst), (9, 99)), (int(basis), int(why))
        best[src, dst] = min(known, found)
        if Why.ONE_OF in (known[1], found[1]) and known[1] not in (99, found[1]):
            cut.add(dst)
    for (src, dst), (rest, rule) in best.items():
        if dst in cut and rule == Why.ONE_OF:  # what is left would not be all of them
            best[src, dst] = rest, int(Why.ORDER_UNKNOWN)
    rows.run(
        connection, rows.LINKS, [(src, dst, owner, *rest) for (src, dst), rest in best.items()]
    )
    unique = {(node, kind): until for node, kind, until in gaps}
    rows.run(connection, rows.GAPS, [(*key, owner, until) for key, until in unique.items()])


def _is_plain(connection: Connection, name: int) -> bool:
    """Whether nothing follows: the batches of a source here, which nobody read without naming one.

    There may be very many, and each new one makes them stale.
    """
    access, column = lineage_access.c, lineage_name.c
    row = connection.execute(sa.select(lineage_name).where(column.id == name)).one()
    if source_in_store(Name(row.namespace, row.name)) is None or row.same_as != name:
        return False
    others = sa.select(column.id).where(column.same_as == name, column.id != name).limit(1)
    read = sa.select(access.run).where(access.name == name, sa.not_(access.writes)).limit(1)
    return connection.scalar(others) is None and connection.scalar(read) is None


def _contents(nameless: Sequence[Nameless], nodes: Mapping[str, int]) -> Iterator[Link]:
    """What the versions hold that nobody named."""
    for each in nameless:
        if each.holds is not None:
            known = (Basis.KNOWN, Why.NAMED) if each.happened else _UNSURE
            yield each.holds, version_end(nodes[each.key]), *known


def _concluded_links(
    dataset: Dataset, concluded: Concluded, history: Mapping[int, int]
) -> Iterator[Link]:
    """What the rules lead to; where those who wrote differ in what it is, nothing is sure."""
    unsure = dataset.pure == Kind(0)
    for link in concluded.links:
        basis = Basis.POSSIBLE if unsure and link.basis is Basis.INFERRED else link.basis
        yield _end(link.src, history), _end(link.dst, history), basis, link.why


def _fill(connection: Connection, filled: Collection[int]) -> None:
    """Versions of which it turns out that they were written, under another name."""
    if not filled:
        return
    connection.execute(
        lineage_gap.delete().where(
            among(connection, lineage_gap.c.node, sorted(filled)),
            lineage_gap.c.kind == Gap.VERSION,
        )
    )


def _conclude(dataset: Dataset, states: list[TableState]) -> Concluded:
    readers = with_gaps(dataset)
    if dataset.pure is not Kind.BATCH:
        return conclude(states, readers)
    # Batches lie beside each other: who reads them without a name reads all that are there.
    concluded = Concluded(states)
    for reader in readers:
        for state in states:
            if not surely_after(state, reader):
                sure = state.happened and surely_before(state, reader)
                basis = Basis.INFERRED if sure else Basis.POSSIBLE
                basis = Basis.MEASURED if reader.measures else basis
                concluded.link(state.node, reader.node, basis, Why.WHOLE_TABLE)
        if not states and reader.gap:
            concluded.gaps.append((reader.node, Gap.TABLE, reader.end))
    return concluded


def _end(node: int | History, history: Mapping[int, int]) -> int:
    return version_end(history[node.at]) if isinstance(node, History) else node


def _same_versions(dataset: Dataset) -> Iterable[Link]:
    """A version under two names is one version."""
    by_text: dict[str, list[int]] = {}
    for version in dataset.versions:
        by_text.setdefault(version.version, []).append(version_end(version.id))
    for ends in by_text.values():
        for other in ends[1:]:
            yield ends[0], other, Basis.KNOWN, Why.SAME_NAME
            yield other, ends[0], Basis.KNOWN, Why.SAME_NAME


def _written_elsewhere(dataset: Dataset) -> set[int]:
    """Versions that nobody wrote under this name, but under another of the same dataset."""
    written = {version.version for version in dataset.versions if version.written}
    return {version_end(v.id) for v in dataset.versions if not v.written and v.version in written}


def _nameless_nodes(connection: Connection, nameless: Sequence[Nameless]) -> dict[str, int]:
    """Ids of the versions that nobody named."""
    values = {
        each.key: (each.name, each.key, int(each.kind | Kind.MADE), each.at, each.at, True)
        for each in sorted(nameless, key=lambda each: each.name)
    }
    return {text: id_ for id_, text in rows.merge(connection, _NODES, list(values.values()))}


def _history_nodes(connection: Connection, owner: int, concluded: Concluded) -> dict[int, int]:
    """Ids of the histories that links lead through, by place."""
    places = {
        end.at
        for link in concluded.links
        for end in (link.src, link.dst)
        if isinstance(end, History)
    }
    texts = {f"history:{concluded.order[at].key}"[:255]: at for at in places}
    hidden = int(Kind.HIDDEN | Kind.MADE)
    values = [(owner, text, hidden, 0, 0, True) for text in texts]
    return {texts[text]: id_ for id_, text in rows.merge(connection, _NODES, values)}


def _forget_nodes(connection: Connection, names: Sequence[int], used: set[int]) -> None:
    """Deletes the versions that rules had made and no rule leads to any more."""
    version = lineage_version.c
    query = sa.select(version.id).where(
        version.name.in_(names), version.kinds.bitwise_and(int(Kind.MADE)) != 0
    )
    gone = [id_ for id_ in connection.scalars(query) if id_ not in used]
    if not gone:
        return
    connection.execute(lineage_version.delete().where(among(connection, version.id, gone)))
