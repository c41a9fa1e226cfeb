"""The methods by the names that a policy uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lazaretto.errors import UsageError
from lazaretto.sanitize.layer_data import LayerData
from lazaretto.sanitize.methods.activation_clustering import activation_clustering
from lazaretto.sanitize.methods.deep_knn import deep_knn
from lazaretto.sanitize.methods.early_loss import early_loss
from lazaretto.sanitize.methods.gram import gram
from lazaretto.sanitize.methods.label_margin import label_margin
from lazaretto.sanitize.methods.loss_trajectories import loss_trajectories
from lazaretto.sanitize.methods.mahalanobis import mahalanobis
from lazaretto.sanitize.methods.scan import scan
from lazaretto.sanitize.methods.slow_to_learn import slow_to_learn
from lazaretto.sanitize.methods.spectral import spectral
from lazaretto.sanitize.methods.whitened_spectral import whitened_spectral
from lazaretto.sanitize.scores import Scores

Method = Callable[[LayerData], Scores]

METHODS: dict[str, Method] = {
    "whitened_spectral": whitened_spectral,
    "spectral": spectral,
    "mahalanobis": mahalanobis,
    "label_margin": label_margin,
    "activation_clustering": activation_clustering,
    "scan": scan,
    "deep_knn": deep_knn,
    "gram": gram,
    "slow_to_learn": slow_to_learn,
    "early_loss": early_loss,
    "loss_trajectories": loss_trajectories,
}
"""Name in the policy -> method."""

OF_DYNAMICS = frozenset({"slow_to_learn", "early_loss", "loss_trajectories"})
"""Methods that judge how records were learned, where the training recorded it."""

DEFAULT_METHODS: dict[bool, tuple[str, ...]] = {
    True: ("whitened_spectral", "mahalanobis", "label_margin"),
    False: ("mahalanobis", "deep_knn", "scan"),
}
"""With trusted rows and without. Directions in which a class varies more than its clean rows do say
little where clean rows are guessed from the class itself. Without trusted rows: far rows, wrong
labels and second identities, each as the others miss it; chosen on models trained on digits and on
MNIST rows, classes and triggers that no benchmark has."""


def default_methods(trusted: bool, dynamics: bool) -> tuple[str, ...]:
    """The methods of a policy that names none.

    Args:
        trusted: whether there are trusted rows.
        dynamics: whether it is on record how the records were learned.
    """
    return DEFAULT_METHODS[trusted] + (("slow_to_learn",) if dynamics and not trusted else ())


def check_methods(methods: Sequence[str], dynamics: bool) -> None:
    """Refuses methods that are not there, or that have nothing to judge.

    Raises:
        UsageError: a method is unknown, or asks for dynamics that were not given.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise UsageError(f"unknown sanitizing methods {unknown}; known are {sorted(METHODS)}")
    unfed = sorted(set(methods) & OF_DYNAMICS)
    if unfed and not dynamics:
        raise UsageError(
            f"{', '.join(unfed)}: record how the training went (lazaretto.training."
            "record_dynamics), for trusted rows as well where there are any, and give it here"
        )
