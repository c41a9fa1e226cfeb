"""Mahalanobis distances to the record's own class, to the whole reference, to other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from lazaretto.detect.arrays import group_means, own_column, without_own_column
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split

ROWS_PER_DIMENSION = 20
"""Rows per dimension that a class needs before it gets a covariance of its own."""

_BLOCK = 512
"""Rows that are whitened at a time: what is made of them stays in the cache next to the core."""
LEAST_WITHIN = 1e-9
"""Least variance inside a class, as a share of the reference's mean variance."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What scoring needs. C classes (1 without labels), d dimensions; K is C or 1 (tied).

    Attributes:
        center: (d,) mean of the reference.
        whiten: (K, d, d) whitening maps, applied as ``rows @ whiten.T``.
        logdet: (K,) log-determinants of the covariances.
        means: (C, d) class means, whitened by their class's map.
        between: (d, C) whitened spread of the class means, and
        shrink: (C, C) inverse of ``I + between.T @ between``, for Woodbury's identity.
    """

    center: Floats
    whiten: Floats
    logdet: Floats
    means: Floats
    between: Floats
    shrink: Floats


class Mahalanobis:
    """Three views of one fit, each in squared distances.

    * *own*: to the mean of the record's class (Lee et al., 2018, section 2.1). Sees what is far.
    * *relative*: own minus the distance to the background (Ren et al., 2021, equation 4).
    * *margin*: own minus the distance to the nearest other class. Sees flipped labels.

    Without labels only *own* is left, about the mean of the reference.

    Args:
        covariance: ``tied`` (one within-class covariance), ``class`` (one per class that has
            `ROWS_PER_DIMENSION` rows per dimension, tied for the rest) or ``auto``: ``class`` where
            every class has that many. Shrunk after Ledoit and Wolf.

    Raises:
        UsageError: another value.
    """

    name: ClassVar[str] = "mahalanobis"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5, 0.2, 1.0)

    def __init__(self, covariance: Literal["auto", "tied", "class"] = "auto") -> None:
        if covariance not in ("auto", "tied", "class"):
            raise UsageError(
                "screen.detectors.mahalanobis.covariance: must be 'auto', 'tied' or 'class', "
                f"not {covariance!r}"
            )
        self.covariance = covariance
        self._classes: tuple[str, ...] = ()
        self._fitted: _Fitted | None = None

    def fit(self, reference: Split) -> Self:
        """Fits class means and covariances."""
        rows = reference.rows.embedding.astype(np.float64)
        labelled = reference.rows.label is not None
        label = reference.rows.label
        if label is None:
            label = np.zeros(len(rows), dtype=np.int64)
        n_classes = len(reference.classes) if labelled else 1
        counts = np.bincount(label, minlength=n_classes)
        center = rows.mean(0)
        means = group_means(rows, label, n_classes)
        centred = rows - means[label]
        # Where no class has two rows, nothing is known of the scatter inside one.
        least = LEAST_WITHIN * float(np.square(rows - center).mean())
        tied = whitening(ledoit_wolf(centred), least=least)
        enough = counts >= ROWS_PER_DIMENSION * rows.shape[1]
        per_class = self.covariance == "class" or (self.covariance == "auto" and bool(enough.all()))
        if per_class and n_classes > 1:
            maps = [
                whitening(ledoit_wolf(centred[label == c]), least=least) if enough[c] else tied
                for c in range(n_classes)
            ]
        else:
            maps = [tied]
        whiten = np.stack([w for w, _ in maps])
        offsets = means - center
        spread = tied[0] @ (offsets * np.sqrt(counts / len(rows))[:, None]).T
        inner = np.eye(n_classes) + spread.T @ spread
        self._classes = reference.classes if labelled else ()
        self._fitted = _Fitted(
            center=center.astype(np.float32),
            whiten=whiten.astype(np.float32),
            logdet=np.array([logdet for _, logdet in maps]),
            means=(whiten @ offsets[:, :, None])[:, :, 0],
            between=spread,
            shrink=np.linalg.inv(inner),
        )
        return self

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n, 3): own, relative, margin; (n, 1) without labels."""
        distance, background = self._distances(chunk)
        if chunk.label is None or not self._classes:
            return distance
        own = own_column(distance, chunk.label)
        if len(self._classes) == 1:
            return np.stack([own, own - background], 1)
        others = without_own_column(distance, chunk.label, np.inf)
        return np.stack([own, own - background, own - others.min(1)], 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """Own distance, and which class is nearest."""
        distance, _ = self._distances(chunk)
        width = chunk.embedding.shape[1]
        if chunk.label is None or not self._classes:
            return [
                f"squared distance {own:.4g} from the reference ({width} is expected)"
                for own in distance[:, 0].tolist()
            ]
        own = own_column(distance, chunk.label).tolist()
        value, nearest = distance.min(1), distance.argmin(1)
        return [
            f"squared distance {mine:.4g} from its class {self._classes[given]!r} "
            f"({width} is expected)"
            + ("" if given == near else f"; class {self._classes[near]!r} is nearer ({best:.4g})")
            for mine, given, near, best in zip(
                own, chunk.label.tolist(), nearest.tolist(), value.tolist(), strict=True
            )
        ]

    def state(self) -> dict[str, State]:
        """The moments."""
        fitted = self._require()
        return {name: getattr(fitted, name) for name in _Fitted.__slots__}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings the moments back."""
        self._classes = reference.classes if reference.rows.label is not None else ()
        self._fitted = _Fitted(**state)
        return self

    def _require(self) -> _Fitted:
        if self._fitted is None:
            raise UsageError("mahalanobis: fit it before scoring")
        return self._fitted

    def _distances(self, chunk: Chunk) -> tuple[Floats, Floats]:
        """Squared distance to every class, (n, C), and to the background, (n,)."""
        fitted = self._require()
        classes = fitted.means.shape[0]
        distance, background = np.empty((len(chunk), classes)), np.empty(len(chunk))
        # All that a row needs of the whitened space, in one product.
        sides = np.concatenate([-2 * fitted.means.T, fitted.between], 1)
        lengths = np.square(fitted.means).sum(1)
        for start in range(0, len(chunk), _BLOCK):
            part = slice(start, start + _BLOCK)
            centred = chunk.embedding[part] - fitted.center
            # Differences of large distances: float32 would leave a record other digits in each
            # batch.
            whitened = (centred @ fitted.whiten[0].T).astype(np.float64)
            products = whitened @ sides
            length = np.einsum("ij,ij->i", whitened, whitened)
            # Background covariance = tied + between classes: no second map is needed for it.
            along = products[:, classes:]
            background[part] = length - ((along @ fitted.shrink) * along).sum(1)
            if fitted.whiten.shape[0] == 1:
                near = products[:, :classes] + length[:, None] + lengths
                np.maximum(near, 0, out=distance[part])
            else:
                distance[part] = _by_own_map(centred, fitted)
        return distance, background


def _by_own_map(centred: Floats, fitted: _Fitted) -> Floats:
    """Squared distances (n, C), each in its own class's whitened space."""
    columns = []
    for map_, mean, logdet in zip(fitted.whiten, fitted.means, fitted.logdet, strict=True):
        own = (centred @ map_.T).astype(np.float64) - mean
        columns.append(np.einsum("ij,ij->i", own, own) + (logdet - fitted.logdet.min()))
    return np.stack(columns, 1)
