"""One class against its trusted rows: the class test, and p-values of its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.evidence import class_test, conformal, surprise

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_TRUSTED = 8
"""Trusted rows of a class below which it is not judged against them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scores of one method on one layer, ready to be judged class by class.

    Attributes:
        name: ``method@layer``.
        train: float32 (n,), higher = more anomalous.
        trusted: float32 (m,); empty without a reference.
        tail: float64 (classes,), dispersion of a single trusted score.
        tested_train: float32 (n,), whose class mean is tested; None: the mean surprise is.
        tested_trusted: float32 (m,).
        tested_tail: float64 (classes,), dispersion of ``tested_trusted``.
        tail_p: float64 (classes,), p-values of the tail test.
        detail: {class index: what the method adds about the class}.
    """

    name: str
    train: NDArray[np.float32]
    trusted: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    tail: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    tested_tail: NDArray[np.float64] | None = None
    tail_p: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    detail: dict[int, str] = field(default_factory=dict)


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
    train: NDArray[np.int64],
    trusted: NDArray[np.int64],
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
        train: positions of the class's rows on the training side.
        trusted: positions on the trusted side.
        alpha: level of the class tests.
        rate: the stated rate, to tell whether the trusted rows can carry it.
    """
    m = len(trusted)
    suspects, cleans, tests, ranks = [], [], [], {}
    for item in evidence:
        s, t = item.train[train], item.trusted[trusted]
        tail = float(item.tail[label])
        suspects.append(surprise(s, t, tail))
        cleans.append(surprise(t, t, tail))
        ranks[item.name] = 1 - conformal(s, t)
        ratio, p, threshold = _test(item, label, train, trusted, alpha / len(evidence) / 2)
        tests.append((ratio, 2 * min(p, float(item.tail_p[label])), threshold, item.name))
    ratio, p, threshold, name = min(tests, key=lambda test: test[1])
    suspect, clean = np.max(suspects, axis=0), np.max(cleans, axis=0)
    p_rows, note = conformal(suspect, clean), None
    if (m + 1) * rate < 1:
        # Ranks of m rows end at 1 / (m + 1); the modelled tail goes on from there.
        beyond = suspect > clean.max()
        modelled = np.minimum(p_rows, len(evidence) * np.exp(-suspect))
        p_rows = np.where(beyond, modelled, p_rows)
        note = f"{m} trusted rows cannot carry a rate of {rate:g} by ranks; the tail is modelled"
    p = min(1.0, p * len(evidence))
    return ClassOutcome(m, ratio, p, threshold, name, suspect, p_rows, ranks, note)


def _test(
    item: Evidence,
    label: int,
    train: NDArray[np.int64],
    trusted: NDArray[np.int64],
    alpha: float,
) -> tuple[float, float, float]:
    if item.tested_train is None or item.tested_trusted is None or item.tested_tail is None:
        s, t = item.train[train], item.trusted[trusted]
        tail = float(item.tail[label])
        a, b = surprise(s, t, tail), surprise(t, t, tail)
        return class_test(a, b, max(1.0, float(b.var() / b.mean() ** 2)), alpha)
    tested = item.tested_train[train], item.tested_trusted[trusted]
    return class_test(*tested, float(item.tested_tail[label]), alpha)


def unjudged_class(evidence: list[Evidence], n: int, m: int) -> ClassOutcome:
    """A class that cannot be judged, with the reason."""
    note = (
        "no record" if n == 0 else f"{m} trusted rows; {MIN_TRUSTED} are needed to judge the class"
    )
    unknown = np.full(n, np.nan)
    ranks = {item.name: unknown for item in evidence}
    return ClassOutcome(m, 1.0, None, None, evidence[0].name, unknown, unknown, ranks, note)
