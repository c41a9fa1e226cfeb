"""Whether a policy fits a reference, as far as no batch is needed to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference


def require_fit(reference: Reference, policy: Policy) -> None:
    """Does of a screening what comes before the first record.

    Args:
        reference: that the policy screens against.
        policy: the policy.

    Raises:
        ReferenceMismatchError: the encoder, the label, a detector, its options or the calibration
            are others than those of the reference; it says which.
        UsageError: the encoder cannot be loaded.

    Examples:
        >>> from lazaretto.registry.references import load_reference
        >>> require_fit(load_reference(workspace, "reviews"), policy)
    """
    from lazaretto.embed import load_encoder
    from lazaretto.screen._calibration import CalibrationScores, detector_weights

    encoder = load_encoder(policy, reference.encoder_state)
    reference.check_encoder(encoder.name, encoder.digest, encoder.weights)
    CalibrationScores.of(reference, policy, detector_weights(policy, reference))
