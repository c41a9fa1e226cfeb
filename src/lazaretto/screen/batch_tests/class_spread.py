"""Batch test: inside each class, is the scatter about the trusted mean the trusted one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import group_sums
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.screen.batch_tests.base import Outcome, membership, relabeled_p
from lazaretto.stats.multiple import holm

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.screen.batch_tests.base import Pair

SMALLEST_CLASS = 8
ROWS = 400
"""Rows of a class compared, of either side, at most."""


def class_spread(pair: Pair) -> Outcome:
    """Compares first and second whitened moments per class, Holm over the classes.

    A coordinated shift in a direction of little variance, too small to see in any one record,
    changes its class's whitened second moment. One half of the reference gives class means and the
    whitening, the other is compared with the batch, so that the two stay exchangeable. The
    statistic is the maximum mean discrepancy for the kernel ``(1 + x.y / d) ** 2``, whose features
    are mean and second moment; p-values by permutation.
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
    tested, p_values = [], []
    for number, name in enumerate(names):
        batch = pair.batch[label == number]
        reference = pair.reference[half:][known[half:] == number]
        if min(len(batch), len(reference)) >= SMALLEST_CLASS:
            both = np.concatenate([batch[:ROWS], reference[:ROWS]]) - means[number]
            tested.append(name)
            p_values.append(_compare(both @ map_.T, min(ROWS, len(batch)), pair))
    if not tested:
        return Outcome(1.0, "no class has enough records")
    adjusted = holm(p_values)
    lowest = min(range(len(tested)), key=lambda place: adjusted[place])
    return Outcome(
        adjusted[lowest], f"class {tested[lowest]!r} alone has p = {p_values[lowest]:.3g}"
    )


def _whitening(rows: Floats, label: Ints, classes: int) -> tuple[Floats, Floats]:
    """Class means (C, d) and the tied whitening map (d, d)."""
    counts = np.bincount(label, minlength=classes)
    means = np.tile(rows.mean(0), (classes, 1))
    seen = counts > 0
    means[seen] = group_sums(rows, label, classes)[seen] / counts[seen][:, None]
    least = 1e-9 * float(np.square(rows - rows.mean(0)).mean())
    return means, whitening(ledoit_wolf(rows - means[label]), least=least)[0].astype(np.float32)


def _compare(white: Floats, m: int, pair: Pair) -> float:
    n = len(white) - m
    kernel = np.square(1 + white @ white.T / white.shape[1])

    def statistic(weights: Floats) -> Floats:
        return np.asarray(((weights @ kernel) * weights).sum(1))

    return relabeled_p(
        float(statistic(membership(m, n))[0]),
        statistic,
        first=m,
        second=n,
        permutations=pair.permutations,
        seed=pair.seed,
    )
