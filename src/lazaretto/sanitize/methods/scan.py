"""Two sub-populations in a class that varies like all others: SCAn.

Tang, Wang, Tang, Zhang (2021), "Demon in the variant: statistical analysis of DNNs for robust
backdoor contamination detection". Rows are class identity plus a variation that all classes share;
a class that is far better explained by two identities than by one is suspect. The paper's anomaly
index compares classes by their median absolute deviation and means nothing for a handful, so fewer
than six are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lazaretto.sanitize.linalg.krylov import leading, same_way
from lazaretto.sanitize.robust import clean_whitenings
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData

MIN_CLASSES = 6
_STEPS = 30


def scan(layer: LayerData) -> Scores:
    """Scores every row by the log-likelihood ratio of the smaller against the larger identity.

    Returns:
        Scores (softplus of the ratio, so non-negative); ``detail`` has each class's anomaly index.
    """
    train, trusted = layer.empty_scores()
    present = int((layer.train.counts(layer.folds).sum(1) > 0).sum())
    if present < MIN_CLASSES:
        reason = f"scan compares classes and needs {MIN_CLASSES} of them, not {present}"
        return Scores(train, trusted, skipped=reason)
    gains = np.full(layer.n_classes, np.nan)
    for classes, white, _, _ in clean_whitenings(layer):
        for c in classes:
            gain = []
            rows = layer.rows(layer.train, c)
            folds = layer.train.fold[layer.train.members(c, layer.folds)]
            for fold in range(layer.folds):
                g = (c - classes.start) * layer.folds + fold
                fit = rows[np.flatnonzero((folds != fold) | (layer.folds == 1))]
                if len(fit) < 4 or not bool(white.known[g]):
                    continue
                center = white.center[g].to(layer.dtype)
                split = two_identities((fit - center) @ white.basis[g])
                gain.append(split.gain)
                for side, out in ((layer.train, train), (layer.trusted, trusted)):
                    if side is None or out is None:
                        continue
                    members = side.members(c, layer.folds)
                    mine = np.flatnonzero(side.fold[members] == fold)
                    z = (layer.rows(side, c)[mine] - center) @ white.basis[g]
                    ratio = torch.nn.functional.softplus(z @ split.axis + split.offset)
                    out[members[mine]] = ratio.float().cpu().numpy()
            gains[c] = np.mean(gain) if gain else np.nan
    return Scores(train, trusted, view="split", detail=_indices(gains))


class Split(NamedTuple):
    """Two identities of unit covariance: ``rows @ axis + offset`` is the log-likelihood ratio.

    Attributes:
        axis: (d,).
        offset: scalar.
        gain: mean gain in twice the log-likelihood over one identity, per row.
    """

    axis: torch.Tensor
    offset: torch.Tensor
    gain: float


def two_identities(rows: torch.Tensor) -> Split:
    """Fits two unit-covariance identities to whitened rows (n, d) by expectation maximisation.

    Returns:
        axis (d,) and offset of the log-likelihood ratio of the smaller identity, and the mean gain
        in twice the log-likelihood over one identity, per row.
    """
    n = len(rows)
    center = rows.mean(0)
    x = rows - center
    score = x @ same_way(leading((x.T @ x).double()[None]).vector)[0].to(x.dtype)
    best: Split | None = None
    for quantile in (0.5, 0.9, 0.1):
        share = (score > score.double().quantile(quantile).to(score.dtype)).to(x.dtype)
        for _ in range(_STEPS):
            size = share.sum().clamp(1e-3, n - 1e-3)
            second = (share @ x) / size
            first = -(share @ x) / (n - size)
            axis = second - first
            offset = (first @ first - second @ second) / 2 + torch.log(size / (n - size))
            fresh = torch.sigmoid(x @ axis + offset)
            if bool((fresh - share).abs().max() < 1e-4):
                break
            share = fresh
        ratio = x @ axis + offset
        # log of the mixture density over the single one, at each row
        single = x @ first - first @ first / 2 + torch.log1p(-size / n)
        gain = float(2 * (single + torch.nn.functional.softplus(ratio)).mean())
        if best is None or gain > best.gain:
            sign = -1.0 if float(size) > n / 2 else 1.0
            best = Split(sign * axis, sign * (offset - center @ axis), gain)
    if best is None:
        message = "no start"
        raise ValueError(message)
    return best


def _indices(gains: NDArray[np.float64]) -> dict[int, str]:
    known = gains[np.isfinite(gains)]
    median = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - median))
    return {
        c: f"scan: anomaly index {abs(g - median) / max(spread, 1e-30):.1f}"
        for c, g in enumerate(gains)
        if np.isfinite(g)
    }
