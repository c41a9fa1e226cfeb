"""The methods by the names that a policy uses."""

from __future__ import annotations

from collections.abc import Callable

from lazaretto.sanitize.activation_clustering import activation_clustering
from lazaretto.sanitize.deep_knn import deep_knn
from lazaretto.sanitize.gram import gram
from lazaretto.sanitize.label_margin import label_margin
from lazaretto.sanitize.mahalanobis import mahalanobis
from lazaretto.sanitize.problem import Problem
from lazaretto.sanitize.scan import scan
from lazaretto.sanitize.scores import Scores
from lazaretto.sanitize.spectral import spectral
from lazaretto.sanitize.whitened_spectral import whitened_spectral

Method = Callable[[Problem], Scores]

METHODS: dict[str, Method] = {
    "whitened_spectral": whitened_spectral,
    "spectral": spectral,
    "mahalanobis": mahalanobis,
    "label_margin": label_margin,
    "activation_clustering": activation_clustering,
    "scan": scan,
    "deep_knn": deep_knn,
    "gram": gram,
}
"""Name in the policy -> method."""

DEFAULT_METHODS: dict[bool, tuple[str, ...]] = {
    True: ("whitened_spectral", "mahalanobis", "label_margin"),
    False: ("mahalanobis", "deep_knn", "scan"),
}
"""With trusted rows and without. Directions in which a class varies more than its clean rows do say
little where clean rows are guessed from the class itself. Without trusted rows: far rows, wrong
labels and second identities, each as the others miss it; chosen on models trained on digits and on
MNIST rows, classes and triggers that no benchmark has."""
