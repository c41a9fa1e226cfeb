"""Which sizes of batches can be judged against a reference under a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.stats.sizes import JudgeableSizes, judgeable_sizes

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference


def sizes_for(reference: Reference, policy: Policy) -> JudgeableSizes | None:
    """How many records a batch must have to be judged; the figure of `reference fit`.

    Args:
        reference: fitted for this policy.
        policy: says at which rate, and which poisoned share must be detectable.

    Returns:
        None where no detector decides.

    Raises:
        ReferenceMismatchError: the policy asks for a detector that was not fitted, or the like.

    Example:
        >>> sizes = sizes_for(reference, policy)  # doctest: +SKIP
        >>> sizes.smallest  # doctest: +SKIP
        41
    """
    from lazaretto.screen._calibration import CalibrationScores, detector_weights

    weights = detector_weights(policy, reference)
    if not policy.screen.decides:
        return None
    calibrated = CalibrationScores.of(reference, policy, weights)
    return sizes_of(calibrated.rows, policy, calibrated.delta)


def sizes_of(rows: tuple[int, ...], policy: Policy, delta: float | None) -> JudgeableSizes:
    """The same for so many calibration rows in each group, and the delta of hard calibration."""
    screen = policy.screen
    return judgeable_sizes(
        rows,
        share=screen.min_poison_share,
        rate=screen.false_quarantine_rate,
        alpha=screen.batch.alpha,
        rule=screen.hold,
        delta=delta,
    )
