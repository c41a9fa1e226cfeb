"""Batch test: another mix of labels than the reference's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen.batch_tests.base import FINER, Outcome, permutation_p

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.screen.batch_tests.base import Pair


def label_shift(pair: Pair) -> Outcome:
    """Chi-squared of the 2 by C table of labels, with its permutation p-value.

    Exact for any counts; the table's asymptotic distribution is not, with rare classes.
    """
    if pair.batch_label is None or pair.reference_label is None:
        return Outcome(1.0, "there are no labels")
    width = len(pair.classes)
    batch = np.bincount(pair.batch_label, minlength=width)
    total = batch + np.bincount(pair.reference_label, minlength=width)
    batch, total = batch[total > 0], total[total > 0]
    names = [name for name, count in zip(pair.classes, total, strict=False) if count]
    m = int(batch.sum())
    expected = m * total / total.sum()

    def statistic(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(((counts - expected) ** 2 / expected).sum(-1), dtype=np.float64)

    rng = np.random.default_rng(pair.seed)
    observed = float(statistic(batch))
    p_value = permutation_p(
        observed,
        lambda rows: statistic(rng.multivariate_hypergeometric(total, m, rows)),
        permutations=pair.permutations,
        slack=1e-12 * max(1.0, observed),
        finer=FINER,
    )
    worst = int(np.abs(batch - expected).argmax())
    return Outcome(
        p_value,
        f"{batch[worst]} records labelled {names[worst]!r}; "
        f"about {expected[worst]:.0f} are expected",
    )
