"""What calibration rows of a stored reference scored, without reading all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from lazaretto.detect.scorer import fuse
from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._file import FORMAT, LABEL, fold_rows_of, side_of
from lazaretto.reference._packed import Packed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.policy import Policy
    from lazaretto.reference._state import ReferenceState


@dataclass(frozen=True, slots=True)
class CalibrationRows:
    """What p-values of records are read from. n rows, J detectors, C classes.

    Attributes:
        label: int64 (n,), class of each row; zeros without labels.
        ranks: per row what each scorer that has not seen it gives each detector, float64
            (n, scorers, J). A record of a batch is scored by as many.
        detectors: their names.
        classes: label texts, sorted; empty without labels.
    """

    label: Ints
    ranks: Floats
    detectors: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def scores(self, weights: Sequence[float]) -> npt.NDArray[np.float64]:
        """The fused score of each row under these weights, float64 (n,)."""
        return fused_mean(self.ranks, weights)


def fused_mean(ranks: Floats, weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """The mean of several scorers' fused scores, float64 (n,).

    Args:
        ranks: float64 (n, scorers, J).
        weights: (J,).
    """
    scorers = [fuse(ranks[:, scorer], weights) for scorer in range(ranks.shape[1])]
    return np.asarray(np.mean(scorers, axis=0), dtype=np.float64)


def calibration_of(reference: ReferenceState) -> CalibrationRows:
    """The calibration rows of a reference that is loaded; those of each fold behind each other."""
    rows = np.concatenate(reference.folds)
    label = reference.sample.label
    ranks = [
        np.stack(
            [
                side.calibration
                for scorer in reference.scorers
                for side in scorer.sides
                if side.fold == fold
            ],
            axis=1,
        )
        for fold in range(len(reference.folds))
    ]
    return CalibrationRows(
        np.zeros(len(rows), dtype=np.int64) if label is None else label[rows],
        np.concatenate(ranks),
        tuple(reference.detectors),
        reference.classes,
    )


def read_calibration(metadata: bytes, tensors: IO[bytes]) -> CalibrationRows:
    """Reads it from a reference's files; of the tensors only what is needed.

    Args:
        metadata: content of ``reference.json``.
        tensors: ``tensors.safetensors``, seekable, whose bytes are checked while they are read.

    Raises:
        ReferenceMismatchError: the files cannot be read, or another Lazaretto wrote them.
    """
    try:
        document = json.loads(metadata)
        if document["format"] != FORMAT:
            raise ReferenceMismatchError(
                f"the reference has format {document['format']!r}; this Lazaretto reads {FORMAT}"
            )
        packed = Packed.open(tensors)
        folds = range(document["folds"])
        rows = np.concatenate([packed.array(fold_rows_of(fold)) for fold in folds])
        label = np.zeros(len(rows), dtype=np.int64)
        if LABEL in packed.entries:
            label = packed.array(LABEL)[rows]
        ranks = [
            np.stack(
                [
                    packed.array(f"{side_of(part, fold)}.calibration")
                    for part, sides in enumerate(document["sides"])
                    if fold in sides
                ],
                axis=1,
            )
            for fold in folds
        ]
        names = tuple(document["detectors"])
        return CalibrationRows(label, np.concatenate(ranks), names, tuple(document["classes"]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ReferenceMismatchError(f"the reference's files cannot be read: {error!r}") from error


def weights_of(policy: Policy, detectors: Iterable[str]) -> list[float]:
    """Weight of each of some detectors in the common score; 0 for one that is no part of it."""
    weights, counted = [], "enforce" if policy.screen.decides else "shadow"
    for name in detectors:
        found = policy.screen.detectors.get(name)
        counts = found is not None and found.mode == counted and not found.apart
        weights.append(found.weight if found is not None and counts else 0.0)
    return weights


def apart_of(
    policy: Policy, detectors: Iterable[str], *, modes: Collection[str] = ("enforce",)
) -> list[str]:
    """Those of some detectors that a policy judges by themselves, in one of some modes."""
    configs = policy.screen.detectors
    return [
        name
        for name in detectors
        if name in configs and configs[name].apart and configs[name].mode in modes
    ]
