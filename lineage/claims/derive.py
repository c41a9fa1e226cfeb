"""Computes the part of the graph that follows from rules, dataset by dataset, where it is stale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.admitted import conclude_admitted
from lazaretto.lineage.claims.bits import Basis, Gap, Kind, Why, run_end, version_end
from lazaretto.lineage.claims.same import members
from lazaretto.lineage.claims.table import Dataset, Unnamed, read_dataset, states_of
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
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

_LINKS = rows.Merge(
    "lineage_link", ("src", "dst", "owner", "basis", "why", "role"), ("src", "dst", "owner"),
    "basis = {smaller}({t}.basis, excluded.basis)",
)  # fmt: skip
_GAPS = rows.Merge("lineage_gap", ("node", "kind", "owner", "until"), ("node", "kind", "owner"))
_NODES = rows.Merge(
    "lineage_version",
    ("name", "version", "kinds", "first_at", "written"),
    ("name", "version"),
    "kinds = excluded.kinds, first_at = excluded.first_at",
    ("id", "version"),
)
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
            _mark_successors(connection, ids)
    return len(seen)


def _stale(connection: Connection, limit: int) -> Sequence[int]:
    query = sa.select(lineage_name.c.id).where(lineage_name.c.stale).order_by(lineage_name.c.id)
    return list(connection.scalars(query.limit(limit)))


def _mark_successors(connection: Connection, names: Sequence[int]) -> None:
    """Names that a dataset was renamed to hold what it held."""
    access = lineage_access.c
    later = sa.select(access.name).where(access.renamed_from.in_(names), ~access.name.in_(names))
    # Once only: a circle of renames would go on for ever.
    connection.execute(
        lineage_name.update()
        .where(lineage_name.c.id.in_(later), lineage_name.c.id > min(names))
        .values(stale=True)
    )


def _derive(connection: Connection, store_root: str, name: int) -> None:
    dataset = read_dataset(connection, name)
    owner, ids = dataset.owner, list(dataset.names)
    connection.execute(lineage_link.delete().where(lineage_link.c.owner.in_(ids)))
    connection.execute(lineage_gap.delete().where(lineage_gap.c.owner.in_(ids)))
    links = list(_same_versions(dataset))
    gaps: list[tuple[int, str, int]] = []
    used: set[int] = set()
    if dataset.admitted is not None:
        found, gaps, used = conclude_admitted(connection, store_root, dataset)
        links += found
    elif not dataset.received:
        earlier = _renamed(connection, dataset)
        links += [
            (version_end(src), version_end(dst), Basis.INFERRED, Why.RENAMED)
            for src, dst in earlier.values()
        ]
        states, unnamed = states_of(connection, dataset, earlier)
        nodes = _unnamed_nodes(connection, unnamed)
        used.update(nodes.values())
        links += [
            (run_end(each.run), version_end(nodes[f"run:{each.uuid}"]), basis, why)
            for each in unnamed
            for basis, why in [_written(each)]
        ]
        states = [
            state if state.node != 0 else _with_node(state, version_end(nodes[state.key]))
            for state in states
        ]
        concluded = _conclude(dataset, states)
        history = _history_nodes(connection, owner, concluded)
        used.update(history.values())
        demoted = dataset.pure == Kind(0)
        links += [
            (
                _end(link.src, history),
                _end(link.dst, history),
                Basis.POSSIBLE if demoted and link.basis is Basis.INFERRED else link.basis,
                link.why,
            )
            for link in concluded.links
        ]
        gaps = concluded.gaps
        filled = {version_end(dst) for _, dst in earlier.values()}
        filled.update(_written_elsewhere(dataset))
        connection.execute(
            lineage_gap.delete().where(
                among(connection, lineage_gap.c.node, sorted(filled)),
                lineage_gap.c.kind == Gap.VERSION,
            )
        )
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for src, dst, basis, why in links:
        best[src, dst] = min(best.get((src, dst), (9, 9)), (int(basis), int(why)))
    rows.run(
        connection, _LINKS, [(src, dst, owner, *rest, "") for (src, dst), rest in best.items()]
    )
    unique = {(node, kind): until for node, kind, until in gaps}
    rows.run(connection, _GAPS, [(*key, owner, until) for key, until in unique.items()])
    _forget_nodes(connection, ids, used)


def _conclude(dataset: Dataset, states: list[TableState]) -> Concluded:
    if dataset.pure is not Kind.BATCH:
        return conclude(states, dataset.readers)
    # Batches lie beside each other: who reads them without a name reads all that are there.
    concluded = Concluded(states)
    for reader in dataset.readers:
        for state in states:
            if not surely_after(state, reader):
                sure = state.happened and surely_before(state, reader)
                basis = Basis.INFERRED if sure else Basis.POSSIBLE
                concluded.link(state.node, reader.node, basis, Why.WHOLE_TABLE)
        if not states and reader.gap:
            concluded.gaps.append((reader.node, Gap.TABLE, reader.end))
    return concluded


def _with_node(state: TableState, node: int) -> TableState:
    from dataclasses import replace

    return replace(state, node=node)


def _written(each: Unnamed) -> tuple[Basis, Why]:
    if each.happened:
        return Basis.KNOWN, Why.NAMED
    return Basis.POSSIBLE, Why.NOT_FINISHED


def _end(node: int | History, history: dict[int, int]) -> int:
    return version_end(history[node.at]) if isinstance(node, History) else node


def _same_versions(dataset: Dataset) -> Iterable[tuple[int, int, Basis, Why]]:
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


def _renamed(connection: Connection, dataset: Dataset) -> dict[str, tuple[int, int]]:
    """Versions that were written before a rename: by text, the one there and the one here."""
    unwritten = {v.version: v.id for v in dataset.versions if not v.written}
    if not unwritten or not dataset.renamed_from:
        return {}
    version = lineage_version.c
    ids = {i for name in dataset.renamed_from for i in members(connection, name)}
    query = sa.select(version.id, version.version).where(
        version.name.in_(ids), version.version.in_(list(unwritten)), version.written
    )
    return {row.version: (row.id, unwritten[row.version]) for row in connection.execute(query)}


def _unnamed_nodes(connection: Connection, unnamed: Sequence[Unnamed]) -> dict[str, int]:
    """Ids of the versions that runs made and did not name."""
    values = {
        f"run:{each.uuid}": (each.name, f"run:{each.uuid}", int(each.kind), each.at, True)
        for each in sorted(unnamed, key=lambda each: each.name)
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
    values = [(owner, text, int(Kind.HIDDEN), 0, True) for text in texts]
    return {texts[text]: id_ for id_, text in rows.merge(connection, _NODES, values)}


def _forget_nodes(connection: Connection, names: Sequence[int], used: set[int]) -> None:
    """Deletes the versions that rules had made and no rule leads to any more."""
    version = lineage_version.c
    made = version.kinds.bitwise_and(int(Kind.HIDDEN)) != 0
    query = sa.select(version.id).where(
        version.name.in_(names), made | version.version.startswith("run:")
    )
    gone = [id_ for id_ in connection.scalars(query) if id_ not in used]
    connection.execute(lineage_version.delete().where(among(connection, version.id, gone)))
