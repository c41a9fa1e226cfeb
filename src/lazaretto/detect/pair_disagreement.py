"""A response that trusted prompts like it do not get, or a preference that they do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.detect.nearest import checked_k
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.detect.parts import PREFERENCE, blocks, contents
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Split

RIDGE = 0.1
"""Regularisation of the maps, as a share of the prompts' mean variance times the rows."""
STEPS = 12
"""Newton steps of the preference probe; it is convex, and has converged long before."""


class PairDisagreement:
    """What trusted pairs say of a record's pair, in two or three views.

    * *answer*: how far the response lies from what a linear map, fitted on trusted pairs, makes of
      the prompt, in the spread of the trusted residuals.
    * *alike*: distance of the response to the nearest response of the k trusted prompts that are
      most like its own.
    * *preference* (prompt, chosen, rejected): minus the log-odds that a probe of trusted
      preferences gives the chosen text over the rejected one (Bradley and Terry, 1952): swapped
      preferences score high.

    Args:
        k: prompts that are compared, at least 1.

    Raises:
        UsageError: `k` out of range.
    """

    name: ClassVar[str] = "pair_disagreement"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (1.0, 0.75, 1.25)

    def __init__(self, k: int = 20) -> None:
        self.k = checked_k(self.name, k)
        self._state: dict[str, State] = {}
        self._index: NeighbourIndex | None = None
        self._answers: Floats | None = None

    def fit(self, reference: Split) -> Self:
        """Fits the map from prompts to responses, and the probe of preferences."""
        parts = [contents(block).astype(np.float64) for block in blocks(reference.rows.embedding)]
        prompt, answer = parts[0], parts[1]
        center = prompt.mean(0)
        design = np.column_stack([prompt - center, np.ones(len(prompt))])
        scale = max(float(np.square(prompt - center).mean()), 1e-12)
        gram = design.T @ design
        gram[np.diag_indices(len(center))] += RIDGE * scale * len(prompt)
        map_ = np.linalg.solve(gram, design.T @ answer)
        residual = answer - design @ map_
        spread = max(float(np.square(residual).mean()), 1e-12)
        white, _ = whitening(ledoit_wolf(residual), least=1e-6 * spread)
        state: dict[str, State] = {"center": center, "map": map_, "white": white}
        if len(parts) == PREFERENCE:
            state["probe"] = _probe(_differences(prompt, parts[1], parts[2]))
        return self.restore(state, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n, 2): answer, alike; (n, 3) with preference."""
        parts = [contents(block).astype(np.float64) for block in blocks(chunk.embedding)]
        state = self._fitted()
        design = np.column_stack([parts[0] - state["center"], np.ones(len(chunk))])
        residual = (parts[1] - design @ state["map"]) @ state["white"].T
        views = [np.square(residual).sum(1), self._alike(chunk, parts[1])]
        if "probe" in state:
            views.append(-_differences(*parts[:PREFERENCE]) @ state["probe"])
        return np.stack(views, 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """Which of the views speaks."""
        scores = self.score(chunk)
        said = []
        for row in scores.tolist():
            if len(row) == PREFERENCE and row[2] > 0:
                chance = 1 / (1 + float(np.exp(min(row[2], 50.0))))
                said.append(
                    f"trusted preferences give its chosen text {chance:.1%} over its rejected one"
                )
            else:
                said.append(
                    f"its response is not what trusted prompts like its own get (residual "
                    f"{row[0]:.3g}, distance {row[1]:.3g})"
                )
        return said

    def state(self) -> dict[str, State]:
        """Map, whitening and probe."""
        return dict(self._fitted())

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings them back; the index over prompts is made of the FIT split."""
        self._state = dict(state)
        parts = blocks(reference.rows.embedding)
        self._index = NeighbourIndex(np.ascontiguousarray(contents(parts[0]), dtype=np.float32))
        self._answers = contents(parts[1]).astype(np.float64)
        return self

    def _fitted(self) -> dict[str, State]:
        if not self._state:
            raise UsageError("pair_disagreement: fit it before scoring")
        return self._state

    def _alike(self, chunk: Chunk, answer: Floats) -> Floats:
        if self._index is None or self._answers is None:
            raise UsageError("pair_disagreement: fit it before scoring")
        prompts = np.ascontiguousarray(contents(blocks(chunk.embedding)[0]), dtype=np.float32)
        near = self._index.search(Chunk(prompts), self.k).row
        far: Floats = np.linalg.norm(self._answers[near] - answer[:, None, :], axis=2).min(1)
        return far


def _differences(prompt: Floats, chosen: Floats, rejected: Floats) -> Floats:
    """Chosen minus rejected, by itself and where it agrees with the prompt, (n, 2 w)."""
    between = chosen - rejected
    return np.column_stack([between, between * prompt])


def _probe(rows: Floats) -> Floats:
    """Weights of a logistic regression without intercept by which every row is positive.

    Swapping both texts of a pair turns every sign: so the negative class is the same rows, turned.
    """
    weight = np.zeros(rows.shape[1])
    penalty = RIDGE * max(float(np.square(rows).mean()), 1e-12) * len(rows) / 4
    for _ in range(STEPS):
        belief = 1 / (1 + np.exp(-np.clip(rows @ weight, -30, 30)))
        slope = rows.T @ (1 - belief) - penalty * weight
        curve = (rows * (belief * (1 - belief))[:, None]).T @ rows
        curve[np.diag_indices(len(weight))] += penalty + 1e-12
        step = np.linalg.solve(curve, slope)
        weight += step
        if float(np.abs(step).max()) < 1e-9 * max(1.0, float(np.abs(weight).max())):
            break
    return weight
