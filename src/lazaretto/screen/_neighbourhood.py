"""The neighbourhoods of a batch: what the search for them looks at, and what it found in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen._scan import MOST, SUSPECT, Suspects, scan
from lazaretto.screen._seed import seed_for
from lazaretto.stats.looks import CAUTION
from lazaretto.text import cut
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._score import Scored
    from lazaretto.stats.localised import Budget, KnownRows

NEIGHBOURHOOD = "neighbourhood"


def search_level(budget: Budget, policy: Policy, *, over_batches: bool) -> float:
    """Level of the search for neighbourhoods in a batch, and of that over batches of the source.

    They and the groups share one part of the budget. What they find counts as `CAUTION` times as
    likely.

    Args:
        budget: how the chance of holding anything of a clean batch is shared.
        policy: says whether there are groups.
        over_batches: whether the batch is looked at together with earlier ones: then each of the
            two searches has half.
    """
    shared = (2 if policy.columns.groups else 1) * (2 if over_batches else 1)
    return budget.scan / (shared * CAUTION)


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """What the search found.

    Attributes:
        test: it, as the batch tests are told.
        named: the records that may be held for it.
    """

    test: TestSummary
    named: Named


@dataclass(frozen=True, slots=True)
class Named:
    """Records that a search names, each from some level on.

    Attributes:
        position: int64 (n,), in the batch.
        level: float64 (n,), from which on each is named; `lazaretto.screen._scan.Scan.level`.
        asked: the level that is asked for.
        reason: what is told of those that are named at it.
    """

    position: Ints
    level: Floats
    asked: float
    reason: str

    @property
    def reasons(self) -> dict[int, str]:
        """Why records are held, by position."""
        return dict.fromkeys(self.position[self.level <= self.asked].tolist(), self.reason)


def named_at(records: int, searches: Sequence[Named]) -> npt.NDArray[np.float64]:
    """The level from which on any search names each record, float64 (m,); NaN: at none."""
    level = np.full(records, np.nan)
    for one in searches:
        level[one.position] = np.fmin(level[one.position], one.level)
    return level


def find_neighbourhoods(
    scored: Scored, reference: Reference, policy: Policy, alpha: float
) -> Neighbourhoods | None:
    """Looks for odd records that lie together as odd trusted ones do not.

    Args:
        scored: the batch.
        reference: that it was scored against.
        policy: says whether what is found is held.
        alpha: see `search_level`.

    Returns:
        None where it is off, or where there are too few odd records.
    """
    mode = policy.screen.test_modes[NEIGHBOURHOOD]
    odd, known = scored.oddest, scored.known
    if mode == "off" or alpha <= 0 or not len(odd.position):
        return None
    # The calibration's suspects are those that the batch's own bar makes suspects.
    bar = float(odd.p_value.max()) if len(odd.position) == MOST else SUSPECT
    label = np.zeros(len(odd.position), dtype=np.int64) if odd.label is None else odd.label
    suspects = beside_known(odd.embedding, label, odd.p_value, bar, known, reference)
    found = scan(suspects, seed=seed_for(scored.seed, "neighbourhoods"))
    if found is None:
        return None
    told = (
        f"{found.count} of the {found.size} odd records{label_told(found.label, reference)} that "
        f"lie together are of this batch; {found.expected:.1f} are expected beside odd trusted ones"
    )
    level = found.level[: len(odd.position)]
    fired = found.p_value <= alpha
    detail = told
    if fired:
        detail += f". {int((level <= alpha).sum())} records lie in such neighbourhoods"
    there = np.flatnonzero(np.isfinite(level))
    if mode != "enforce":
        detail, there = f"{detail}. {REPORTED_ONLY}", there[:0]
    test = TestSummary(NEIGHBOURHOOD, found.p_value, alpha, fired, detail)
    named = Named(odd.position[there], level[there], alpha, f"{NEIGHBOURHOOD}: {told}")
    return Neighbourhoods(test, named)


def label_told(label: int, reference: Reference) -> str:
    """The class of some records in words; empty without labels."""
    return f" labelled {cut(reference.classes[label], 80)!r}" if reference.classes else ""


def beside_known(
    vector: Floats,
    label: Ints,
    p_value: npt.NDArray[np.float64],
    bar: float,
    known: KnownRows,
    reference: Reference,
) -> Suspects:
    """Odd records, and beside them the odd calibration rows.

    Args:
        vector: float32 (m, d), the records' own.
        label: int64 (m,), class of each.
        p_value: float64 (m,), theirs, up to `bar`.
        bar: the calibration's suspects are those up to the same.
        known: the calibration rows.
        reference: that has their vectors.
    """
    there = np.flatnonzero(known.p_value <= bar)
    rows = np.concatenate(reference.folds)[there]
    both = np.concatenate([vector, reference.sample.embedding[rows]])
    of = np.concatenate([label, known.label[there]])
    mine = np.arange(len(both)) < len(vector)
    odd = np.concatenate([p_value, known.p_value[there]])
    return Suspects(_directions(both, of, reference), of, mine, odd)


def _directions(vector: Floats, label: Ints, reference: Reference) -> Floats:
    """Whitened by the reference, about the mean of the class's suspects, of length 1."""
    detector = reference.scorers[0].detectors.get("mahalanobis")
    white = vector - reference.sample.embedding.mean(0)
    maps = None if detector is None else detector.state()["whiten"]
    for number in np.unique(label).tolist():
        mine = label == number
        rows = white[mine]
        if maps is not None:
            rows = rows @ maps[number if len(maps) > 1 else 0].T
        white[mine] = rows - rows.mean(0)
    length = np.linalg.norm(white, axis=1, keepdims=True)
    directions: Floats = (white / np.maximum(length, 1e-12)).astype(np.float32)
    return directions
