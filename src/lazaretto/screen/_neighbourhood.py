"""The neighbourhoods of a batch: what the search for them looks at, and what it found in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import about_group_means
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.detect.mahalanobis import LEAST_WITHIN, ROWS_PER_DIMENSION
from lazaretto.screen._beyond import find_beyond
from lazaretto.screen._scan import MOST, SUSPECT, Suspects, scan
from lazaretto.screen._seed import seed_for
from lazaretto.text import cut
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._matching import Question
    from lazaretto.screen._score import Scored
    from lazaretto.stats.localised import Budget, KnownRows

NEIGHBOURHOOD = "neighbourhood"
BEYOND = (
    "further out than every trusted record of the class, in the direction of odd records that lie "
    "together"
)
OTHERS = 4000
"""Trusted rows that are no suspects, at most, from which the whitening is learned as well."""


def search_level(budget: Budget, policy: Policy, *, over_batches: bool) -> float:
    """Level of the search for neighbourhoods in a batch, and of that over batches of the source.

    They and the groups share one part of the budget.

    Args:
        budget: how the chance of holding anything of a clean batch is shared.
        policy: says whether there are groups.
        over_batches: whether the batch is looked at together with earlier ones: then each of the
            two searches has half.
    """
    return budget.scan / ((2 if policy.columns.groups else 1) * (2 if over_batches else 1))


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """What the search found.

    Attributes:
        test: it, as the batch tests are told.
        named: the records that may be held for it: those that lie together, and those that differ
            from their class in the same way.
    """

    test: TestSummary
    named: list[Named]


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
    scored: Scored,
    reference: Reference,
    policy: Policy,
    alpha: float,
    matching: Callable[[Question], Ints],
) -> Neighbourhoods | None:
    """Looks for odd records that lie together as odd trusted ones do not.

    Args:
        scored: the batch.
        reference: that it was scored against.
        policy: says whether what is found is held.
        alpha: see `search_level`.
        matching: tells the positions of the batch's records for which a question holds.

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
    there = np.flatnonzero(np.isfinite(level))
    if mode != "enforce":
        there = there[:0]
    together = Named(odd.position[there], level[there], alpha, f"{NEIGHBOURHOOD}: {told}")
    position, from_level = find_beyond(
        odd.embedding[there], label[there], level[there], scored, reference, matching
    )
    beyond = Named(position, from_level, alpha, f"{NEIGHBOURHOOD}: {BEYOND}")
    fired, detail = found.p_value <= alpha, told
    if fired:
        detail += f". {int((level <= alpha).sum())} records lie in such neighbourhoods"
        detail += beyond_told(together, beyond)
    if mode != "enforce":
        detail = f"{detail}. {REPORTED_ONLY}"
    test = TestSummary(NEIGHBOURHOOD, found.p_value, alpha, fired, detail)
    return Neighbourhoods(test, [together, beyond])


def beyond_told(together: Named, beyond: Named) -> str:
    """How many records are named by their direction alone; empty where none is."""
    more = len(beyond.reasons.keys() - together.reasons.keys())
    return f"; {more} more are {BEYOND}" if more else ""


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
    return Suspects(_directions(both, of, rows, reference), of, mine, odd)


def _directions(vector: Floats, label: Ints, trusted: Ints, reference: Reference) -> Floats:
    """Whitened, about the mean of the class's suspects, of length 1.

    What whitens must not know which suspects are of which side. Where calibration rows are apart
    from those that detectors were fitted on, neither side has been seen by these, and their map
    serves. A cross-fitted reference has several, which together have seen all trusted rows alike,
    and no record of the batch. The mean of them serves where each dimension has
    `ROWS_PER_DIMENSION` rows. With fewer it bends towards trusted rows: seen by it, records of a
    batch are nearer to each other than trusted rows are (`_of_both_sides`).

    Args:
        vector: float32 (s, d), of the suspects.
        label: int64 (s,), class of each.
        trusted: int64 (t,), which trusted rows are suspects.
        reference: that has them.
    """
    centred = about_group_means(vector.astype(np.float64), label)
    rows, width = reference.sample.embedding.shape
    unseen = len(reference.scorers) == 1
    fitted = [scorer.detectors.get("mahalanobis") for scorer in reference.scorers]
    maps = [detector.state()["whiten"] for detector in fitted if detector is not None]
    if maps and (unseen or rows >= ROWS_PER_DIMENSION * width):
        place = label if len(maps[0]) > 1 else np.zeros_like(label)
        for number in np.unique(place).tolist():
            of_it = [one[number].astype(np.float64) for one in maps]
            inverse = np.mean([one.T @ one for one in of_it], axis=0)
            mine = place == number
            centred[mine] = centred[mine] @ np.linalg.cholesky(inverse)
    elif not unseen:
        centred = centred @ _of_both_sides(centred, trusted, reference).T
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    directions: Floats = (centred / np.maximum(length, 1e-12)).astype(np.float32)
    return directions


def _of_both_sides(centred: Floats, trusted: Ints, reference: Reference) -> Floats:
    """The whitening map of all suspects, of whatever side, and of the other trusted rows.

    Args:
        centred: float64 (s, d), the suspects about the means of their classes.
        trusted: which trusted rows are among them.
        reference: that has the others.
    """
    others = np.delete(np.arange(len(reference.sample.embedding)), trusted)
    # Evenly spread over the sample, whose order may be that of its classes.
    others = others[:: max(1, -(-len(others) // OTHERS))]
    rows, label = reference.sample.embedding[others].astype(np.float64), reference.sample.label
    of = np.zeros(len(rows), dtype=np.int64) if label is None else label[others]
    inside = np.concatenate([centred, about_group_means(rows, of)])
    return whitening(ledoit_wolf(inside), least=LEAST_WITHIN * float(np.square(inside).mean()))[0]
