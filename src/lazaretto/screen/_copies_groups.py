"""Groups of copies: the records of a batch that have copies in others, and what chance says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from lazaretto.detect.arrays import Ints
    from lazaretto.screen._copies_index import Copies
    from lazaretto.screen._prints import Prints
    from lazaretto.screen._usual_copies import Usual

MOST_GROUPS = 1000
"""Groups that are looked at, the largest ones."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A batch of the dataset that one is compared with.

    Attributes:
        batch: its id.
        source: who delivered it.
        prints: of its records.
        content: whether contents can be compared.
        near: whether vectors can.
    """

    batch: str
    source: str
    prints: Prints
    content: bool
    near: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Records of the batch that are copies of each other, the one with the most copies first.

    Attributes:
        rows: int64, their places.
        size: copies in all, those in other batches included.
        chance: that all of them are of batches.
        trusted: trusted copies with another label.
        fresh: bool, which of the records have no trusted copy with the same label.
        near: whether near copies count; else those of equal content.
    """

    rows: Ints
    size: int
    chance: float
    trusted: int
    fresh: npt.NDArray[np.bool_]
    near: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """The batch and the others that count. n records, b batches; the batch itself comes first.

    Attributes:
        own: fingerprints of the batch.
        ids: of its records.
        source: who delivered it.
        others: the other batches, with their places among all that were given.
        equal: copies with equal content.
        near: near copies, those included.
        records: of all batches.
        usual: the trusted rows.
    """

    own: Prints
    ids: pa.Array
    source: str
    others: list[tuple[int, Looked]]
    equal: Copies
    near: Copies
    records: int
    usual: Usual

    def copies(self, group: Group) -> Copies:
        """Those that a group is about."""
        return self.near if group.near else self.equal

    def chance(self, copies: int, trusted: int) -> float:
        """Chance that so many copies lie in batches, where so many more are trusted."""
        known = len(self.usual.prints)
        return hypergeometric_tail(copies, self.records + known, copies + trusted, self.records)


def all_groups(pool: Pool, least: int) -> list[Group]:
    """Groups of equal contents; and of near copies, where they have more than the equal ones."""
    groups = _groups(pool, least, near=False)
    before = {tuple(sorted(one.rows.tolist())): one.size for one in groups}
    if pool.usual.bits is None:
        return groups
    return groups + [
        one
        for one in _groups(pool, least, near=True)
        if before.get(tuple(sorted(one.rows.tolist()))) != one.size
    ]


def _groups(pool: Pool, least: int, *, near: bool) -> list[Group]:
    """The groups that reach a size and stand in another batch, each judged."""
    own, copies = pool.own, (pool.near if near else pool.equal).all
    size, bits = copies.sum(1), pool.usual.bits if near else None
    rows = np.flatnonzero((size >= least) & (copies[:, 1:] > 0).any(1))
    # The order of the records must not matter.
    rows = rows[np.lexsort((own.label[rows], own.content[rows], own.sketch[rows], -size[rows]))]
    members: list[Ints] = []
    while len(rows) and len(members) < MOST_GROUPS:
        inside = alike_rows(own.take(rows), own.take(rows[:1]), bits)
        members.append(rows[inside])
        rows = rows[~inside]
    if not members:
        return []
    trusted = pool.usual.copies_of(own.take(np.concatenate(members)), bits)
    found, start = [], 0
    for one in members:
        same, other = (counts[start : start + len(one)] for counts in trusted)
        start, most = start + len(one), int(size[one[0]])
        chance = pool.chance(most, int(same[0] + other[0]))
        found.append(Group(one, most, chance, int(other[0]), same == 0, near))
    return found


def alike_rows(records: Prints, one: Prints, bits: int | None) -> npt.NDArray[np.bool_]:
    """Which records are copies of one; near ones where bits are given."""
    alike = records.content == one.content
    if bits is not None:
        alike |= np.bitwise_count(records.sketch ^ one.sketch) <= bits
    return np.asarray(alike, dtype=bool)
