"""Without trusted rows: each class against what the other classes do. An estimate, not a promise.

Scores of a class are set against the pooled scores of the others, class by class in units of their
median. The class is read as a mixture (1 - e) F0 + e G of what other classes show, F0, and
something further out; e is estimated where the excess over F0 is largest against how much the
other classes differ among themselves. That replaces the poison rate which published methods ask
the user for. Natural sub-groups of a class are an excess too: that is why the outcome is not
calibrated, and bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.judge import ClassOutcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.judge import Evidence

FIRES_AT = 4.0
"""Excess, in robust standard deviations of the other classes, from which a class is suspect."""

BUDGET = 1.5
"""Rows taken per estimated poison (Tran et al. 2018), for the score does not separate perfectly."""

_SAMPLE = 2000
_TAILS = np.geomspace(0.5, 0.002, 25)


def judge_alone(
    evidence: list[Evidence], groups: list[NDArray[np.int64]], limit: float
) -> tuple[list[ClassOutcome], NDArray[np.bool_], NDArray[np.bool_]]:
    """Judges every class by the others.

    Args:
        evidence: of every method on every layer; only the training side is read.
        groups: positions of each class's rows.
        limit: largest share of all rows that may be held.

    Returns:
        outcomes, bool (classes,) which fired, and bool (n,) which rows to hold.
    """
    surprise = _fused(evidence, groups)
    n_classes = len(groups)
    tails = [_quantiles(surprise, groups, c) for c in range(n_classes)]
    outcomes, fired = [], np.zeros(n_classes, bool)
    held = np.zeros(len(surprise), bool)
    candidates = []
    for c, members in enumerate(groups):
        ratio, excess, share = _excess(surprise, groups, c, tails[c])
        fired[c] = excess >= FIRES_AT
        note = "no trusted rows: compared with the other classes"
        if fired[c]:
            count = int(min(np.ceil(BUDGET * share * len(members)), len(members) // 2))
            order = members[np.argsort(-surprise[members], kind="stable")]
            candidates.append(order[:count])
            note += f"; about {share:.1%} of the class stands apart"
        ranks = {"other classes": 1 - np.exp(-surprise[members])}
        unknown = np.full(len(members), np.nan)
        outcomes.append(
            ClassOutcome(
                0, ratio, None, None, evidence[0].name, surprise[members], unknown, ranks, note
            )
        )
    wanted = sum(len(rows) for rows in candidates)
    share = min(1.0, limit * len(surprise) / wanted) if wanted else 1.0
    for rows in candidates:
        # Each suspect class gives way alike: which of them is the poisoned one is not known.
        held[rows[: int(share * len(rows))]] = True
    return outcomes, fired, held


def _fused(evidence: list[Evidence], groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Largest ``-log`` rank among the rows of other classes, over the evidence."""
    fused = np.zeros(len(evidence[0].train))
    for item in evidence:
        scaled = np.full(len(item.train), np.nan)
        for members in groups:
            s = item.train[members].astype(np.float64)
            middle = np.median(s) if len(s) else 1.0
            scaled[members] = s / middle if middle > 0 else s
        for c, members in enumerate(groups):
            others = np.sort(_sample(scaled, groups, c))
            if not len(others) or not len(members):
                continue
            above = len(others) - np.searchsorted(others, scaled[members], side="left")
            own = -np.log((above + 1) / (len(others) + 1))
            # Beyond every other row only the order is kept.
            top = max(float(others[-1]), 1e-300)
            own += np.where(above == 0, np.log(np.maximum(scaled[members] / top, 1)), 0)
            np.maximum.at(fused, members, np.nan_to_num(own))
    return fused


def _sample(
    values: NDArray[np.float64], groups: list[NDArray[np.int64]], c: int
) -> NDArray[np.float64]:
    parts = [
        values[g[:: max(1, len(g) // _SAMPLE)]]
        for k, g in enumerate(groups)
        if (k != c or len(groups) == 1) and len(g)
    ]
    joined = np.concatenate(parts) if parts else np.zeros(0)
    return joined[np.isfinite(joined)]


def _quantiles(
    surprise: NDArray[np.float64], groups: list[NDArray[np.int64]], c: int
) -> NDArray[np.float64]:
    others = _sample(surprise, groups, c)
    return np.quantile(others, 1 - _TAILS) if len(others) else np.full(len(_TAILS), np.inf)


def _excess(
    surprise: NDArray[np.float64],
    groups: list[NDArray[np.int64]],
    c: int,
    cuts: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Ratio of tails, excess in standard deviations, and excess share, where it stands out most."""
    own = surprise[groups[c]]
    if not len(own):
        return 1.0, 0.0, 0.0
    mine = (own[:, None] > cuts).mean(0)
    others = np.array(
        [
            (surprise[g[:: max(1, len(g) // _SAMPLE)]][:, None] > cuts).mean(0)
            for k, g in enumerate(groups)
            if k != c and len(g)
        ]
    )
    if len(others) < 2:
        # With fewer than two other classes nothing says how much classes differ.
        return 1.0, 0.0, 0.0
    middle = np.median(others, 0)
    spread = 1.4826 * np.median(np.abs(others - middle), 0)
    noise = np.sqrt(spread**2 + np.maximum(middle, 1 / len(own)) * (1 - middle) / len(own))
    excess = (mine - middle) / np.maximum(noise, 1e-12)
    at = int(excess.argmax())
    ratio = float(mine[at] / max(middle[at], 1 / len(own)))
    return ratio, float(excess[at]), float(mine[at] - middle[at])
