"""What each record did to predictions: gradient dot products, and last-layer influence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.attribution.probe import residuals, softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

INFLUENCE_DAMPING = 0.01
_MOST_STEPS = 200


def traced(
    checkpoints: Sequence[Floats],
    inputs: Floats,
    labels: Ints,
    queries: Floats,
    predicted: Ints,
) -> Floats:
    """Gradient dot products of records and predictions, averaged over checkpoints: (n, m).

    After Pruthi et al. (2020), section 3. A probe's gradient of a record is the outer product of
    residual and inputs, so the dot product of two is that of the residuals times that of the
    inputs. It is positive where a step on the record made the predicted class more likely.

    Args:
        checkpoints: weights of the probe.
        inputs: (n, d) of the records.
        labels: (n,) given labels.
        queries: (m, d) of the predictions.
        predicted: (m,) the classes that the model gave.
    """
    found = np.zeros((len(inputs), len(queries)))
    for weights in checkpoints:
        found += residuals(weights, inputs, labels) @ residuals(weights, queries, predicted).T
    return np.asarray(found * (inputs @ queries.T) / len(checkpoints))


def influence(
    weights: Floats,
    inputs: Floats,
    labels: Ints,
    sample_weights: Floats,
    queries: Floats,
    predicted: Ints,
    *,
    damping: float = INFLUENCE_DAMPING,
) -> Floats:
    """How much the mean loss of the predictions would rise without each record, (n,).

    After Koh and Liang (2017), equation 2, for the probe's weights: the gradient of the
    predictions goes through the inverse of the damped Hessian, by conjugate gradients.

    Args:
        weights: (classes, d) of the trained probe.
        inputs: (n, d) of the records.
        labels: (n,) given labels.
        sample_weights: (n,) of the records.
        queries: (m, d) of the predictions.
        predicted: (m,) the classes that the model gave.
        damping: added to the Hessian's diagonal; where the probe has a ridge, at least that.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    share = sample_weights / sample_weights.sum()
    chances = softmax(inputs @ weights.T)

    def times_hessian(flat: Floats) -> Floats:
        logits = inputs @ flat.reshape(weights.shape).T
        moved = chances * (logits - (chances * logits).sum(1, keepdims=True))
        product = (moved * share[:, None]).T @ inputs
        return np.asarray(product.ravel() + damping * flat.ravel())

    slope = residuals(weights, queries, predicted).T @ queries / len(queries)
    operator = LinearOperator((weights.size, weights.size), times_hessian, dtype=np.float64)
    solution, _ = cg(operator, slope.ravel(), rtol=1e-8, maxiter=_MOST_STEPS)
    through = inputs @ solution.reshape(weights.shape).T
    return np.asarray((residuals(weights, inputs, labels) * through).sum(1) * share)
