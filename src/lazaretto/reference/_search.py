"""How a reference's neighbours are searched for: what the policy says, tried on trusted rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.nearest_choice import Choice, choose
from lazaretto.detect.registry import built_in
from lazaretto.detect.scorer import take

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lazaretto.detect.arrays import Ints
    from lazaretto.detect.base import Chunk
    from lazaretto.policy.model import NeighbourSearch
    from lazaretto.reference._partition import Part


def how_to_search(
    sample: Chunk,
    classes: tuple[str, ...],
    parts: Sequence[Part],
    fit_rows: Sequence[Ints],
    detectors: Collection[str],
    policy: NeighbourSearch,
) -> Choice:
    """Settings of the index over a reference's rows, and what they learned.

    A cross-fitted reference is small, and each of its rows calibrates: it is searched exactly, and
    once for all its scorers. A large one may be compressed. That is tried on the rows that only
    rank maps see. For detectors of other packages the search is exact: what they lose is not known.
    """
    asked = Search(policy.exact_up_to, policy.lists, policy.probes)
    strange = not set(detectors) <= set(built_in())
    if policy.search == "exact" or len(parts) > 1 or strange:
        return Choice(asked, {})
    known, held_out = take(sample, fit_rows[0]), take(sample, parts[0].rank)
    return choose(known, classes, held_out, asked, density="density" in detectors)
