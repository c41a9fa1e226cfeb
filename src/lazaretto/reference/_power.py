"""What a reference would show of poison: its own calibration rows are poisoned and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.reference._state import Power
from lazaretto.reference.calibrated import apart_of, calibration_of, fused_mean, weights_of
from lazaretto.reference.unseen import unseen_ranks
from lazaretto.stats.localised import KnownRows
from lazaretto.stats.power import Rule, predicted_recall

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference._state import ReferenceState

    _Numbers = npt.NDArray[np.float64]

DOSES = (0.01, 0.05, 0.2)
MOST = 300
"""Calibration rows that are poisoned for each attack, at most."""


def predict_power(state: ReferenceState, policy: Policy) -> tuple[Power, ...]:
    """Predicted recall of wrong labels at given doses; empty without labels.

    ``flips``: rows of any class get another label by chance. ``turned``: rows of one class get one
    other label, as a trigger's do; the two are the largest classes. Each is scored by the scorers
    that have not seen it, as a record of a batch is.

    Args:
        state: a reference that is fitted, whose own `power` is not looked at.
        policy: by which batches would be judged.
    """
    label, screen = state.sample.label, policy.screen
    weights = weights_of(policy, state.detectors)
    if label is None or len(state.classes) < 2 or not any(weights):
        return ()
    known = calibration_of(state)
    scores = known.scores(weights)
    ordered = np.sort(scores)
    rng = np.random.default_rng([state.seed, 16])
    batch = screen.batch
    rule = Rule(
        screen.false_quarantine_rate,
        batch.alpha,
        screen.hold,
        batch.max_remaining_share,
        batch.hold_when_held_fraction,
        bool(apart_of(policy, state.detectors)),
    )
    usual = KnownRows(_p_values(ordered, scores, 0), known.label)
    told = []
    for attack in ("flips", "turned"):
        place, wrong = _chosen(attack, known.label, len(state.classes), rng)
        rows = np.concatenate(state.folds)[place]
        fold = np.repeat(np.arange(len(state.folds)), list(map(len, state.folds)))[place]
        values = state.sample.values
        chunk = Chunk(state.sample.embedding[rows], wrong, None if values is None else values[rows])
        scored = fused_mean(unseen_ranks(chunk, state, fold), weights)
        poison = KnownRows(_p_values(ordered, scored, 1), wrong)
        for share in sorted({*DOSES, screen.min_poison_share}):
            recall = predicted_recall(usual, poison, share=share, rule=rule, seed=state.seed)
            told.append(Power(attack, share, round(recall, 3)))
    return tuple(told)


def _chosen(attack: str, label: Ints, classes: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Places of the calibration rows to be poisoned, and the labels that they get."""
    if attack == "flips":
        place = rng.permutation(len(label))[:MOST]
        return place, (label[place] + rng.integers(1, classes, len(place))) % classes
    source, target = np.argsort(-np.bincount(label, minlength=classes), kind="stable")[:2]
    place = rng.permutation(np.flatnonzero(label == source))[:MOST]
    return place, np.full(len(place), target, dtype=np.int64)


def _p_values(ordered: _Numbers, scores: _Numbers, itself: int) -> _Numbers:
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((itself + above) / (len(ordered) + 1), dtype=np.float64)
