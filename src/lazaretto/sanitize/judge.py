"""One class against its trusted rows: the class test, and p-values of its records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.evidence import class_test, conformal, surprise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.scores import Scores

MIN_TRUSTED = 8
"""Trusted rows of a class below which it is not judged against them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scores of one method on one layer.

    Attributes:
        name: ``method@layer``.
        scores: of all rows of both sides.
        dispersion: float64 (classes,), see `lazaretto.sanitize.evidence.dispersion`.
    """

    name: str
    scores: Scores
    dispersion: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """One class, before the decision over all classes.

    Attributes:
        n_trusted: trusted rows of the class.
        statistic: of the strongest evidence; 1 is what a clean class has.
        p_value: of the class test over all evidence; None when the class was not judged by trusted
            rows.
        threshold: the statistic at which the strongest evidence alone reaches the level.
        evidence: name of the strongest evidence.
        score: float64 (n,) of its records, higher = more anomalous.
        p_rows: float64 (n,) of its records, NaN when not calibrated.
        ranks: {evidence: float64 (n,)}, share of trusted rows that score lower.
        note: what the reader should know, or None.
    """

    n_trusted: int
    statistic: float
    p_value: float | None
    threshold: float | None
    evidence: str
    score: NDArray[np.float64]
    p_rows: NDArray[np.float64]
    ranks: dict[str, NDArray[np.float64]]
    note: str | None


def judge_class(
    evidence: list[Evidence],
    label: int,
    train: NDArray[np.bool_],
    trusted: NDArray[np.bool_],
    *,
    alpha: float,
    rate: float,
) -> ClassOutcome:
    """Judges one class with at least `MIN_TRUSTED` trusted rows.

    Evidence is combined before it is calibrated: a record's score is its largest surprise over
    methods and layers, and one conformal p-value is taken of that, so adding a method never adds
    held clean records. The class test takes the smallest p-value times the number of tests
    (Bonferroni).

    Args:
        evidence: of every method on every layer.
        label: class index.
        train: bool (n,), the class's rows on the training side.
        trusted: bool (m,), the class's rows on the trusted side.
        alpha: level of the class tests.
        rate: the stated rate, to tell whether the trusted rows can carry it.
    """
    count, m = len(evidence), int(trusted.sum())
    best = (1.0, 1.0, 1.0, evidence[0].name)
    ranks = {}
    suspects, cleans = [], []
    for item in evidence:
        s, t = item.scores.train[train], item.scores.trusted[trusted]
        spread = float(item.dispersion[label])
        ratio, p, threshold = class_test(s, t, spread, alpha / count)
        if p < best[1]:
            best = (ratio, p, threshold, item.name)
        suspects.append(surprise(s, t, spread))
        cleans.append(surprise(t, t, spread))
        ranks[item.name] = 1 - conformal(s, t)
    suspect, clean = np.max(suspects, axis=0), np.max(cleans, axis=0)
    p_rows, note = conformal(suspect, clean), None
    if (m + 1) * rate < 1:
        # Ranks of m rows end at 1 / (m + 1); the modelled tail goes on from there.
        beyond = suspect > clean.max()
        p_rows = np.where(beyond, np.minimum(p_rows, count * np.exp(-suspect)), p_rows)
        note = (
            f"{m} trusted rows cannot carry a rate of {rate:g} by ranks alone; the tail is modelled"
        )
    ratio, p, threshold, name = best
    return ClassOutcome(
        m, ratio, min(1.0, p * count), threshold, name, suspect, p_rows, ranks, note
    )


def unjudged_class(evidence: list[Evidence], n: int, m: int) -> ClassOutcome:
    """A class that cannot be judged, with the reason."""
    note = (
        "no record" if n == 0 else f"{m} trusted rows; {MIN_TRUSTED} are needed to judge the class"
    )
    unknown = np.full(n, np.nan)
    ranks = {item.name: unknown for item in evidence}
    return ClassOutcome(m, 1.0, None, None, evidence[0].name, unknown, unknown, ranks, note)
