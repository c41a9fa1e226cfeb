"""Screens the trusted sample itself before anything is fitted on it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import same_rows
from lazaretto.detect.base import Split
from lazaretto.detect.mahalanobis import Mahalanobis
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.detect.scorer import as_views, take
from lazaretto.reference._partition import partition
from lazaretto.text import cut

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Ints
    from lazaretto.detect.base import Chunk

MOST_TRIMMED = 0.05
"""Largest share of rows left out of fitting; more strange rows than that are the population."""
MOST_OF_A_CLASS = 0.25
"""Likewise of one class: a rare class whose rows are far from all others is a class, no mistake."""
MARGIN = 3.0
"""How many times farther out, in log share, than any row of a clean sample is expected."""


@dataclass(frozen=True, slots=True)
class Hygiene:
    """What is odd about a trusted sample.

    Attributes:
        strange: rows that the rest of the sample finds far too extreme, int64; left out of fitting,
            but not of calibration: there they keep the promise honest.
        kept: classes whose rows look strange for the most part, and are kept, by index.
        names: class names.
        copies: rows that repeat another row's vector exactly.
        contradictions: copies whose label differs from the other row's.
    """

    strange: Ints
    copies: int
    contradictions: int
    kept: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the curator, a sentence each."""
        said = []
        if len(self.strange):
            rows = ", ".join(str(row) for row in self.strange[:5].tolist())
            said.append(
                f"{len(self.strange)} trusted rows do not fit the others and are left out of "
                f"fitting: review them (usable rows {rows}{', …' if len(self.strange) > 5 else ''})"
            )
        if self.kept:
            shown = ", ".join(repr(cut(self.names[number], 40)) for number in self.kept[:5])
            said.append(
                f"the rows of {len(self.kept)} rare classes lie far from all others and are kept: "
                f"review them ({shown}{', …' if len(self.kept) > 5 else ''})"
            )
        if self.copies:
            said.append(f"{self.copies} trusted rows repeat another row's vector")
        if self.contradictions:
            said.append(f"{self.contradictions} of them under another label")
        return tuple(said)


def examine(sample: Chunk, classes: tuple[str, ...], seed: int) -> Hygiene:
    """Looks for rows that poison or mistakes may have left in the trusted sample.

    Each row is judged by Mahalanobis views fitted on the folds that it is not in. A row is strange
    when a view lies beyond where an exponential tail through the sample's median and ninth decile,
    which few bad rows cannot move, expects any row of so many, `MARGIN` times over.
    """
    views = []
    order = []
    seen = np.zeros(len(sample), dtype=bool)
    for part in partition(sample.label, len(sample), seed=seed, folded=True):
        held = part.unseen
        if seen[held].all():
            continue
        seen[held] = True
        chunk = take(sample, part.fit)
        split = Split(chunk, classes, (), NeighbourIndex(chunk.embedding[:1]), seed)
        views.append(as_views(Mahalanobis().fit(split).score(take(sample, held))))
        order.append(held)
    rows, scores = np.concatenate(order), np.concatenate(views).astype(np.float64)
    middle, high = np.quantile(scores[:100_000], [0.5, 0.9], axis=0)
    least = 1e-9 * max(float(np.abs(scores).mean()), 1e-30)
    scale = np.maximum((high - middle) / log(5), least)
    out = ((scores - middle) / scale + log(2)).max(1)
    strange = np.unique(rows[out > MARGIN * log(20 * len(sample))])
    strange, kept = _spare_classes(strange, sample.label, len(classes))
    if len(strange) > MOST_TRIMMED * len(sample):
        strange = strange[:0]
    copies, contradictions = _copies(sample)
    return Hygiene(strange, copies, contradictions, kept, classes)


def _spare_classes(strange: Ints, label: Ints | None, classes: int) -> tuple[Ints, tuple[int, ...]]:
    """What is strange without the classes that would lose too many of their rows; those classes."""
    if label is None or not len(strange):
        return strange, ()
    lost = np.bincount(label[strange], minlength=classes)
    rows = np.maximum(np.bincount(label, minlength=classes), 1)
    spared = np.flatnonzero(lost > MOST_OF_A_CLASS * rows)
    return strange[~np.isin(label[strange], spared)], tuple(spared.tolist())


def _copies(sample: Chunk) -> tuple[int, int]:
    different, group = same_rows(sample.embedding)
    copies = len(group) - different
    if sample.label is None or not copies:
        return copies, 0
    pairs = len(np.unique(np.stack([group, sample.label]), axis=1).T)
    return copies, pairs - different
