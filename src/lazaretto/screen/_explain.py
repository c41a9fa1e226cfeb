"""Why records may be held: what detectors say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.scorer import take
from lazaretto.reference.calibrated import apart_of
from lazaretto.screen._calibration import detector_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.base import Chunk
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference

RUN = ("enforce", "shadow")
"""Modes in which a detector says something."""
MOST_REASONS = 3
DRIVING_SHARE = 0.7
"""A detector is named as a reason when its rank is at least this share of the worst one."""


def explain(
    chunk: Chunk,
    positions: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    reference: Reference,
    policy: Policy,
) -> dict[int, list[str]]:
    """Asks the driving detectors about the rows that may be held: p at most the rate."""
    rows = np.flatnonzero(numbers[:, 1] <= policy.screen.false_quarantine_rate)
    if not len(rows):
        return {}
    weights = detector_weights(policy, reference)
    weighted = numbers[rows, 3 : 3 + len(weights)] * np.asarray(weights)
    alone = numbers[rows, 3 + len(weights) :]
    subset = take(chunk, rows)
    scorer = reference.scorers[0]
    said = [
        detector.explain(subset) if weight else []
        for detector, weight in zip(scorer.detectors.values(), weights, strict=True)
    ]
    names, reasons = list(scorer.detectors), {}
    for row, position in enumerate(positions[rows].tolist()):
        order = np.argsort(-weighted[row], kind="stable")[:MOST_REASONS]
        worst = weighted[row, order[0]]
        reasons[position] = [
            f"{names[j]}: {said[j][row]}; beyond {1 - alone[row, j]:.2%} of trusted records"
            for j in order
            if weights[j] and weighted[row, j] >= DRIVING_SHARE * worst
        ]
    return reasons


def explain_apart(
    chunk: Chunk,
    positions: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float64],
    reference: Reference,
    policy: Policy,
    said: dict[str, dict[int, str]],
) -> None:
    """Asks each detector that is judged by itself about the rows that it may hold.

    Args:
        chunk: the rows.
        positions: int64 (n,), theirs in the batch.
        numbers: theirs, as `lazaretto.screen._score` makes them.
        reference: that they were compared with.
        policy: says which detectors are apart, and the rate.
        said: what they say goes here, by name and position.
    """
    detectors, rate = reference.scorers[0].detectors, policy.screen.false_quarantine_rate
    alone, order = numbers[:, 3 + len(detectors) :], list(detectors)
    for name in apart_of(policy, detectors, modes=RUN):
        column, detector = order.index(name), detectors[name]
        rows = np.flatnonzero(alone[:, column] <= rate)
        if not len(rows):
            continue
        told = said.setdefault(name, {})
        for row, text in zip(rows.tolist(), detector.explain(take(chunk, rows)), strict=True):
            beyond = f"beyond {1 - alone[row, column]:.2%} of trusted records"
            told[int(positions[row])] = f"{name}: {text}; {beyond}"
