"""Which versions of a table were made under a name that it had before."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.bits import Basis, Gap, Kind, Mode, Why, version_end
from lazaretto.lineage.claims.same import members
from lazaretto.lineage.claims.states import joined, number_of, state_of
from lazaretto.lineage.claims.table import accesses, starts_of
from lazaretto.lineage.claims.timeline import TOLERANCE, surely_after, surely_before
from lazaretto.storage.tables import lineage_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.table import Access, Dataset, Version
    from lazaretto.lineage.claims.timeline import TableState


class Earlier(NamedTuple):
    """What the versions under earlier names lead to.

    Attributes:
        links: from a version under an earlier name to the same one under a name of now.
        known: what those are called of which that is sure.
        filled: ends of those under a name of now.
    """

    links: list[tuple[int, int, Basis, Why]]
    known: set[str]
    filled: set[int]


def earlier_versions(connection: Connection, dataset: Dataset) -> Earlier:
    """Versions that nobody wrote under a name of now, but before a RENAME under the one of then.

    Args:
        connection: of an open `Catalog.transaction`.
        dataset: as it was read.
    """
    found = Earlier([], set(), set())
    written = {version.version for version in dataset.versions if version.written}
    unwritten = [version for version in dataset.versions if version.version not in written]
    for rename in dataset.writes if unwritten else ():
        if rename.renamed_from is None:
            continue
        at = _state(rename, dataset.starts)
        ids = {row.version for row in dataset.writes if row.run == rename.run}
        last = next((v.version for v in dataset.versions if v.id in ids), "")
        new = all(row.run == rename.run or _is_after(row, at, dataset) for row in dataset.writes)
        texts = {version.version for version in unwritten}
        made = dict(_made(connection, rename.renamed_from, texts))
        for version in unwritten:
            state = made.get(version.version)
            if state is None or surely_after(state, at) or not _is_older(version, last, at):
                continue
            sure = at.happened and state.happened and surely_before(state, at)
            if sure and (new or number_of(version.version) is None):
                found.known.add(version.version)
                found.filled.add(version_end(version.id))
            basis = Basis.INFERRED if version.version in found.known else Basis.POSSIBLE
            assert state.node is not None  # noqa: S101  as it is of a version
            found.links.append((state.node, version_end(version.id), basis, Why.RENAMED))
    return found


def _is_older(version: Version, last: str, rename: TableState) -> bool:
    """Whether a version may be one of those that were there at a RENAME, which made the last."""
    number, most = number_of(version.version), number_of(last)
    if number is not None and most is not None and number > most:
        return False
    return version.first_at + TOLERANCE >= rename.start


def _is_after(row: Access, rename: TableState, dataset: Dataset) -> bool:
    return surely_after(_state(row, dataset.starts), rename)


def _made(
    connection: Connection, name: int, texts: Collection[str]
) -> Iterator[tuple[str, TableState]]:
    """The versions under an earlier name that are called so, and when they were made."""
    ids = members(connection, name)
    version = lineage_version.c
    query = sa.select(version.id, version.version).where(
        version.name.in_(ids), version.version.in_(list(texts)), version.written
    )
    called = {row.id: row.version for row in connection.execute(query)}
    writes = [row for row in accesses(connection, ids, writes=True) if row.version in called]
    starts = starts_of(connection, writes)
    for id_, text in called.items():
        states = [_state(row, starts) for row in writes if row.version == id_]
        if states:
            state = reduce(joined, states)
            yield text, replace(state, node=version_end(id_))


def _state(row: Access, starts: dict[int, int]) -> TableState:
    return state_of(row, Mode(row.modes), starts[row.run])


def leave_open(connection: Connection, dataset: Dataset, filled: Collection[int]) -> None:
    """Says again that nobody made a version, where that had seemed to be known.

    Args:
        connection: of an open `Catalog.transaction`.
        dataset: as it was read.
        filled: ends of versions that somebody made under another name.
    """
    if not dataset.renamed_from or dataset.received:
        return
    version = lineage_version.c
    query = sa.select(version.id, version.last_at).where(
        version.name.in_(list(dataset.names)),
        version.kinds.bitwise_and(int(Kind.MADE)) == 0,
        version.source.is_(None),
        sa.not_(version.written),
    )
    gaps = [
        (version_end(id_), Gap.VERSION, 0, last)
        for id_, last in connection.execute(query)
        if version_end(id_) not in filled
    ]
    rows.run(connection, rows.GAPS, gaps)
