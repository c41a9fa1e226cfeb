"""Without trusted rows: the rows that lie furthest out, and those where such rows gather.

Every method's scores are divided by the median of their class, and the rows of all classes are
ranked. A row's surprise is minus the log of the share of rows that are further out. The surprises
of methods that ask where a row lies are summed (Fisher's combination): a natural sub-group is far
by one of them, a poison more often by several. A method that splits classes in two sees what these
do not. So rows are taken in turn, from the list by the sum and from its own; the sum has as many
turns as it has methods. Where a method compares rows with other classes or identities, the rows of
a class with many far rows count as further out: clean outliers are spread over the classes, a
poison is not. Distances from the own class are ranked as they are, because tails of classes differ
by nature. How many rows are taken is read from the scores: those beyond the log-normal that fits
the bulk. Natural sub-groups lie there too. That is why the outcome is not calibrated, and is
bounded by the policy's limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lazaretto.sanitize.judge import ClassOutcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.judge import Evidence

FIRES_AT = 4.0
"""Excess of far rows, in robust standard deviations of the other classes, that is a finding."""

GATHERING = 2.0
"""Power to which the gathering of far rows in a class weighs against a row's own rank. Chosen on
models trained on synthetic glyphs and scikit-learn's digits."""

_PRIOR = 2.0
"""Far rows added to every class, found and expected: small classes gather by chance."""


class _Judged(NamedTuple):
    """One evidence.

    Attributes:
        own: float64 (n,), minus log of the share of rows that are further out.
        gathered: float64 (n,), what the gathering of far rows adds where the method compares.
        wanted: rows beyond the bulk.
        splits: whether the method splits classes.
    """

    own: NDArray[np.float64]
    gathered: NDArray[np.float64]
    wanted: int
    splits: bool


def judge_uncalibrated(
    evidence: list[Evidence], groups: list[NDArray[np.int64]], limit: float
) -> tuple[list[ClassOutcome], NDArray[np.bool_], NDArray[np.bool_]]:
    """Judges rows by one another.

    Args:
        evidence: of every method on every layer; only the training side is read.
        groups: positions of each class's rows.
        limit: largest share of all rows that may be held; never exceeded.

    Returns:
        outcomes, bool (classes,) which fired, and bool (n,) which rows to hold.
    """
    judged = [_judge(item, groups, limit) for item in evidence]
    own = _in_turn(judged, [j.own for j in judged])
    score = _in_turn(judged, [j.own + j.gathered for j in judged])
    n, most = len(score), int(limit * len(score))
    held = _place(score) < min(most, sum(j.wanted for j in judged))
    # Compared at the limit, whatever is held: classes are judged by the same share of all rows.
    far = _place(own) < most
    shares = np.array([far[g].mean() if len(g) else np.nan for g in groups])
    outcomes, fired = [], np.zeros(len(groups), bool)
    for c, members in enumerate(groups):
        ratio, excess = _excess(shares, c, len(members))
        fired[c] = excess >= FIRES_AT
        note = "no trusted rows: compared with the other classes"
        if fired[c]:
            note += f"; {shares[c]:.1%} of the class is among the furthest {limit:.1%} of all rows"
        best = max(range(len(judged)), key=lambda k: judged[k].own[members].max(initial=-np.inf))
        ranks = {"other rows": (1 - (_place(own)[members] + 1) / n).astype(np.float32)}
        names = (evidence[best].name,)
        outcomes.append(
            ClassOutcome(0, ratio, None, None, names, score[members], None, ranks, 0.0, note)
        )
    return outcomes, fired, held


def _judge(item: Evidence, groups: list[NDArray[np.int64]], limit: float) -> _Judged:
    """Surprises of one evidence over all rows, and where far rows gather if it compares."""
    raw = np.nan_to_num(item.train.astype(np.float64), nan=0.0)
    floor = max(np.median(raw), 1e-2 * np.quantile(raw, 0.99), 1e-12) if len(raw) else 1.0
    logs = np.zeros(len(raw))
    for members in groups:
        if len(members):
            middle = max(float(np.median(raw[members])), 0.1 * floor)
            logs[members] = np.log(np.maximum(raw[members], 1e-3 * floor) / middle)
    # Rows as far out as one another are as far as the last of them: nothing gathers by its order.
    reach = len(raw) - np.searchsorted(np.sort(logs), logs, side="left")
    own = -np.log(reach / max(len(raw), 1))
    top = reach <= int(limit * len(raw))
    gathered = np.zeros(len(raw))
    for members in groups if item.view != "own" else ():
        gathering = (top[members].sum() + _PRIOR) / (limit * len(members) + _PRIOR)
        gathered[members] = GATHERING * np.log(gathering)
    return _Judged(own, gathered, _beyond_bulk(logs), item.view == "split")


def _in_turn(judged: list[_Judged], surprises: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Scores (n,), higher is taken first: the sum of what does not split, and each that does."""
    both = list(zip(judged, surprises, strict=True))
    orders = [_place(s).astype(np.float64) for j, s in both if j.splits]
    summed = [s for j, s in both if not j.splits]
    if summed:
        orders.append(_place(np.sum(summed, axis=0)) / len(summed))
    turn: NDArray[np.float64] = -np.log1p(np.min(orders, axis=0))
    return turn


def _place(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of every row, 0 for the largest value; ties in order."""
    place = np.empty(len(values), np.int64)
    place[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return place


def _beyond_bulk(logs: NDArray[np.float64]) -> int:
    """Rows beyond what a normal through the median and the upper quartile leads one to expect."""
    from scipy.stats import norm

    n = len(logs)
    if not n:
        return 0
    middle, upper = np.quantile(logs, [0.5, 0.75])
    sigma = max(float(upper - middle) / float(norm.ppf(0.75)), 1e-9)
    far = np.sort(logs)[::-1][: max(1, n // 10)]
    excess = np.arange(1, len(far) + 1) - n * norm.sf((far - middle) / sigma)
    return max(0, int(excess.max()))


def _excess(shares: NDArray[np.float64], c: int, rows: int) -> tuple[float, float]:
    """Share of far rows over the other classes' median one, and how surely it is more."""
    others = np.delete(shares, c)
    others = others[np.isfinite(others)]
    if rows == 0 or len(others) < 2:
        # With fewer than two other classes nothing says how much classes differ.
        return 1.0, 0.0
    middle = float(np.median(others))
    spread = 1.4826 * float(np.median(np.abs(others - middle)))
    least = max(middle, 1 / rows)
    noise = np.sqrt(spread**2 + least * (1 - min(least, 1.0)) / rows)
    return float(shares[c] / least), float((shares[c] - middle) / max(float(noise), 1e-12))
