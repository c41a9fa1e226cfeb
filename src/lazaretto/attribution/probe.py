"""The short probe: a linear softmax classifier on captured features, with its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

DAMPING = 0.05
"""Share of the mean variance that is added to every direction before features are whitened."""
STEPS = 30
CHECKPOINTS = 10
RIDGE = 1e-3
"""Of the probe's weights, in a loss that is a mean over records."""


class Whitening(NamedTuple):
    """Features with about the same variance in all directions, and a constant one for the bias.

    Without it a few directions that tell the classes apart hide the one that a trigger uses.
    """

    mean: Floats
    directions: Floats

    def __call__(self, features: Floats) -> Floats:
        """(n, d) features as (n, r + 1) inputs of the probe."""
        white = (features - self.mean) @ self.directions
        return np.hstack([white, np.ones((len(white), 1))])


def whitening(features: Floats) -> Whitening:
    """Fits it on training records, whose rows have a mean square of one afterwards."""
    mean = features.mean(0)
    centred = features - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(features))
    values = np.maximum(values, 0.0)
    if not values.any():
        return Whitening(mean, np.zeros((features.shape[1], 1)))
    scales = 1 / np.sqrt(values + DAMPING * values.mean())
    return Whitening(mean, vectors * (scales / np.sqrt((values * scales**2).sum())))


def softmax(logits: Floats) -> Floats:
    """Probabilities, row by row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def residuals(weights: Floats, inputs: Floats, labels: Ints) -> Floats:
    """Derivative of each row's loss by its logits: probabilities less the label, (n, classes).

    A row's gradient by the weights is its outer product with the row's inputs, and never needed.
    """
    found = softmax(inputs @ weights.T)
    found[np.arange(len(labels)), labels] -= 1.0
    return found


def train(
    inputs: Floats,
    labels: Ints,
    sample_weights: Floats,
    n_classes: int,
    *,
    steps: int = STEPS,
    checkpoints: int = CHECKPOINTS,
    ridge: float = RIDGE,
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """Trains it by accelerated gradient steps of one size, from zero.

    Args:
        inputs: (n, d) with the constant.
        labels: (n,) class of each row.
        sample_weights: (n,).
        n_classes: number of classes.
        steps: of the descent.
        checkpoints: how many of the points at which gradients were taken are kept.
        ridge: factor of half the squared weights in the loss.
        progress: called with steps done and steps in all.

    Returns:
        (classes, d) weights at the kept points, and last the final ones.
    """
    share = sample_weights / sample_weights.sum()
    top = np.linalg.eigvalsh((inputs * share[:, None]).T @ inputs)[-1]
    size = 1 / (0.5 * top + ridge)  # a softmax's second derivative is at most one half
    kept_at = set(np.linspace(0, steps - 1, checkpoints).astype(int).tolist())
    weights = np.zeros((n_classes, inputs.shape[1]))
    ahead, momentum, kept = weights, 1.0, []
    for step in range(steps):
        if step in kept_at:
            kept.append(ahead)
        slope = (residuals(ahead, inputs, labels) * share[:, None]).T @ inputs + ridge * ahead
        following = ahead - size * slope
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / grown * (following - weights)
        weights, momentum = following, grown
        if progress is not None:
            progress(step + 1, steps)
    return [*kept, weights]
