"""One class against its trusted rows: the class test, and p-values of its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.evidence import class_test, combine, surprise
from lazaretto.stats.conformal import conformal_p_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.evidence import TailTest
    from lazaretto.sanitize.scores import View

MIN_TRUSTED = 8
"""Trusted rows of a class below which it is not judged against them."""

JOINS_AT = 0.01
"""p-value (times the number of evidence) from which evidence joins the strongest of its class."""

TOLD_AT = 0.1
"""p-value of the agreement of far rows from which the class's note tells of it."""

MOST_JOINED = 3
"""Evidence by which records of one class are searched at most: each one more dulls the others."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scores of one method on one layer, ready to be judged class by class.

    Attributes:
        name: ``method@layer``.
        train: float32 (n,), higher = more anomalous.
        trusted: float32 (m,); empty without a reference.
        spread: float64 (classes,), dispersion of a single trusted score.
        tested_train: float32 (n,), whose class mean is tested; None: only the tail is.
        tested_trusted: float32 (m,).
        tested_spread: float64 (classes,), dispersion of ``tested_trusted``.
        tail: the tail test of every class; None without a reference.
        agreement: float64 (classes,), p-value of the agreement of each class's far rows, NaN where
            nothing is said; None where the method says nothing of it.
        view: what rows are compared with, see `Scores`.
        detail: {class index: what the method adds about the class}.
    """

    name: str
    train: NDArray[np.float32]
    trusted: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    spread: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    tested_train: NDArray[np.float32] | None = None
    tested_trusted: NDArray[np.float32] | None = None
    tested_spread: NDArray[np.float64] | None = None
    tail: TailTest | None = None
    agreement: NDArray[np.float64] | None = None
    view: View = "own"
    detail: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """One class, before the decision over all classes.

    Attributes:
        n_trusted: trusted rows of the class.
        statistic: of the strongest evidence: mean score over that of trusted rows; 1 is what a
            clean class has.
        p_value: of the class test over all evidence; None when the class was not judged by trusted
            rows.
        threshold: the statistic at which the strongest evidence alone reaches the level; None where
            its mean is not tested.
        searched_by: names of the evidence that the class stands out by, the strongest first.
        score: float64 (n,) of its records, higher = more anomalous: by the evidence that says most.
        p_rows: float64 (n,), conformal p-values of the scores among those of the class's trusted
            rows; None when not calibrated.
        ranks: {what is ranked: float32 (n,)}, share of the rows compared with that score lower.
        excess: records that lie further out than expected, by the tail test of the evidence that
            the class is searched by.
        note: what the reader should know, or None.
    """

    n_trusted: int
    statistic: float
    p_value: float | None
    threshold: float | None
    searched_by: tuple[str, ...]
    score: NDArray[np.float64]
    p_rows: NDArray[np.float64] | None
    ranks: dict[str, NDArray[np.float32]]
    excess: float
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

    Every evidence tests the class by its tail; where the method says so, also by its mean (of
    bounded scores) and by the agreement of its far rows. The class's p-value combines them all. Its
    records are ranked only by the evidence that the class stands out by. If several methods flag
    the class, each record takes its highest score. Trusted rows are scored the same way, so extra
    methods do not raise the false-hold rate, however they depend on one another.

    Args:
        evidence: of every method on every layer.
        label: class index.
        train: positions of the class's rows on the training side.
        trusted: positions on the trusted side.
        alpha: level at which the threshold is stated.
        rate: the stated rate, to tell whether there are enough trusted rows for it.
    """
    m = len(trusted)
    tests, own, means, ranks = [], [], [], {}
    surprises, clean = [], []
    for item in evidence:
        s, t = item.train[train], item.trusted[trusted]
        spread = float(item.spread[label])
        surprises.append(surprise(s, t, spread))
        clean.append(surprise(t, t, spread))
        ranks[item.name] = (1 - conformal_p_values([s], [t])).astype(np.float32)
        mean, tail = _mean_test(item, label, train, trusted, alpha / len(evidence)), item.tail
        mine = [mean[1]] * (mean[2] is not None)
        mine += [] if tail is None else [float(tail.p_value[label])]
        if item.agreement is not None and np.isfinite(item.agreement[label]):
            mine.append(float(item.agreement[label]))
        tests += mine
        own.append(float(combine(np.array(mine)[:, None])[0]))
        means.append(mean)
    order = np.argsort(own, kind="stable")[:MOST_JOINED].tolist()
    joined = [order[0], *(k for k in order[1:] if own[k] * len(evidence) <= JOINS_AT)]
    score = np.max([surprises[k] for k in joined], axis=0)
    among = np.max([clean[k] for k in joined], axis=0)
    p_rows = conformal_p_values([score], [among])
    ratio, _, threshold = means[order[0]]
    notes = [_beyond(evidence[order[0]], label), _agrees(evidence[order[0]], label)]
    if (m + 1) * rate < 1:
        # Ranks of m rows end at 1 / (m + 1).
        p_rows = np.where(score > among.max(), np.minimum(p_rows, np.exp(-score)), p_rows)
        notes.append(
            f"{m} trusted rows are too few for a rate of {rate:g} by ranks; their tail is modelled"
        )
    return ClassOutcome(
        m,
        ratio,
        float(combine(np.array(tests)[:, None])[0]),
        threshold,
        tuple(evidence[k].name for k in joined),
        score,
        p_rows,
        ranks,
        max(_excess(evidence[k].tail, label) for k in joined),
        "; ".join(note for note in notes if note) or None,
    )


def _mean_test(
    item: Evidence,
    label: int,
    train: NDArray[np.int64],
    trusted: NDArray[np.int64],
    alpha: float,
) -> tuple[float, float, float | None]:
    """Ratio of means, p-value and critical ratio; only the ratio where no mean is tested.

    Memory of training rows moves the mean of unbounded scores far more than a poison does.
    """
    if item.tested_train is None or item.tested_trusted is None or item.tested_spread is None:
        s, t = item.train[train].astype(np.float64), item.trusted[trusted].astype(np.float64)
        return float(s.mean() / t.mean()) if t.mean() > 0 else 1.0, 1.0, None
    tested = item.tested_train[train], item.tested_trusted[trusted]
    return class_test(*tested, float(item.tested_spread[label]), alpha)


def _excess(tail: TailTest | None, label: int) -> float:
    return 0.0 if tail is None else max(0.0, float(tail.seen[label] - tail.expected[label]))


def _beyond(item: Evidence, label: int) -> str | None:
    tail = item.tail
    if tail is None or tail.seen[label] <= tail.expected[label]:
        return None
    return (
        f"{item.name}: {tail.seen[label]:.0f} rows lie further out than "
        f"{100 * (1 - tail.level[label]):.4g} % of all trusted rows, "
        f"{tail.expected[label]:.1f} are expected"
    )


def _agrees(item: Evidence, label: int) -> str | None:
    if item.agreement is None or not item.agreement[label] <= TOLD_AT:
        return None
    return (
        f"{item.name}: the furthest rows of the class share a direction that trusted rows do not "
        f"show, more than in other classes (p = {item.agreement[label]:.2g})"
    )


def unjudged_class(n: int, m: int) -> ClassOutcome:
    """A class that cannot be judged, with the reason."""
    note = (
        "no record" if n == 0 else f"{m} trusted rows; {MIN_TRUSTED} are needed to judge the class"
    )
    return ClassOutcome(m, 1.0, None, None, (), np.full(n, np.nan), None, {}, 0.0, note)
