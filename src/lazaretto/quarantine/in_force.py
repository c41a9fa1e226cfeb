"""Decisions in force: for each record of a case, the one that stands on it, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.storage.store import Store
    from lazaretto.values import Action


@dataclass(frozen=True, slots=True)
class Standing:
    """Which decision is in force on which record.

    Attributes:
        decisions: that are not taken back, oldest first.
        positions: int64, of the records that are decided on, ascending.
        which: int32, for each of them the place of its decision in `decisions`.
    """

    decisions: list[Decision]
    positions: NDArray[np.int64]
    which: NDArray[np.int32]

    def __len__(self) -> int:
        """How many records are decided on."""
        return len(self.positions)

    def find(self, positions: NDArray[np.int64]) -> NDArray[np.int32]:
        """The places of the decisions on some records; -1 where there is none."""
        if not len(self.positions):
            return np.full(len(positions), -1, np.int32)
        near = np.searchsorted(self.positions, positions)
        near[near == len(self.positions)] = 0
        found = self.positions[near] == positions
        return np.where(found, self.which[near], np.int32(-1)).astype(np.int32)

    def at(self, position: int) -> Decision | None:
        """The decision on one record; None where there is none."""
        (found,) = self.find(np.array([position], np.int64)).tolist()
        return None if found < 0 else self.decisions[found]

    def columns(self, positions: pa.Array) -> tuple[pa.Array, pa.Array]:
        """The ids of the decisions on some records, and their actions; null for none."""
        which = self.find(positions.to_numpy())
        places = pa.array(which, mask=which < 0)
        ids = pa.array([decision.id for decision in self.decisions], pa.string())
        actions = pa.array([decision.action.value for decision in self.decisions], pa.string())
        return ids.take(places), actions.take(places)

    def by(self, actions: Collection[Action]) -> Standing:
        """Of the records, those on which one of some actions is in force."""
        chosen = np.array([decision.action in actions for decision in self.decisions], bool)
        return self._where(chosen[self.which])

    def among(self, positions: NDArray[np.int64]) -> Standing:
        """Of the records, those at some positions, which are ascending."""
        return self._where(np.isin(self.positions, positions, assume_unique=True))

    def without(self, positions: NDArray[np.int64]) -> Standing:
        """Of the records, those at no such position."""
        return self._where(~np.isin(self.positions, positions, assume_unique=True))

    def used(self) -> list[Decision]:
        """The decisions that are in force on a record at all, oldest first."""
        return [self.decisions[place] for place in np.unique(self.which).tolist()]

    def pairs(self) -> Iterator[tuple[int, str]]:
        """Position of each record, and the id of the decision on it, in order of position."""
        ids = [decision.id for decision in self.decisions]
        for place, decision in zip(self.positions.tolist(), self.which.tolist(), strict=True):
            yield place, ids[decision]

    def _where(self, mask: NDArray[np.bool_]) -> Standing:
        return Standing(self.decisions, self.positions[mask], self.which[mask])


def in_force(store: Store, decisions: Sequence[Decision]) -> Standing:
    """The decision in force on each record, by position in the case's file.

    A later decision replaces an earlier one; one that was undone does not count.

    Args:
        store: where the lists of decided records are.
        decisions: of one case, oldest first.

    Raises:
        ChangedFileError: a list of decided records is gone or was changed.
    """
    standing = [one for one in decisions if one.undoes is None and one.undone_by is None]
    lists = [
        read_table(store, one.ids, columns=["position"])["position"].to_numpy() for one in standing
    ]
    sizes = [len(positions) for positions in lists]
    positions = np.concatenate([*lists, np.empty(0, np.int64)])
    which = np.repeat(np.arange(len(lists), dtype=np.int32), sizes)
    order = np.argsort(positions, kind="stable")
    positions, which = positions[order], which[order]
    newest = np.ones(len(positions), bool)
    newest[:-1] = positions[1:] != positions[:-1]
    return Standing(standing, positions[newest], which[newest])
