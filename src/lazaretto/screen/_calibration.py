"""The calibration scores of a reference under a policy, sorted for looking p-values up."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.scorer import fuse
from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """Calibration scores. F scorers, G groups (one, or one for each class with enough rows).

    Attributes:
        fused: per scorer and group, ascending float64.
        single: per scorer and detector, ascending float64.
        rows: per group, calibration rows over all scorers.
        by_class: group of each class; empty when there is one group.
        delta: of hard calibration; None when marginal.
    """

    fused: tuple[tuple[npt.NDArray[np.float64], ...], ...]
    single: tuple[tuple[npt.NDArray[np.float64], ...], ...]
    rows: tuple[int, ...]
    by_class: tuple[int, ...]
    delta: float | None

    @classmethod
    def of(
        cls, reference: Reference, policy: Policy, weights: Sequence[float]
    ) -> CalibrationScores:
        """The reference's calibration under the policy's weights.

        A class is calibrated by itself when its rows can give a p-value at the policy's rate; the
        other classes share the calibration of all rows (group 0).

        Raises:
            ReferenceMismatchError: hard calibration is asked of a cross-fitted reference.
        """
        screen = policy.screen
        hard = screen.calibration == "hard"
        if hard and len(reference.scorers) > 1:
            raise ReferenceMismatchError(
                f"screen.calibration is 'hard', but reference {reference.name}/{reference.version} "
                "was cross-fitted, which makes no promise for one calibration: fit a new version"
            )
        labels = [scorer.calibration_label for scorer in reference.scorers]
        members, by_class = calibration_groups(labels, len(reference.classes), policy)
        fused = tuple(
            tuple(
                _ascending(scores if wanted is None else scores[np.isin(label, wanted)])
                for wanted in members
            )
            for scores, label in (
                (fuse(scorer.calibration, weights), scorer.calibration_label)
                for scorer in reference.scorers
            )
        )
        return cls(
            fused=fused,
            single=tuple(
                tuple(_ascending(column) for column in scorer.calibration.T)
                for scorer in reference.scorers
            ),
            rows=tuple(sum(len(part[g]) for part in fused) for g in range(len(members))),
            by_class=by_class,
            delta=screen.hard_delta if hard else None,
        )


def calibration_groups(
    labels: Sequence[Ints], classes: int, policy: Policy
) -> tuple[list[list[int] | None], tuple[int, ...]]:
    """The groups that records are calibrated by: the classes of each, and the group of each class.

    Group 0 is of all rows (None). A class has one of its own when its rows can give a p-value at
    the policy's rate. The second part is empty when there is only group 0.

    Args:
        labels: per scorer, class of each of its calibration rows.
        classes: how many there are.
        policy: says at which rate, and whether classes are calibrated by themselves.
    """
    members: list[list[int] | None] = [None]
    if policy.screen.calibrate_by != "class" or not classes:
        return members, ()
    counts = np.bincount(np.concatenate(labels), minlength=classes).tolist()
    enough = ceil(1 / policy.screen.false_quarantine_rate)
    groups = []
    for number, count in enumerate(counts):
        groups.append(len(members) if count >= enough else 0)
        if count >= enough:
            members.append([number])
    return members, tuple(groups)


def group_of(by_class: tuple[int, ...], label: Ints | None, rows: int) -> Ints:
    """Group of calibration rows of each record, int64 (rows,).

    Args:
        by_class: group of each class; empty when there is one group.
        label: int64 (rows,), index of the class; None without labels.
        rows: how many.
    """
    if label is None or not by_class:
        return np.zeros(rows, dtype=np.int64)
    return np.take(np.asarray(by_class, dtype=np.int64), label)


def detector_weights(policy: Policy, reference: Reference) -> list[float]:
    """Weight of each of the reference's detectors under this policy; 0 unless it is enforced.

    Where all detectors only watch, those in shadow have their weights, so that scores and p-values
    are on record as they would be; they decide nothing then.

    Raises:
        ReferenceMismatchError: the policy asks for a detector or an option that was not fitted.
    """
    asked = "detectors" in policy.screen.model_fields_set
    for name, config in policy.screen.detectors.items():
        if config.mode == "off" or (name not in reference.detectors and not asked):
            continue
        fitted = reference.detectors.get(name)
        where = f"reference {reference.name}/{reference.version}"
        if fitted is None:
            raise ReferenceMismatchError(
                f"screen.detectors.{name}: {where} was fitted without it: fit a new version"
            )
        if dict(fitted) != config.options:
            raise ReferenceMismatchError(
                f"screen.detectors.{name}: {where} was fitted with {dict(fitted)}, "
                f"the policy says {config.options}: fit a new version"
            )
    if policy.columns.label != reference.label:
        raise ReferenceMismatchError(
            f"columns.label is {policy.columns.label!r}, but reference {reference.name}/"
            f"{reference.version} was fitted with {reference.label!r}"
        )
    weights, counted = [], "enforce" if policy.screen.decides else "shadow"
    for name in reference.detectors:
        found = policy.screen.detectors.get(name)
        weights.append(found.weight if found is not None and found.mode == counted else 0.0)
    if not any(weights):
        raise ReferenceMismatchError(
            f"screen.detectors: reference {reference.name}/{reference.version} was fitted without "
            f"any detector that the policy has in mode {counted}: fit a new version"
        )
    return weights


def _ascending(scores: Floats) -> npt.NDArray[np.float64]:
    return np.sort(scores.astype(np.float64))
