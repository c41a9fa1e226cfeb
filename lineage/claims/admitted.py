"""Which version of an admitted dataset a run read that named none, by the times of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.bits import Basis, Gap, Kind, Why, version_end
from lazaretto.lineage.claims.timeline import (
    NEVER,
    TableState,
    begun_after,
    surely_after,
    surely_before,
)
from lazaretto.lineage.openlineage import naming
from lazaretto.storage.tables import lineage_node

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.table import Dataset

Link = tuple[int, int, Basis, Why]
_MOST = 100
"""Versions that a reader may have seen, each by a link of its own; of more, that they are many."""
_NODES = rows.Merge(
    "lineage_version",
    ("name", "version", "kinds", "first_at", "last_at", "written"),
    ("name", "version"),
    "version = excluded.version",
    ("id", "version"),
)


class Follows(NamedTuple):
    """What follows for a dataset.

    Attributes:
        links: from its versions to those who read them, and to other names of them.
        gaps: what is not known, with the kind and until when something may have come in.
        filled: ends of versions that are known under another name.
        used: ids of versions that a rule made, and that links lead from.
    """

    links: list[Link]
    gaps: list[tuple[int, str, int]]
    filled: set[int]
    used: set[int]


def conclude_admitted(connection: Connection, store_root: str, dataset: Dataset) -> Follows:
    """What an admitted dataset held when it was read, whatever name it was read by.

    Args:
        connection: of an open `Catalog.transaction`; the index is caught up with the ledger.
        store_root: root of the store.
        dataset: an admitted one.
    """
    assert dataset.admitted is not None  # noqa: S101  as it was asked
    own, name = dataset.admitted
    states = _versions(connection, store_root, name)
    seen: dict[str, list[tuple[int, Basis, Why]]] = {}
    many: list[tuple[int, str, int]] = []
    for reader in dataset.readers:
        before = [state for state in states if surely_before(state, reader)]
        others = [s for s in states[len(before) :] if not surely_after(s, reader)]
        sure = Basis.MEASURED if reader.measures else Basis.INFERRED
        if others and not reader.measures:
            possible = before[-1:] + others
            if len(possible) > _MOST:
                many.append((reader.node, Gap.MANY, reader.end))
            # Before the first version there is nothing, so that nothing is in each of them.
            whole = bool(before) and len(possible) <= _MOST and reader.end < NEVER
            each = Why.ONE_OF if whole and not reader.summed else Why.ADMITTED_THEN
            for state in possible[:_MOST]:
                # Of a stream's moment what counts is what was there when it began.
                why = Why.ADMITTED_THEN if reader.passes and begun_after(state, reader) else each
                found = (reader.node, Basis.POSSIBLE, why)
                seen.setdefault(state.key, []).append(found)
        if before and all(reader.passes and begun_after(state, reader) for state in others):
            found = (reader.node, sure, Why.ADMITTED_THEN)
            seen.setdefault(before[-1].key, []).append(found)
    for version in dataset.versions:
        if version.name != own:
            found = (version_end(version.id), Basis.KNOWN, Why.SAME_NAME)
            seen.setdefault(version.version, []).append(found)
    at = {state.key: state.end for state in states}
    values = [(own, text, int(Kind.MADE), at.get(text, 0), at.get(text, 0), False) for text in seen]
    ids = {text: id_ for id_, text in rows.merge(connection, _NODES, values)}
    links = [
        (version_end(ids[text]), node, basis, why)
        for text, readers in seen.items()
        for node, basis, why in readers
    ]
    unknown = [
        version
        for version in dataset.versions
        if version.version not in at and not _before_all(version.version, states)
    ]
    gaps = [(version_end(version.id), Gap.ADMITTED, version.first_at) for version in unknown]
    gaps += many
    filled = {version_end(version.id) for version in dataset.versions}
    return Follows(links, gaps, filled, set(ids.values()))


def _versions(connection: Connection, store_root: str, dataset: str) -> list[TableState]:
    """The versions of a dataset that the ledger tells of, in order."""
    namespace, name = naming.admitted(store_root, dataset)
    node = lineage_node.c
    query = sa.select(node.version, node.received_at).where(
        node.namespace == namespace, node.name == name, node.kind == "SNAPSHOT"
    )
    found = []
    for row in connection.execute(query):
        moment = int(row.received_at.timestamp() * 1_000_000)
        version = int(row.version)
        found.append(TableState(row.version, 1, 0, version, moment, moment, "ledger"))
    return sorted(found, key=lambda state: state.number or 0)


def _before_all(version: str, states: list[TableState]) -> bool:
    """Whether a version was there before anything was admitted: it is empty."""
    number = int(version) if version.isascii() and version.isdigit() else None
    first = min((state.number or 0 for state in states), default=None)
    return number is not None and first is not None and number < first
