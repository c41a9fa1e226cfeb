"""The models of an answer, each in its registry: two registries may have one name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.names import registry as spelled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.values import IncidentAnswer

ANYWHERE = ""
"""In place of the registry, for answers that were kept without it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Model versions of an answer, as registry and ``model@version``.

    Attributes:
        affected: those that are known to be affected.
        unknown: those that may be.
    """

    affected: frozenset[tuple[str, str]]
    unknown: frozenset[tuple[str, str]]

    def concerns(self, registry: str, model: str) -> bool:
        """Whether a version of a model is in question."""
        places = {spelled(registry), ANYWHERE}
        both = self.affected | self.unknown
        return any(where in places and name.rpartition("@")[0] == model for where, name in both)

    def is_affected(self, registry: str, version: str) -> bool:
        """Whether ``model@version`` is known to be affected."""
        return _has(self.affected, registry, version)

    def is_unknown(self, registry: str, version: str) -> bool:
        """Whether ``model@version`` may be affected."""
        return _has(self.unknown, registry, version)


def placed(answer: IncidentAnswer) -> Placed:
    """The model versions of an answer.

    Examples:
        >>> from lazaretto.values import IncidentAnswer, PlacedModel
        >>> known = PlacedModel("mlflow://one", "net@1", unknown=False)
        >>> found = placed(IncidentAnswer(9, True, [], ["net@1"], placed=[known]))
        >>> found.is_affected("mlflow://one/", "net@1"), found.is_affected("mlflow://two", "net@1")
        (True, False)
    """
    kept = {(one.unknown, one.model) for one in answer.placed}

    def all_of(names: Iterable[str], *, unknown: bool) -> frozenset[tuple[str, str]]:
        known = {(spelled(o.registry), o.model) for o in answer.placed if o.unknown is unknown}
        return frozenset(known | {(ANYWHERE, n) for n in names if (unknown, n) not in kept})

    return Placed(all_of(answer.models, unknown=False), all_of(answer.unknown, unknown=True))


def _has(versions: frozenset[tuple[str, str]], registry: str, version: str) -> bool:
    return (spelled(registry), version) in versions or (ANYWHERE, version) in versions
