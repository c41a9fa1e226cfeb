"""All links in arrays, for walks that reach much: read once for each change of the graph, and kept.

A row of the database for each of a million ends takes longer than a person waits. The arrays are
those of a compressed sparse row matrix: the links of an end lie side by side.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sqlalchemy as sa

from lazaretto.lineage.cursors import cursor
from lazaretto.storage.tables import lineage_link, projection, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection

Ints: TypeAlias = "NDArray[np.int64]"
CHANGES = "links"
"""The cursor that says which state of the graph this is."""
WORTH_KEEPING = 500_000
"""Links from which on the arrays are kept in a file."""
_CHUNK = 200_000
_MARK_BITS = 62  # of the 63 that a column of integers has


@dataclass(frozen=True, slots=True)
class Network:
    """Links in one direction.

    Attributes:
        ends: ends that links start from, in order.
        starts: for each of them, and one more, where its links begin.
        to: where each link leads to.
        basis: what each rests on.
        why: rule that each follows from.
    """

    ends: Ints
    starts: Ints
    to: Ints
    basis: NDArray[np.int8]
    why: NDArray[np.int8]

    def onward(self, frontier: Ints) -> tuple[Ints, Ints]:
        """The links of some ends: where each starts, and its place.

        Args:
            frontier: ends, in order, each once.
        """
        place = np.searchsorted(self.ends, frontier)
        inside = place < len(self.ends)
        place, found = place[inside], frontier[inside]
        has = self.ends[place] == found
        place, found = place[has], found[has]
        first, count = self.starts[place], self.starts[place + 1] - self.starts[place]
        total = int(count.sum())
        if not total:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        begins = np.repeat(first - np.concatenate(([0], np.cumsum(count)[:-1])), count)
        return np.repeat(found, count), begins + np.arange(total)


def note_change(connection: Connection) -> None:
    """Gives the graph's new state a mark of its own, inside the connection's transaction.

    The mark is drawn, not counted: a catalog that was restored from a backup would count to numbers
    that it had before, and find arrays that were kept of another graph.
    """
    mark = secrets.randbits(_MARK_BITS)
    changed = connection.execute(
        projection.update().where(projection.c.name == CHANGES).values(seq=mark)
    )
    if changed.rowcount == 0:
        connection.execute(projection.insert().values(name=CHANGES, seq=mark))


def network(connection: Connection, *, forward: bool) -> Network:
    """All links as arrays, as the graph is now.

    Args:
        connection: of the catalog.
        forward: from what was read to what was made; else back.
    """
    identity = str(connection.scalar(sa.select(workspace.c.id)))
    stamp = cursor(connection, CHANGES)
    source = _Source(connection, identity, stamp, forward)
    try:
        return _kept(source)
    finally:
        source.connection = None  # the arrays are kept, the connection is not


class _Source:
    """Where arrays are read from; two are the same where the graph is."""

    def __init__(self, connection: Connection, identity: str, stamp: int, forward: bool) -> None:
        self.connection: Connection | None = connection
        self.key = (identity, stamp, forward)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and self.key == other.key


@lru_cache(maxsize=2)
def _kept(source: _Source) -> Network:
    identity, stamp, forward = source.key
    name = f"{identity}-{stamp}-{'on' if forward else 'back'}.npz"
    file = _folder() / name
    found = _load(file)
    if found is None:
        assert source.connection is not None  # noqa: S101  until it was read
        found = _read(source.connection, forward)
        if len(found.to) >= WORTH_KEEPING:
            _save(file, found, f"{identity}-*-{'on' if forward else 'back'}.npz")
    return found


def _read(connection: Connection, forward: bool) -> Network:
    near, far = ("src", "dst") if forward else ("dst", "src")
    columns = [np.array(part, np.int64).reshape(-1, 4) for part in _rows(connection, near, far)]
    links = np.concatenate(columns) if columns else np.zeros((0, 4), np.int64)
    links = links[np.argsort(links[:, 0], kind="stable")]
    ends, first = np.unique(links[:, 0], return_index=True)
    starts = np.append(first, len(links)).astype(np.int64)
    return Network(
        ends,
        starts,
        np.ascontiguousarray(links[:, 1]),
        links[:, 2].astype(np.int8),
        links[:, 3].astype(np.int8),
    )


def _rows(connection: Connection, near: str, far: str) -> Iterator[list[Any]]:
    """Rows as the driver gives them: SQLAlchemy's would take most of the time."""
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(f"SELECT {near}, {far}, basis, why FROM {lineage_link.name}")  # noqa: S608
        while part := cursor.fetchmany(_CHUNK):
            yield part
    finally:
        cursor.close()


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lazaretto" / "graph"


def _load(file: Path) -> Network | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            return Network(kept["ends"], kept["starts"], kept["to"], kept["basis"], kept["why"])
    except (OSError, ValueError, KeyError):  # not there, or cut off by a full disk
        return None


def _save(file: Path, found: Network, others: str) -> None:
    """Keeps arrays for the next process; where that fails, it reads the database again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in file.parent.glob(others):
            old.unlink(missing_ok=True)
        part = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(
            part,
            ends=found.ends,
            starts=found.starts,
            to=found.to,
            basis=found.basis,
            why=found.why,
        )
        part.replace(file)
    except OSError:
        return
