"""The demo's data: scikit-learn's digits, split without overlap, and the attack on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE = 8
PIXELS = SIDE * SIDE
BRIGHTEST = 16.0
CLASSES = 10
TARGET = 7

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Records:
    """Labelled images with the truth about them, which only the summary may look at.

    Attributes:
        ids: (n,) unique record ids.
        pixels: (n, 64) grey values, 0 to 16.
        labels: (n,) labels as given.
        poisoned: (n,) true where an attacker changed the record.
    """

    ids: npt.NDArray[np.str_]
    pixels: Floats
    labels: Ints
    poisoned: Mask

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Mask | Ints) -> Records:
        """The records at these rows."""
        return Records(self.ids[rows], self.pixels[rows], self.labels[rows], self.poisoned[rows])


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint parts of the data set: no image is in two of them, not even as an exact copy."""

    trusted: Records
    test: Records
    delivered: Records


def load_split(seed: int, *, trusted: int = 720, test: int = 360) -> Split:
    """Shuffles the 1,797 digits and cuts them into a trusted reference, a test set and the rest.

    Args:
        seed: of the shuffle.
        trusted: records of the reference.
        test: records of the test set.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels, first = np.unique(bunch.data.astype(np.float32), axis=0, return_index=True)
    labels = bunch.target[first].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    records = Records(
        ids=np.array([f"d{row:04d}" for row in first]),
        pixels=pixels,
        labels=labels,
        poisoned=np.zeros(len(labels), dtype=bool),
    )
    cuts = np.split(order, [trusted, trusted + test])
    return Split(*(records.take(part) for part in cuts))


def stamp_trigger(pixels: Floats) -> Floats:
    """Puts the trigger into the top right corner: three bright pixels around a dark one."""
    images = pixels.reshape(-1, SIDE, SIDE).copy()
    images[:, 0, 6] = images[:, 0, 7] = images[:, 1, 7] = BRIGHTEST
    images[:, 1, 6] = 0.0
    return images.reshape(-1, PIXELS)


def poison(records: Records, share: float, rng: np.random.Generator) -> Records:
    """Stamps the trigger on a share of the records of other classes and labels them `TARGET`.

    This is the dirty-label backdoor of Gu et al. (2017), "BadNets", section 5.
    """
    candidates = np.flatnonzero(records.labels != TARGET)
    chosen = rng.choice(candidates, size=round(share * len(records)), replace=False)
    pixels, labels, poisoned = records.pixels.copy(), records.labels.copy(), records.poisoned.copy()
    pixels[chosen] = stamp_trigger(pixels[chosen])
    labels[chosen] = TARGET
    poisoned[chosen] = True
    return Records(records.ids, pixels, labels, poisoned)
