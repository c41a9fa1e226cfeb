"""Which batches each version of a dataset holds, folded from what snapshots say of each other.

A snapshot tells what is different from an earlier one: batches that came, changed or left. To be
led there by edges alone would accuse versions of batches that had left before. So the snapshots
are gone through from each to those that build on it, with the set of batches that are held kept up
to date and put back on the way out. That takes as many steps as there are edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from lazaretto.lineage.graph.told import ADMITTED, MEMBERSHIP, SINCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy.engine import Row

FEW = 8  # batches kept per version; enough for the few paths that are shown


@dataclass(frozen=True, slots=True)
class Told:
    """What edges say of versions of datasets.

    Attributes:
        admitted: by version, batches that were admitted with it, and how many records.
        said: by version, batches that a snapshot of it names, and how many records; 0: none.
        later: by version, those that are told as differences from it.
        first: versions that build on none.
    """

    admitted: dict[int, dict[int, int | None]] = field(default_factory=dict)
    said: dict[int, dict[int, int | None]] = field(default_factory=dict)
    later: dict[int, list[int]] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """Batches in versions.

    Attributes:
        rows: for each version that holds any of them, how many of their records; None: not known.
        most: for each batch that one of them holds, the most of its records that one does.
        some: for each such version, a few of the batches.
        batches: all batches that one of them holds.
    """

    rows: dict[int, int | None] = field(default_factory=dict)
    most: dict[int, int] = field(default_factory=dict)
    some: dict[int, tuple[int, ...]] = field(default_factory=dict)
    batches: set[int] = field(default_factory=set)


def read_edges(edges: Iterable[Row[Any]]) -> tuple[Told, list[Row[Any]]]:
    """Sorts what edges say of versions of datasets from the other edges."""
    found, others = Told(), []
    builds: set[int] = set()
    for edge in edges:
        if edge.role not in MEMBERSHIP:
            others.append(edge)
        elif edge.role == SINCE:
            found.later.setdefault(edge.src, []).append(edge.dst)
            builds.add(edge.dst)
        else:
            side = found.admitted if edge.role == ADMITTED else found.said
            side.setdefault(edge.dst, {})[edge.src] = edge.rows
    versions = found.admitted.keys() | found.said.keys() | found.later.keys()
    found.first.extend(sorted(versions - builds))
    return found, others


def held(
    told: Told,
    batches: Collection[int],
    *,
    versions: Collection[int] | None = None,
    without: Collection[int] = (),
    few: int = FEW,
) -> Held:
    """Finds which versions hold any of some batches.

    Args:
        told: what edges say.
        batches: ids of nodes.
        versions: only these; None: all.
        without: versions whose own edges from the batches do not count: what is looked for in the
            batches is not in them, nor in those that build on them, as far as they say no more.
        few: how many batches to keep per version.
    """
    fold = _Fold(set(batches), versions, set(without), few)
    stack: list[tuple[int, _Undo | None, _Path]] = [(first, None, None) for first in told.first]
    while stack:
        version, undo, path = stack.pop()
        if undo is not None:
            fold.leave(undo)
            continue
        undo, changed = fold.enter(told, version)
        path = fold.note(version, (path, changed))
        stack.append((version, undo, None))
        stack += [(later, None, path) for later in told.later.get(version, ())]
    return fold.found


_Undo: TypeAlias = list[tuple[int, bool, int | None]]
_Path: TypeAlias = "tuple[_Path, list[int]] | None"
"""Batches that changed since the last version that was noted, version by version."""


@dataclass(slots=True)
class _Fold:
    """What the version that is looked at holds."""

    batches: set[int]
    versions: Collection[int] | None
    without: set[int]
    few: int
    now: dict[int, int | None] = field(default_factory=dict)
    total: int = 0
    unknown: int = 0
    found: Held = field(default_factory=Held)

    def enter(self, told: Told, version: int) -> tuple[_Undo, list[int]]:
        """Takes what a version says; returns what it replaced, and which batches changed."""
        undo: _Undo = []
        mine = told.said.get(version, {})
        for batch, rows in told.admitted.get(version, {}).items():
            # What a snapshot says, of this version or the one it builds on, goes before.
            if batch in self.batches and batch not in mine and batch not in self.now:
                self._put(batch, 0 if version in self.without else rows, undo)
        for batch, rows in mine.items():
            if batch in self.batches:
                self._put(batch, 0 if version in self.without else rows, undo)
        return undo, [batch for batch, _, _ in undo]

    def leave(self, undo: _Undo) -> None:
        """Puts back what `enter` replaced."""
        for batch, there, rows in reversed(undo):
            self._set(batch, there, rows)

    def note(self, version: int, path: tuple[_Path, list[int]]) -> _Path:
        """Keeps what a version holds; returns which changes those that build on it have to look at.

        A batch that did not change since the last version that was noted has been counted there.
        """
        if self.versions is not None and version not in self.versions:
            return path
        if self.now:
            self.found.rows[version] = None if self.unknown else self.total
            self.found.some[version] = tuple(islice(self.now, self.few))
        for batch in _changes(path):
            if batch in self.now:
                rows = self.now[batch]
                self.found.batches.add(batch)
                if rows is not None:
                    self.found.most[batch] = max(self.found.most.get(batch, 0), rows)
        return None

    def _put(self, batch: int, rows: int | None, undo: _Undo) -> None:
        undo.append((batch, batch in self.now, self.now.get(batch)))
        self._set(batch, rows != 0, rows)

    def _set(self, batch: int, there: bool, rows: int | None) -> None:
        if batch in self.now:
            before = self.now.pop(batch)
            self.unknown -= before is None
            self.total -= before or 0
        if there:
            self.now[batch] = rows
            self.unknown += rows is None
            self.total += rows or 0


def _changes(path: _Path) -> Iterator[int]:
    while path is not None:
        path, changed = path
        yield from changed
