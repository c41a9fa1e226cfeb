"""Leading directions of classes with fewer rows than features, from the products between rows.

Such a class has a smaller matrix of products between its rows (n, n) than of products between its
features (d, d), with the same eigenvalues but zeros. All folds share one: a fold's is what is left
without the fold's rows, about the mean of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lazaretto.sanitize.linalg.krylov import STEPS, Top, extremes, lanczos, start
from lazaretto.sanitize.linalg.triangular import row_products
from lazaretto.sanitize.streaming import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side

_BATCH_BYTES = {"cpu": 8 * 2**20, "cuda": 2**31}
"""Of what is computed of a batch of classes at once."""

_MIDDLE_OF = 15
_ALIKE = 0.8
"""Rows of the smallest class of a batch over those of the largest, at least."""


class _Batch(NamedTuple):
    """Rows of a few classes of about the same size.

    Attributes:
        labels: of the B classes.
        positions: int64 (B, m), the rows of each class; its first row again where it has no more.
        real: bool (B, m), which of them there are.
    """

    labels: NDArray[np.int64]
    positions: NDArray[np.int64]
    real: NDArray[np.bool_]


def has_few_rows(layer: LayerData) -> NDArray[np.bool_]:
    """Whether each class has training rows, but fewer than there are features."""
    sizes = layer.train.counts(layer.folds).sum(1)
    few: NDArray[np.bool_] = (sizes > 0) & (sizes < layer.width)
    return few


def score_few_rows(
    layer: LayerData,
    labels: NDArray[np.int64],
    train: NDArray[np.float32],
    trusted: NDArray[np.float32] | None,
) -> None:
    """Writes the spectral scores of the rows of some classes, see `spectral`.

    Args:
        layer: the rows of one layer.
        labels: the classes; each has training rows.
        train: (n,) of the training rows.
        trusted: (m,) of the trusted rows, where there are any.
    """
    batches = list(_batches(layer, layer.train, labels))
    parts = [batch.positions.ravel() for batch in batches]
    for batch, rows in zip(batches, gathered(layer, layer.train, parts), strict=True):
        x = rows.view(*batch.positions.shape, -1)
        shift = x[:, :_MIDDLE_OF].median(1, keepdim=True).values
        real = torch.from_numpy(batch.real).to(layer.device)
        x = x.sub_(shift).mul_(real[:, :, None])
        fold = torch.from_numpy(layer.train.fold[batch.positions]).to(layer.device)
        fit = real[:, None] & _others(layer, fold)
        count = fit.sum(2)
        products = row_products(x)
        top = _leading(products, fit.to(x.dtype), count)
        along = top.vector @ products
        middle = (along * fit).sum(2) / count
        # Of float64, and NaN where nothing was fitted.
        scale = count.double().sqrt() / top.value.double().clamp(min=1e-300)
        scale = torch.where(count > 0, scale, torch.nan)
        score = _squares(along, middle, scale, fold)
        train[batch.positions[batch.real]] = score[batch.real]
        if layer.trusted is not None and trusted is not None:
            direction = top.vector @ x
            for c, one in enumerate(batch.labels):
                mine = layer.trusted.members(int(one), layer.folds)
                clean = layer.rows_at(layer.trusted, mine).sub_(shift[c])
                fold = torch.from_numpy(layer.trusted.fold[mine]).to(layer.device)
                part = slice(c, c + 1)
                along = (direction[c] @ clean.mT)[None]
                trusted[mine] = _squares(along, middle[part], scale[part], fold[None])[0]


def _batches(layer: LayerData, side: Side, labels: NDArray[np.int64]) -> Iterator[_Batch]:
    sizes = side.counts(layer.folds).sum(1)[labels]
    order = np.argsort(sizes, kind="stable")[::-1]
    budget = _BATCH_BYTES.get(layer.device.type, 2**26)
    begin = 0
    while begin < len(order):
        m = int(sizes[order[begin]])
        each = layer.dtype.itemsize * m * (layer.width + m + layer.folds * (STEPS + 4))
        end = min(begin + max(1, budget // each), len(order))
        end = begin + int((sizes[order[begin:end]] >= _ALIKE * m).sum())
        chosen = labels[order[begin:end]]
        members = [side.members(int(c), layer.folds) for c in chosen]
        real = np.arange(m) < np.array([len(mine) for mine in members])[:, None]
        positions = np.repeat([mine[0] for mine in members], m).reshape(-1, m)
        positions[real] = np.concatenate(members)
        yield _Batch(chosen, positions, real)
        begin = end


def _others(layer: LayerData, fold: torch.Tensor) -> torch.Tensor:
    """Which rows (B, folds, m) each fold may be fitted on."""
    every = torch.arange(layer.folds, device=fold.device)[:, None]
    return (fold[:, None] != every) | (layer.folds == 1)


def _leading(products: torch.Tensor, fit: torch.Tensor, count: torch.Tensor) -> Top:
    """Leading eigenpairs (B, folds) of the centred products between rows that are fitted on."""
    size = count.clamp(min=1)[:, :, None]

    def centred(v: torch.Tensor) -> torch.Tensor:
        v = v * fit
        return (v - v.sum(2, keepdim=True) / size) * fit

    m = products.shape[-1]
    if m <= STEPS:
        middles = fit[:, :, :, None] * (torch.eye(m).to(fit) - fit[:, :, None] / size[:, :, None])
        top = extremes(middles @ products[:, None] @ middles.mT)
        return Top(top.value, centred(top.vector), top.lowest)
    v = centred(start(m, products).expand_as(fit))
    v = v / torch.linalg.vector_norm(v, dim=2, keepdim=True).clamp(min=1e-30)

    def multiply(v: torch.Tensor) -> torch.Tensor:
        return centred(v[:, :, 0] @ products)[:, :, None]

    top = lanczos(multiply, v[:, :, None])
    return Top(top.value, centred(top.vector), top.lowest)


def _squares(
    along: torch.Tensor, middle: torch.Tensor, scale: torch.Tensor, fold: torch.Tensor
) -> NDArray[np.float32]:
    """Scores (B, m) of rows by what their own fold's direction (B, folds) says."""
    own = along.gather(1, fold[:, None])[:, 0].double()
    score = ((own - middle.double().gather(1, fold)) * scale.gather(1, fold)).square()
    return score.float().cpu().numpy()
