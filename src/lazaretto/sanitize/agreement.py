"""Agreement of far rows: do the furthest training rows of a class share a direction of their own?

Rows that are far out by nature lie in many directions, the same for training and trusted rows.
Poisons of one trigger share a direction that no trusted row has. This is measured by the witness
function between training and trusted rows (maximum mean discrepancy; Gretton et al. 2012, section
2.3). Its kernel is the cosine between two rows, as far as it is above chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side
    from lazaretto.sanitize.whitening import Whitening

FAR = 0.05
"""Share of a class's rows, both sides together, that are compared. Chosen, as `COSINE` is, on
networks trained on MNIST rows, classes and triggers that no benchmark has: there 0.1 recalls as
much, 0.02 and 0.03 a little less."""

COSINE = 0.25
"""Cosine from which two rows agree. Chance is ``d ** -0.5``: 0.09 for 128 features."""

LEAST, MOST = 40, 1000
"""Far rows of a class below which nothing is said, and that are compared at most."""

DEAD_BAND = 0.5
"""Agreement below this threshold (in noise standard deviations) is ignored; it also occurs by
chance. In classes drawn like their trusted rows, 0.9 to 1.0 % of rows have a conformal p-value of
at most 1 % by the bare scores, 1.1 to 1.3 % with all agreement, 1.0 to 1.1 % with the rest."""

MIN_CLASSES = 5
"""Classes below which none can be told from the others."""

_SHUFFLES = 200


class _Far(NamedTuple):
    """The furthest rows of one class, training rows first.

    Attributes:
        train: positions of the training rows.
        trusted: positions of the trusted rows.
        kernel: (k, k), how much each two agree; zero with itself.
        same_fold: bool (k, k).
        ratio: training rows of the class over trusted ones.
    """

    train: NDArray[np.int64]
    trusted: NDArray[np.int64]
    kernel: torch.Tensor
    same_fold: torch.Tensor
    ratio: float


def agreement(
    layer: LayerData,
    classes: range,
    white: Whitening,
    scores: tuple[NDArray[np.float32], NDArray[np.float32]],
    out: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> dict[int, float]:
    """Says how far the agreement of far training rows is beyond chance, and which rows agree.

    The witness of a far training row is how much other training rows agree with it, minus how much
    trusted rows do, as if both were equally many. The result of a class is its greatest witness, in
    standard deviations of what shuffling training and trusted rows gives. Clean classes do not have
    0, because training rows that were hard to learn agree a little. So compare classes with one
    another (`stand_out`).

    Of a row: its witness among the far rows of the *other* folds, in units of the noise of that
    many rows, beyond `DEAD_BAND`; 0 for rows that are not far.

    Args:
        layer: the rows of one layer, with trusted rows.
        classes: the block of classes.
        white: their whitening.
        scores: (n,) cross-fitted scores of the training rows that say which are far, and (m,) of
            the trusted ones.
        out: (n,) and (m,), to which the witness of the far rows is written.

    Returns:
        {class: standard deviations}, without the classes of which too few rows are far.
    """
    found = {}
    for c in classes:
        far = _far_rows(layer, c, (c - classes.start) * layer.folds, white, scores)
        if far is None:
            continue
        weight = far.kernel.new_full((len(far.kernel),), -far.ratio)
        weight[: len(far.train)] = 1.0
        others = far.kernel.masked_fill(far.same_fold, 0.0)
        noise = (1 + others @ weight.square()).sqrt()
        witness = ((others @ weight) / noise - DEAD_BAND).clamp(min=0).float().cpu().numpy()
        out[0][far.train], out[1][far.trusted] = np.split(witness, [len(far.train)])
        # Seeded by class, so that what is shuffled does not depend on the blocks of classes.
        found[c] = _beyond_chance(far, np.random.default_rng(c))
    return found


def stand_out(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-value of each value among the others, which are taken for normal (prediction interval).

    Args:
        values: (classes,), NaN where there is none.

    Returns:
        float64 (classes,); NaN where there is no value, or fewer than `MIN_CLASSES` in all.
    """
    from scipy.stats import t

    p = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < MIN_CLASSES:
        return p
    for c in known:
        others = values[known[known != c]]
        spread = max(float(others.std(ddof=1)) * np.sqrt(1 + 1 / len(others)), 1e-12)
        p[c] = t.sf((values[c] - others.mean()) / spread, len(others) - 1)
    return p


def _far_rows(
    layer: LayerData,
    label: int,
    group: int,
    white: Whitening,
    scores: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> _Far | None:
    if layer.trusted is None:
        return None
    sides = layer.train, layer.trusted
    members = [side.members(label, layer.folds) for side in sides]
    n, m = map(len, members)
    among = np.concatenate([s[rows] for s, rows in zip(scores, members, strict=True)])
    k = min(MOST, int(FAR * (n + m)))
    if k < LEAST or not n or not m or np.isnan(among).any():
        return None
    top = np.flatnonzero(among >= np.partition(among, -k)[-k])[:k]
    train, trusted = members[0][top[top < n]], members[1][top[top >= n] - n]
    rows = torch.cat(
        [
            _directions(layer, side, chosen, white, group)
            for side, chosen in zip(sides, (train, trusted), strict=True)
        ]
    )
    kernel = (rows @ rows.mT - COSINE).clamp(min=0).fill_diagonal_(0)
    fold = np.concatenate([sides[0].fold[train], sides[1].fold[trusted]])
    same = torch.from_numpy(fold[:, None] == fold).to(rows.device)
    return _Far(train, trusted, kernel, same, n / m)


def _directions(
    layer: LayerData, side: Side, rows: NDArray[np.int64], white: Whitening, group: int
) -> torch.Tensor:
    """Unit vectors (rows, d) in the white coordinates of each row's own fold."""
    x = layer.rows_at(side, rows)
    for fold in range(layer.folds):
        mine = torch.from_numpy(np.flatnonzero(side.fold[rows] == fold)).to(layer.device)
        x[mine] = (x[mine] - white.center[group + fold].to(x)) @ white.basis[group + fold].to(x)
    # First to one as the largest value: squares of a wild row overflow.
    x /= x.abs().amax(1, keepdim=True).clamp(min=1e-30)
    return torch.nn.functional.normalize(x, dim=1).nan_to_num(nan=0.0)


def _beyond_chance(far: _Far, rng: np.random.Generator) -> float:
    k = len(far.kernel)
    counts = rng.binomial(k, far.ratio / (1 + far.ratio), _SHUFFLES)
    shuffled = rng.random((_SHUFFLES, k)).argsort(1) < counts[:, None]
    seen = np.arange(k) < len(far.train)
    learned = torch.from_numpy(np.concatenate([seen[None], shuffled])).to(far.kernel.device)
    witness = torch.where(learned, 1.0, -far.ratio).to(far.kernel) @ far.kernel
    greatest = torch.where(learned, witness, -torch.inf).amax(1).double().cpu().numpy()
    chance = greatest[1:][np.isfinite(greatest[1:])]
    if not np.isfinite(greatest[0]) or len(chance) < 2:
        return 0.0
    return float((greatest[0] - chance.mean()) / max(float(chance.std(ddof=1)), 1e-6))
