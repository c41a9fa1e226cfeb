"""What changed between two answers to the question of an incident."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.values import IncidentAnswer

_NOUNS = {
    "batches": ("batch", "batches"),
    "models": ("affected model version", "affected model versions"),
    "unknown": ("model version that may be affected", "model versions that may be affected"),
    "measured": ("model version measured with it", "model versions measured with it"),
}


@dataclass(frozen=True, slots=True)
class Changed:
    """What came and what left.

    Attributes:
        new: in the later answer alone.
        gone: in the earlier answer alone.
    """

    new: list[str]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What a later answer says that an earlier one did not.

    Attributes:
        batches: in question.
        models: known to be affected.
        unknown: that may be affected.
        measured: that were only measured with it.
        complete: whether the later answer is whole; None: as the earlier one was.
    """

    batches: Changed
    models: Changed
    unknown: Changed
    measured: Changed
    complete: bool | None

    @property
    def anything(self) -> bool:
        """Whether the answers differ."""
        parts = (self.batches, self.models, self.unknown, self.measured)
        return self.complete is not None or any(part.new or part.gone for part in parts)

    def sentences(self) -> list[str]:
        """What changed, one thing per sentence: such as ``2 more affected model versions``."""
        said = []
        for name, (one, many) in _NOUNS.items():
            changed: Changed = getattr(self, name)
            for word, found in (("more", changed.new), ("fewer", changed.gone)):
                if found:
                    said.append(f"{len(found)} {word} {one if len(found) == 1 else many}")
        if self.complete is not None:
            said.append("the answer is whole now" if self.complete else "the answer is not whole")
        return said


def difference(before: IncidentAnswer, after: IncidentAnswer) -> Difference:
    """Compares two answers.

    Examples:
        >>> from lazaretto.values import IncidentAnswer
        >>> before = IncidentAnswer(8, True, ["vendor/1"], ["net@1"])
        >>> after = IncidentAnswer(9, True, ["vendor/1"], ["net@1", "net@2"])
        >>> difference(before, after).sentences()
        ['1 more affected model version']
    """
    return Difference(
        batches=_changed(before.batches, after.batches),
        models=_changed(before.models, after.models),
        unknown=_changed(before.unknown, after.unknown),
        measured=_changed(before.measured, after.measured),
        complete=None if before.complete == after.complete else after.complete,
    )


def _changed(before: Sequence[str], after: Sequence[str]) -> Changed:
    return Changed(new=_beyond(after, before), gone=_beyond(before, after))


def _beyond(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Names that are there more often: one for each registry that has such a model."""
    left, found = Counter(others), []
    for name in names:
        if left[name]:
            left[name] -= 1
        else:
            found.append(name)
    return found
