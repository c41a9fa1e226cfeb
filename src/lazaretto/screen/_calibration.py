"""The calibration scores of a reference under a policy, sorted for looking p-values up."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference.calibrated import calibration_of, weights_of
from lazaretto.stats.conformal import conditional_p_values
from lazaretto.stats.localised import KnownRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.reference.calibrated import CalibrationRows


@dataclass(frozen=True, slots=True)
class CalibrationScores:
    """Calibration scores. n rows, G groups (one, or one for each class with enough rows).

    Attributes:
        fused: per group, ascending float64.
        single: per detector, ascending float64.
        by_class: group of each class; empty when there is one group.
        delta: of hard calibration; None when marginal.
        known: the calibration rows as records.
    """

    fused: tuple[npt.NDArray[np.float64], ...]
    single: tuple[npt.NDArray[np.float64], ...]
    by_class: tuple[int, ...]
    delta: float | None
    known: KnownRows

    @property
    def rows(self) -> tuple[int, ...]:
        """Calibration rows of each group."""
        return tuple(map(len, self.fused))

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
        if policy.screen.calibration == "hard" and len(reference.folds) > 1:
            raise ReferenceMismatchError(
                f"screen.calibration is 'hard', but reference {reference.name}/{reference.version} "
                "was cross-fitted, which makes no promise for one calibration: fit a new version"
            )
        return cls.under(calibration_of(reference), policy, weights)

    @classmethod
    def under(
        cls, known: CalibrationRows, policy: Policy, weights: Sequence[float]
    ) -> CalibrationScores:
        """The same of rows that were read by themselves."""
        screen = policy.screen
        members, by_class = calibration_groups(known.label, len(known.classes), policy)
        scores = known.scores(weights)
        fused = tuple(
            np.sort(scores if wanted is None else scores[np.isin(known.label, wanted)])
            for wanted in members
        )
        delta = screen.hard_delta if screen.calibration == "hard" else None
        p_value = np.empty(len(scores))
        group = group_of(by_class, known.label, len(scores))
        for number in np.unique(group).tolist():
            rows = group == number
            # A row counts itself where a record counts as one more.
            above = _at_least(fused[number], scores[rows])
            p_value[rows] = above / (len(fused[number]) + 1)
            if delta is not None:
                p_value[rows] = conditional_p_values(p_value[rows], len(fused[number]), delta)
        alone = known.ranks.mean(1)
        return cls(
            fused=fused,
            single=tuple(np.sort(column.astype(np.float64)) for column in alone.T),
            by_class=by_class,
            delta=delta,
            known=KnownRows(p_value, known.label),
        )

    def p_values(self, scores: npt.NDArray[np.float64], group: Ints) -> npt.NDArray[np.float64]:
        """Conformal p-values of fused scores, float64 (m,).

        Args:
            scores: float64 (m,).
            group: int64 (m,), group of calibration rows of each.
        """
        found = np.empty(len(scores))
        for number in np.unique(group).tolist():
            rows, known = group == number, self.fused[number]
            found[rows] = (1 + _at_least(known, scores[rows])) / (len(known) + 1)
            if self.delta is not None:
                found[rows] = conditional_p_values(found[rows], len(known), self.delta)
        return found

    def alone(self, ranks: Floats) -> npt.NDArray[np.float64]:
        """P-values of each detector alone, float64 (m, J).

        Args:
            ranks: float64 (m, J), means over the scorers.
        """
        columns = [
            (1 + _at_least(known, column)) / (len(known) + 1)
            for known, column in zip(self.single, ranks.T, strict=True)
        ]
        return np.stack(columns, 1) if columns else np.empty((len(ranks), 0))


def _at_least(
    ordered: npt.NDArray[np.float64], values: npt.NDArray[np.floating]
) -> npt.NDArray[np.int64]:
    """How many calibration scores are at least each value."""
    return np.asarray(len(ordered) - np.searchsorted(ordered, values, side="left"), dtype=np.int64)


def calibration_groups(
    label: Ints, classes: int, policy: Policy
) -> tuple[list[list[int] | None], tuple[int, ...]]:
    """The groups that records are calibrated by: the classes of each, and the group of each class.

    Group 0 is of all rows (None). A class has one of its own when its rows can give a p-value at
    the policy's rate. The second part is empty when there is only group 0.

    Args:
        label: class of each calibration row.
        classes: how many there are.
        policy: says at which rate, and whether classes are calibrated by themselves.
    """
    members: list[list[int] | None] = [None]
    if policy.screen.calibrate_by != "class" or not classes:
        return members, ()
    counts = np.bincount(label, minlength=classes).tolist()
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
    weights = weights_of(policy, reference.detectors)
    if not any(weights):
        counted = "enforce" if policy.screen.decides else "shadow"
        raise ReferenceMismatchError(
            f"screen.detectors: reference {reference.name}/{reference.version} was fitted without "
            f"any detector that the policy has in mode {counted}: fit a new version"
        )
    return weights
