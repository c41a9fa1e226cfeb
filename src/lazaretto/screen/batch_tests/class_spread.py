"""Batch test: inside each class, is the scatter about the trusted mean the trusted one?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import group_means
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.screen._seed import seed_for
from lazaretto.screen.batch_tests.base import (
    FINER,
    Outcome,
    drawn_membership,
    membership,
    permutation_p,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.screen.batch_tests.base import Pair

SMALLEST_CLASS = 8
ROWS = 400
"""Rows of a class compared, of either side, at most."""
USUAL = 200
"""Permutations that say how large a class's statistic is by chance; p-values draw others."""
_SMALLEST = 1e-12


def class_spread(pair: Pair) -> Outcome:
    """Compares first and second whitened moments per class, and takes the class that differs most.

    A coordinated shift in a direction of little variance, too small to see in any one record,
    changes its class's whitened second moment. One half of the reference gives class means and the
    whitening, the other is compared with the batch, so that the two stay exchangeable. The
    statistic is the maximum mean discrepancy for the kernel ``(1 + x.y / d) ** 2``, whose features
    are mean and second moment, in standard deviations of its own permutations. Batch and reference
    are permuted within all classes at once, and the largest statistic is compared with the largest
    of each permutation (Westfall and Young, 1993, section 2.3). So as many permutations do for a
    thousand classes as for one.
    """
    label, known = pair.batch_label, pair.reference_label
    if label is None or known is None:
        label = np.zeros(len(pair.batch), dtype=np.int64)
        known = np.zeros(len(pair.reference), dtype=np.int64)
    half = len(known) // 2
    if half < 2:
        return Outcome(1.0, "the reference is too small")
    names = pair.classes or ("all",)
    means, map_ = _whitening(pair.reference[:half], known[:half], len(names))
    tested, parts = list[str](), list[_Part]()
    for number, name in enumerate(names):
        batch = pair.batch[label == number]
        reference = pair.reference[half:][known[half:] == number]
        if min(len(batch), len(reference)) >= SMALLEST_CLASS:
            both = np.concatenate([batch[:ROWS], reference[:ROWS]]) - means[number]
            white = both @ map_.T
            kernel = np.square(1 + white @ white.T / white.shape[1])
            parts.append(_Part(kernel, min(ROWS, len(batch))))
            tested.append(name)
    if not tested:
        return Outcome(1.0, "no class has enough records")
    usual = _drawn(parts, np.random.default_rng(seed_for(pair.seed, "class_spread")), USUAL)
    center, spread = usual.mean(0), np.maximum(usual.std(0), _SMALLEST)
    real = np.array([part.statistic(membership(part.first, part.second))[0] for part in parts])
    observed = (real - center) / spread
    most = int(observed.argmax())
    rng = np.random.default_rng(pair.seed)

    def draw(rows: int) -> Floats:
        largest: Floats = ((_drawn(parts, rng, rows) - center) / spread).max(1)
        return largest

    p_value = permutation_p(
        float(observed[most]),
        draw,
        permutations=pair.permutations,
        slack=1e-6 * max(1.0, abs(float(observed[most]))),
        finer=FINER,
    )
    of = "" if len(tested) == 1 else f"of {len(tested)} classes, "
    return Outcome(
        p_value,
        f"{of}class {tested[most]!r} differs most: by {observed[most]:.1f} standard deviations of "
        "what chance does",
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The records of a class, those of the batch first.

    Attributes:
        kernel: float32 (n, n).
        first: records of the batch.
    """

    kernel: Floats
    first: int

    @property
    def second(self) -> int:
        """Rows of the reference."""
        return len(self.kernel) - self.first

    def statistic(self, weights: Floats) -> Floats:
        """The discrepancy of memberships, float32 (B,)."""
        return np.asarray(((weights @ self.kernel) * weights).sum(1))


def _drawn(parts: Sequence[_Part], rng: np.random.Generator, rows: int) -> Floats:
    """The statistic of each class where sides are drawn at random, float (rows, classes)."""
    return np.stack(
        [part.statistic(drawn_membership(rng, rows, part.first, part.second)) for part in parts], 1
    )


def _whitening(rows: Floats, label: Ints, classes: int) -> tuple[Floats, Floats]:
    """Class means (C, d) and the tied whitening map (d, d)."""
    means = group_means(rows, label, classes)
    least = 1e-9 * float(np.square(rows - rows.mean(0)).mean())
    return means, whitening(ledoit_wolf(rows - means[label]), least=least)[0].astype(np.float32)
