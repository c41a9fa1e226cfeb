"""Copies of one record in many batches: which are more than chance explains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen._copies_groups import Looked, Pool, alike_rows, all_groups
from lazaretto.screen._copies_index import NEAR, count_copies
from lazaretto.screen._usual_copies import Usual
from lazaretto.values import REPORTED_ONLY, CopyGroup, TestSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._copies_groups import Group
    from lazaretto.screen._prints import Prints

COPIES = "copies_elsewhere"
GROUPS_TOLD = 10
TOLD = 5
_AGAIN, _AGAIN_LEAST = 0.5, 20
"""A batch is delivered again where at least half of its records, and so many, stand in this one."""
_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch has in common with others.

    Attributes:
        test: it, as the batch tests are told.
        reasons: why each record is named, by its place among those that were compared.
        reaching: groups of copies that reach the policy's size.
        usual: of those, the ones that a trusted record with the same label is a copy of.
        named: groups that are more than chance explains.
        groups: the first ones of those, as they are told.
        smallest: copies that a single group needs to be named; None: none is enough.
        again: batches that this one delivers again.
        exact: batches that were not searched for near copies.
    """

    test: TestSummary
    reasons: dict[int, str]
    reaching: int
    usual: int
    named: int
    groups: list[CopyGroup]
    smallest: int | None
    again: list[str]
    exact: int

    @property
    def again_told(self) -> str | None:
        """Which batches do not count, in words; None: all do."""
        if not self.again:
            return None
        again = ", ".join(self.again[:TOLD])
        return f"most of {again} is delivered again by this batch, and does not count"


def find_copies(
    own: Prints,
    ids: pa.Array,
    source: str,
    looked: Sequence[Looked],
    reference: Reference,
    policy: Policy,
    names_of: Callable[[int, Ints], list[str]],
) -> Seen:
    """Names records of which so many copies lie in other batches that chance does not explain it.

    Batches and trusted rows are pooled. If batches are drawn like the reference, each of c copies
    lies among the trusted rows as often as their share says, and all c lie in batches with the
    chance of a hypergeometric tail: what honest people repeat is repeated in the reference, too. A
    record of which a trusted row with the same label is a copy is usual, and never named. Records
    of equal content are looked at first, then near copies; the level is shared among all groups of
    the policy's size (Bonferroni).

    Args:
        own: the records of the batch, in any order.
        ids: their ids.
        source: who delivered it.
        looked: the other batches, the newest first; at least one.
        reference: what is usual.
        policy: `screen.copies` and `screen.batch.alpha`.
        names_of: ids of records of the batch at a place of `looked`, by their places there.
    """
    usual = Usual.of(reference, own_vectors=policy.embed.encoder == "column")
    counted = count_copies(
        own,
        [own, *(one.prints for one in looked)],
        content=[True, *(one.content for one in looked)],
        near=[usual.bits is not None and near for near in (True, *(one.near for one in looked))],
        bits=usual.bits or NEAR,
    )
    common = (counted.equal.all > 0).sum(0)[1:].tolist()
    others, again = list[tuple[int, Looked]](), list[str]()
    for number, one in enumerate(looked):
        if common[number] >= max(_AGAIN_LEAST, _AGAIN * max(len(own), len(one.prints))):
            again.append(one.batch)
        else:
            others.append((number, one))
    columns = [0, *(number + 1 for number, _ in others)]
    equal, near = counted.equal.columns(columns), counted.near.columns(columns)
    records = len(own) + sum(len(one.prints) for _, one in others)
    pool = Pool(own, ids, source, others, equal, near, records, usual)
    least, alpha = policy.screen.copies.size, policy.screen.batch.alpha
    groups = all_groups(pool, least)
    shared = max(1, len(groups))
    named = [one for one in groups if one.fresh.any() and shared * one.chance <= alpha]
    named.sort(key=lambda one: (one.chance, -one.size, ids[int(one.rows[0])].as_py()))
    reasons: dict[int, str] = {}
    for group in named:
        text = (
            f"{COPIES}: {group.size} {_kind(group.near)} stand in {_batches(pool, group)} batches"
        )
        reasons |= {row: text for row in group.rows[group.fresh].tolist() if row not in reasons}
    sizes = range(least, min(records, _LARGEST) + 1)
    smallest = next((size for size in sizes if pool.chance(size, 0) <= alpha), None)
    fresh = [min(1.0, shared * one.chance) for one in groups if one.fresh.any()]
    seen = Seen(
        test=TestSummary(COPIES, min(fresh, default=1.0), alpha, bool(named), ""),
        reasons=reasons,
        reaching=len(groups),
        usual=sum(not one.fresh.any() for one in groups),
        named=len(named),
        groups=[_told(one, shared, pool, names_of) for one in named[:GROUPS_TOLD]],
        smallest=smallest,
        again=again,
        exact=sum(not done for done in counted.searched[1:]),
    )
    p_value = None if smallest is None else seen.test.p_value
    detail = _detail(seen, pool, policy)
    return replace(seen, test=replace(seen.test, p_value=p_value, detail=detail))


def _batches(pool: Pool, group: Group) -> int:
    return int((pool.copies(group).all[group.rows[0]] > 0).sum())


def _kind(near: bool) -> str:
    return "near copies" if near else "copies"


def _told(
    group: Group, shared: int, pool: Pool, names_of: Callable[[int, Ints], list[str]]
) -> CopyGroup:
    """A named group, with where its copies are."""
    first, copies = int(group.rows[0]), pool.copies(group)
    mine, elsewhere, sources = pool.own.take(group.rows[:1]), list[str](), {pool.source}
    bits = pool.usual.bits if group.near else None
    for (number, one), count in zip(pool.others, copies.all[first, 1:].tolist(), strict=True):
        if not count:
            continue
        sources.add(one.source)
        if len(elsewhere) < TOLD:
            places = np.flatnonzero(alike_rows(one.prints, mine, bits))[:TOLD]
            elsewhere += [f"{one.batch}#{name}" for name in names_of(number, places)]
    fresh = group.rows[group.fresh]
    return CopyGroup(
        records=sorted(pool.ids.take(fresh).to_pylist())[:TOLD],
        here=len(fresh),
        copies=group.size,
        batches=_batches(pool, group),
        sources=sorted(sources)[:GROUPS_TOLD],
        labels=2 if copies.other[group.rows].any() or group.trusted else 1,
        trusted=group.trusted,
        near=group.near,
        p_value=min(1.0, shared * group.chance),
        elsewhere=elsewhere[:TOLD],
    )


def _detail(seen: Seen, pool: Pool, policy: Policy) -> str:
    """What was seen, in words."""
    least, beside = policy.screen.copies.size, f"{len(pool.usual.prints)} trusted rows"
    told = [
        f"groups of {least} copies or more in this batch and {len(pool.others)} before it: "
        f"{seen.reaching}"
    ]
    if seen.usual:
        told.append(f"with trusted copies, too: {seen.usual}")
    if seen.named:
        told.append(
            f"more than chance explains beside {beside}: {seen.named}, with "
            f"{len(seen.reasons)} records of this batch"
        )
        told += [_in_words(one) for one in seen.groups[:3]]
    elif seen.smallest is None:
        told.append(
            f"no number of copies could be told from chance, with {pool.records} records beside "
            f"{beside}"
        )
    elif seen.smallest > least:
        told.append(f"fewer than {seen.smallest} cannot be told from chance beside {beside}")
    if seen.again_told is not None:
        told.append(seen.again_told)
    if pool.usual.bits is None:
        told.append(
            "trusted rows lie so near to each other that only equal contents were looked for"
        )
    elif seen.exact:
        told.append(f"{seen.exact} batches were searched for equal contents only")
    detail = "; ".join(told)
    if seen.named and policy.screen.copies.mode != "enforce":
        return f"{detail}. {REPORTED_ONLY}"
    return detail


def _in_words(group: CopyGroup) -> str:
    labels = ", under different labels" if group.labels > 1 else ""
    where = ", ".join(group.elsewhere)
    return (
        f"{group.records[0]!r} has {group.copies} {_kind(group.near)} in {group.batches} batches "
        f"of {', '.join(group.sources)}{labels} (p = {group.p_value:.2g}), such as {where}"
    )
