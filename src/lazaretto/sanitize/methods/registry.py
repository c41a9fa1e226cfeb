"""The methods by the names that a policy uses."""

from __future__ import annotations

from collections.abc import Callable

from lazaretto.sanitize.layer_data import LayerData
from lazaretto.sanitize.methods.activation_clustering import activation_clustering
from lazaretto.sanitize.methods.deep_knn import deep_knn
from lazaretto.sanitize.methods.gram import gram
from lazaretto.sanitize.methods.label_margin import label_margin
from lazaretto.sanitize.methods.mahalanobis import mahalanobis
from lazaretto.sanitize.methods.scan import scan
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
