"""Synthetic classes, labels and attacks that the detection tests share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lazaretto.policy import Policy

Floats = npt.NDArray[np.float32]


def policy(**screen: object) -> Policy:
    """A policy for `table`; keywords go to its ``screen`` section."""
    return Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
            "screen": {"min_poison_share": 0.1, **screen},
        }
    )


def classes(
    rng: np.random.Generator, rows: int, *, width: int = 16, n_classes: int = 4, gap: float = 3.0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Gaussian classes with one uneven covariance; the classes are the same for every rng."""
    fixed = np.random.default_rng(99)
    centers = gap * fixed.normal(size=(n_classes, width)) / np.sqrt(2)
    mix = fixed.normal(size=(width, width)) * np.linspace(0.1, 1, width) / np.sqrt(width)
    labels = rng.integers(n_classes, size=rows)
    points = centers[labels] + rng.normal(size=(rows, width)) @ mix
    return points.astype(np.float32), labels


def table(points: Floats, labels: npt.NDArray[np.int64], prefix: str = "r") -> pa.Table:
    """The rows as a delivery."""
    return pa.table(
        {
            "id": [f"{prefix}{row}" for row in range(len(labels))],
            "label": labels,
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(points.ravel()), points.shape[1]
            ),
        }
    )


def flip(labels: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], n_classes: int = 4) -> None:
    """Moves the labels of these rows to the next class, in place."""
    labels[rows] = (labels[rows] + 1) % n_classes
