"""How few random cuts isolate a record from the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lazaretto.detect.arrays import own_column
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split


class IsolationForest:
    """The isolation forest's score (Liu, Ting and Zhou, 2008, equation 2).

    Fitted by scikit-learn; kept and scored as plain arrays, so that no pickle is ever loaded.

    Args:
        trees: number of trees.
        rows: rows that each tree sees.
    """

    name: ClassVar[str] = "isolation_forest"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5,)

    def __init__(self, trees: int = 100, rows: int = 256) -> None:
        for key, value in (("trees", trees), ("rows", rows)):
            if not isinstance(value, int) or value < 2:
                raise UsageError(
                    f"screen.detectors.isolation_forest.{key}: must be a whole number from 2, "
                    f"not {value!r}"
                )
        self.trees, self.rows = trees, rows
        self._state: dict[str, State] = {}

    def fit(self, reference: Split) -> Self:
        """Grows the trees."""
        from sklearn.ensemble import IsolationForest as Forest

        rows = reference.rows.embedding
        size = min(self.rows, len(rows))
        forest = Forest(n_estimators=self.trees, max_samples=size, random_state=reference.seed)
        forest.fit(rows)
        grown = [estimator.tree_ for estimator in forest.estimators_]
        width = max(tree.node_count for tree in grown)
        state = {
            "feature": np.zeros((len(grown), width), dtype=np.int64),
            "threshold": np.zeros((len(grown), width), dtype=np.float32),
            "left": np.zeros((len(grown), width), dtype=np.int64),
            "right": np.zeros((len(grown), width), dtype=np.int64),
            "path": np.zeros((len(grown), width), dtype=np.float32),
            "levels": np.array([max(tree.max_depth for tree in grown)], dtype=np.int64),
            "usual": _average_path(np.array([size])),
        }
        for number, tree in enumerate(grown):
            _copy(tree, number, state)
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n,), 0 to 1; about 0.5 is usual."""
        state = self._state
        if not state:
            raise UsageError("isolation_forest: fit it before scoring")
        total = np.zeros(len(chunk))
        for tree in range(state["feature"].shape[0]):
            node = np.zeros(len(chunk), dtype=np.int64)
            feature, threshold = state["feature"][tree], state["threshold"][tree]
            left, right = state["left"][tree], state["right"][tree]
            for _ in range(int(state["levels"][0])):
                value = own_column(chunk.embedding, feature[node])
                node = np.where(value <= threshold[node], left[node], right[node])
            total += state["path"][tree][node]
        mean = total / state["feature"].shape[0]
        score: Floats = np.exp2(-mean / float(state["usual"][0]))
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """The score in words."""
        return [
            f"isolation score {score:.3f} (0.5 is usual, 1 is the most isolated)"
            for score in self.score(chunk).tolist()
        ]

    def state(self) -> dict[str, State]:
        """The trees."""
        return dict(self._state)

    def restore(self, state: dict[str, State], reference: Split) -> Self:  # noqa: ARG002
        """Brings them back."""
        self._state = state
        return self


def _copy(tree: Any, number: int, state: dict[str, State]) -> None:
    """Writes one tree's arrays into row `number`; a leaf leads to itself."""
    n = tree.node_count
    leaf = tree.children_left < 0
    here = np.arange(n)
    depth = np.zeros(n)
    for node in here[~leaf]:  # parents come before their children
        depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1
    columns = {
        "feature": np.where(leaf, 0, tree.feature),
        "threshold": np.where(leaf, 0, tree.threshold),
        "left": np.where(leaf, here, tree.children_left),
        "right": np.where(leaf, here, tree.children_right),
        "path": depth + _average_path(tree.n_node_samples),
    }
    for key, values in columns.items():
        state[key][number, :n] = values


def _average_path(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Mean path of an unsuccessful search in a binary tree of this many rows (equation 1)."""
    n = np.asarray(rows, dtype=np.float64)
    large = np.maximum(n, 3.0)
    path = 2 * (np.log(large - 1) + np.euler_gamma) - 2 * (large - 1) / large
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, path))
