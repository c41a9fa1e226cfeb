"""Where a record falls among the clusters of the reference."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from lazaretto.detect.arrays import group_sums, own_column, same_rows, squared_distances
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints, State
    from lazaretto.detect.base import Chunk, Split


class Clusters:
    """Three views of the nearest cluster, found by k-means or HDBSCAN on the reference.

    * *distance*: to its centre, over the root mean square distance of its own rows.
    * *thin*: minus the logarithm of its share of the reference.
    * *foreign*: minus the logarithm of the share of the record's class in it (with one pseudo-row
      spread over the classes); only with labels.

    Args:
        clusters: number for k-means; None takes the square root of half the rows, at most 256.
        method: ``kmeans`` or ``hdbscan`` (Campello et al., 2013), whose noise rows belong to no
            cluster and which finds the number by itself.
        smallest: fewest rows of an HDBSCAN cluster.
    """

    name: ClassVar[str] = "clusters"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5, 0.25, 0.5)

    def __init__(
        self,
        clusters: int | None = None,
        method: Literal["kmeans", "hdbscan"] = "kmeans",
        smallest: int = 10,
    ) -> None:
        if method not in ("kmeans", "hdbscan"):
            raise UsageError(
                f"screen.detectors.clusters.method: must be 'kmeans' or 'hdbscan', not {method!r}"
            )
        if clusters is not None and (not isinstance(clusters, int) or clusters < 1):
            raise UsageError(
                f"screen.detectors.clusters.clusters: must be a whole number from 1, "
                f"not {clusters!r}"
            )
        if not isinstance(smallest, int) or smallest < 2:
            raise UsageError(
                f"screen.detectors.clusters.smallest: must be a whole number from 2, "
                f"not {smallest!r}"
            )
        self.clusters, self.method, self.smallest = clusters, method, smallest
        self._classes: tuple[str, ...] = ()
        self._state: dict[str, State] = {}

    def fit(self, reference: Split) -> Self:
        """Finds the clusters."""
        rows = reference.rows.embedding
        offset = rows.mean(0, dtype=np.float64).astype(np.float32)
        centred = rows - offset
        member = self._members(centred, reference.seed)
        n_clusters = int(member.max()) + 1
        inside = member >= 0
        if n_clusters == 0:
            # HDBSCAN called everything noise: then the reference is one cluster.
            member, n_clusters = np.zeros_like(member), 1
            inside = np.ones(len(member), dtype=bool)
        counts = np.bincount(member[inside], minlength=n_clusters).astype(np.float64)
        kept, of = centred[inside].astype(np.float64), member[inside]
        centers = group_sums(kept, of, n_clusters) / counts[:, None]
        squared = np.square(kept - centers[of]).sum(1)
        radius = np.bincount(of, squared, minlength=n_clusters)
        # A cluster of one row has no radius of its own: it gets the usual one.
        overall = float(np.sqrt(squared.mean()))
        radius = np.maximum(np.sqrt((radius + overall**2) / (counts + 1)), 1e-12)
        share = counts / len(rows)
        table = np.empty((0, 0))
        label = reference.rows.label
        if label is not None:
            n_classes = len(reference.classes)
            pair = of * n_classes + label[inside]
            table = np.bincount(pair, minlength=n_clusters * n_classes).astype(np.float64)
            table = table.reshape(n_clusters, n_classes) + 1 / n_classes
            table /= (counts + 1)[:, None]
        state: dict[str, State] = {
            "offset": offset,
            "centers": centers.astype(np.float32),
            "radius": radius.astype(np.float32),
            "thin": -np.log(share).astype(np.float32),
            "foreign": -np.log(table).astype(np.float32),
        }
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n, 3): distance, thin, foreign; (n, 2) without labels."""
        near, far = self._nearest(chunk)
        views = [far, self._state["thin"][near]]
        if chunk.label is not None and self._state["foreign"].size:
            views.append(self._state["foreign"][near, chunk.label])
        return np.stack(views, 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """The nearest cluster, how far, how large, and how its labels agree."""
        near, far = self._nearest(chunk)
        share = np.exp(-self._state["thin"])[near].tolist()
        texts = [
            f"at {distance:.3g} times the radius of its nearest cluster, which holds {size:.1%} of "
            "the trusted records"
            for distance, size in zip(far.tolist(), share, strict=True)
        ]
        if chunk.label is None or not self._state["foreign"].size:
            return texts
        own = np.exp(-self._state["foreign"][near, chunk.label]).tolist()
        return [
            f"{text}, {mine:.1%} of them labelled {self._classes[given]!r}"
            for text, mine, given in zip(texts, own, chunk.label.tolist(), strict=True)
        ]

    def state(self) -> dict[str, State]:
        """Centres, radii and shares."""
        return dict(self._state)

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings them back."""
        self._classes = reference.classes
        self._state = state
        return self

    def _nearest(self, chunk: Chunk) -> tuple[Ints, Floats]:
        """Index of the nearest cluster in its own radii, and that distance, both (n,)."""
        if not self._state:
            raise UsageError("clusters: fit it before scoring")
        centred = chunk.embedding - self._state["offset"]
        distance = np.sqrt(squared_distances(centred, self._state["centers"]))
        far = distance / self._state["radius"]
        near = far.argmin(1)
        return near, own_column(far, near)

    def _members(self, rows: Floats, seed: int) -> Ints:
        """Cluster of each row, int64 (n,); -1 for noise."""
        if self.method == "hdbscan":
            from sklearn.cluster import HDBSCAN

            smallest = min(self.smallest, max(2, len(rows) // 2))
            found = HDBSCAN(min_cluster_size=smallest, copy=True).fit(rows).labels_
            return np.asarray(found, dtype=np.int64)
        from sklearn.cluster import KMeans

        wanted = self.clusters or min(256, ceil((len(rows) / 2) ** 0.5))
        distinct = same_rows(rows)[0]
        fitted = KMeans(min(wanted, distinct), n_init=1, random_state=seed).fit(rows)
        return np.asarray(np.unique(fitted.labels_, return_inverse=True)[1], dtype=np.int64)
