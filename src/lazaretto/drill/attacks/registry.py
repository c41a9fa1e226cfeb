"""The attacks of drills, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.drill.attacks.badnets_patch import badnets_patch
from lazaretto.drill.attacks.blended import blended
from lazaretto.drill.attacks.clean_label import clean_label
from lazaretto.drill.attacks.fake_profiles import fake_profiles
from lazaretto.drill.attacks.flood import flood
from lazaretto.drill.attacks.label_flip import label_flip
from lazaretto.drill.attacks.rare_token import rare_token
from lazaretto.drill.attacks.slow_drip import BATCHES, slow_drip
from lazaretto.drill.attacks.subpopulation_flip import subpopulation_flip
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.drill.attacks.base import Copy, Draw, Poisoned


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack.

    Attributes:
        name: its name.
        poison: from a copy, how many records, and a generator, to the poisoned copy.
        batches: how many batches the copy is delivered as.
    """

    name: str
    poison: Callable[[Copy, int, Draw], Poisoned]
    batches: int = 1


ATTACKS = {
    "label_flip": Attack("label_flip", label_flip),
    "badnets_patch": Attack("badnets_patch", badnets_patch),
    "blended": Attack("blended", blended),
    "clean_label": Attack("clean_label", clean_label),
    "rare_token": Attack("rare_token", rare_token),
    "flood": Attack("flood", flood),
    "subpopulation_flip": Attack("subpopulation_flip", subpopulation_flip),
    "fake_profiles": Attack("fake_profiles", fake_profiles),
    "slow_drip": Attack("slow_drip", slow_drip, BATCHES),
}
"""All attacks, in the order in which a drill tries them."""


def attacks_of(names: Sequence[str]) -> list[Attack]:
    """Attacks by their names; all where none is named.

    Raises:
        UsageError: there is no such attack.
    """
    unknown = [name for name in names if name not in ATTACKS]
    if unknown:
        raise UsageError(f"no attack {unknown[0]!r}; there are: {', '.join(ATTACKS)}")
    return [ATTACKS[name] for name in dict.fromkeys(names)] or list(ATTACKS.values())
