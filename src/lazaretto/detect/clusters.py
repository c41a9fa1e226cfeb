"""Where a record falls among the clusters of the reference."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

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
        self._state: dict[str, Tensor] = {}

    def fit(self, reference: Split) -> Self:
        """Finds the clusters."""
        rows = reference.rows.embedding
        offset = rows.double().mean(0).float()
        centred = rows - offset
        member = self._members(centred, reference.seed)
        n_clusters = int(member.max()) + 1
        inside = member >= 0
        if n_clusters == 0:
            # HDBSCAN called everything noise: then the reference is one cluster.
            member, n_clusters = torch.zeros_like(member), 1
            inside = torch.ones_like(member, dtype=torch.bool)
        counts = torch.bincount(member[inside], minlength=n_clusters).double()
        centers = torch.zeros(n_clusters, rows.shape[1], dtype=torch.float64)
        centers.index_add_(0, member[inside], centred[inside].double())
        centers /= counts.unsqueeze(1)
        squared = (centred[inside].double() - centers[member[inside]]).square().sum(1)
        radius = torch.zeros(n_clusters, dtype=torch.float64).index_add_(0, member[inside], squared)
        # A cluster of one row has no radius of its own: it gets the usual one.
        overall = float(squared.mean().sqrt())
        radius = ((radius + overall**2) / (counts + 1)).sqrt().clamp(min=1e-12)
        share = counts / len(rows)
        table = torch.empty(0, 0, dtype=torch.float64)
        label = reference.rows.label
        if label is not None:
            n_classes = len(reference.classes)
            pair = member[inside] * n_classes + label[inside]
            table = torch.bincount(pair, minlength=n_clusters * n_classes).double()
            table = (table.reshape(n_clusters, n_classes) + 1 / n_classes) / (counts + 1).unsqueeze(
                1
            )
        state = {
            "offset": offset,
            "centers": centers.float(),
            "radius": radius.float(),
            "thin": -share.log().float(),
            "foreign": -table.log().float(),
        }
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Tensor:
        """Float32 (n, 3): distance, thin, foreign; (n, 2) without labels."""
        near, far = self._nearest(chunk)
        views = [far, self._state["thin"][near]]
        if chunk.label is not None and self._state["foreign"].numel():
            views.append(self._state["foreign"][near, chunk.label])
        return torch.stack(views, 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """The nearest cluster, how far, how large, and how its labels agree."""
        near, far = self._nearest(chunk)
        share = torch.exp(-self._state["thin"])[near].tolist()
        texts = [
            f"at {distance:.3g} times the radius of its nearest cluster, which holds {size:.1%} of "
            "the trusted records"
            for distance, size in zip(far.tolist(), share, strict=True)
        ]
        if chunk.label is None or not self._state["foreign"].numel():
            return texts
        own = torch.exp(-self._state["foreign"][near, chunk.label]).tolist()
        return [
            f"{text}, {mine:.1%} of them labelled {self._classes[given]!r}"
            for text, mine, given in zip(texts, own, chunk.label.tolist(), strict=True)
        ]

    def state(self) -> dict[str, Tensor]:
        """Centres, radii and shares."""
        return dict(self._state)

    def restore(self, state: dict[str, Tensor], reference: Split) -> Self:
        """Brings them back."""
        self._classes = reference.classes
        self._state = state
        return self

    def _nearest(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Index of the nearest cluster in its own radii, and that distance, both (n,)."""
        if not self._state:
            raise UsageError("clusters: fit it before scoring")
        distance = torch.cdist(chunk.embedding - self._state["offset"], self._state["centers"])
        far, near = (distance / self._state["radius"]).min(1)
        return near, far

    def _members(self, rows: Tensor, seed: int) -> Tensor:
        """Cluster of each row, int64 (n,); -1 for noise."""
        if self.method == "hdbscan":
            from sklearn.cluster import HDBSCAN

            smallest = min(self.smallest, max(2, len(rows) // 2))
            found = HDBSCAN(min_cluster_size=smallest, copy=True).fit(rows.numpy()).labels_
            return torch.from_numpy(found).long()
        from sklearn.cluster import KMeans

        wanted = self.clusters or min(256, ceil((len(rows) / 2) ** 0.5))
        distinct = len(torch.unique(rows, dim=0))
        fitted = KMeans(min(wanted, distinct), n_init=1, random_state=seed).fit(rows.numpy())
        used = torch.from_numpy(fitted.labels_).long()
        numbered: Tensor = torch.unique(used, return_inverse=True)[1]
        return numbered
