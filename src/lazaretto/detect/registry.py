"""The detectors by name: how a policy's words become objects."""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.detect.base import Detector

# Name to file and class, so that naming a detector imports that detector alone.
_BUILT_IN = {
    "autoencoder": "lazaretto.detect.autoencoder:Autoencoder",
    "clusters": "lazaretto.detect.clusters:Clusters",
    "density": "lazaretto.detect.density:Density",
    "duplicates": "lazaretto.detect.duplicates:Duplicates",
    "isolation_forest": "lazaretto.detect.isolation_forest:IsolationForest",
    "knn_distance": "lazaretto.detect.knn_distance:KnnDistance",
    "knn_label": "lazaretto.detect.knn_label:KnnLabel",
    "knn_target": "lazaretto.detect.knn_target:KnnTarget",
    "mahalanobis": "lazaretto.detect.mahalanobis:Mahalanobis",
    "pair_disagreement": "lazaretto.detect.pair_disagreement:PairDisagreement",
    "rare_tokens": "lazaretto.detect.rare_tokens:RareTokens",
    "self_confidence": "lazaretto.detect.self_confidence:SelfConfidence",
    "tukey": "lazaretto.detect.tukey:Tukey",
    "zscore": "lazaretto.detect.zscore:ZScore",
}
NEED_LABELS = frozenset({"knn_label", "self_confidence"})
"""Which of them need `columns.label`: known without importing what they are made of."""
ENTRY_POINTS = "lazaretto.detectors"


def built_in() -> dict[str, str]:
    """The detectors of this package: name to ``module:class``."""
    return dict(_BUILT_IN)


def detector_names() -> tuple[str, ...]:
    """Every name that a policy may use, built in or from an installed package, sorted.

    Examples:
        >>> "mahalanobis" in detector_names()
        True
    """
    return tuple(sorted(_targets()))


def make_detector(name: str, options: Mapping[str, Any] | None = None) -> Detector:
    """Makes an unfitted detector.

    Args:
        name: registered name.
        options: the policy's options of this detector, such as ``{"k": 20}``.

    Raises:
        UsageError: unknown name or option, or an option's value is out of range.

    Examples:
        >>> make_detector("knn_label", {"k": 5}).name
        'knn_label'
    """
    # What is built in needs no look at the installed packages, which costs some 25 ms a time.
    targets = _BUILT_IN if name in _BUILT_IN else _targets()
    if name not in targets:
        near = difflib.get_close_matches(name, targets, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"screen.detectors: unknown detector {name!r}{hint} "
            f"(known: {', '.join(sorted(targets))})"
        )
    module, _, cls = targets[name].partition(":")
    factory: type[Detector] = getattr(import_module(module), cls)
    for option in options or {}:
        _require_option(name, option, factory)
    try:
        return factory(**(options or {}))
    except TypeError as error:
        raise UsageError(f"screen.detectors.{name}: {error}") from error


def _require_option(name: str, option: str, factory: type[Detector]) -> None:
    known = inspect.signature(factory).parameters
    if option in known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    near = difflib.get_close_matches(option, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there = f"it has {', '.join(sorted(known))}" if known else "it has none"
    raise UsageError(f"screen.detectors.{name}: unknown option {option!r}{hint}; {there}")


def _targets() -> dict[str, str]:
    from importlib.metadata import entry_points

    plugged = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return plugged | _BUILT_IN
