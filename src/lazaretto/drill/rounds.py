"""The rounds of a drill: each draws every dose of every attack once, on one of the copies."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from lazaretto.drill.attacks.base import NotApplicableError
from lazaretto.drill.copied import newest_copies, read_copy
from lazaretto.errors import UsageError
from lazaretto.values import DrilledAttack, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.drill.attacks.base import Copy
    from lazaretto.drill.attacks.registry import Attack
    from lazaretto.drill.place import Dose, Place

    Tell = Callable[[str, int, int], None]

CONFIDENCE = 0.9
_JUDGED = (Verdict.PASS.value, Verdict.HOLD_RECORDS.value)


@dataclass(frozen=True, slots=True)
class DrillCost:
    """What a drill will cost, before it begins.

    Attributes:
        copies: how many poisoned copies are judged.
        rows: of the first copy.
        seconds: that all of it takes, about: as many as judging a clean copy took, for each.
        limit: seconds after which no round of draws begins; None: no limit.
    """

    copies: int
    rows: int
    seconds: float
    limit: float | None


@dataclass(slots=True)
class Rounds:
    """Draws one round after the other, so that time that runs out costs draws and no attack.

    Attributes:
        place: where copies are judged.
        attacks: that are tried.
        doses: shares of a copy to poison, ascending.
        seed: of the attacks.
        copied: ids of the batches that are copied, in turn; the newest one first.
        clean: what the gate made of each copy without any attack.
        tried: by attack, what came of each dose that was drawn.
        why_not: why an attack cannot be tried.
    """

    place: Place
    attacks: Sequence[Attack]
    doses: Sequence[float]
    seed: int
    copied: list[str] = field(default_factory=list)
    clean: list[Dose] = field(default_factory=list)
    tried: dict[str, list[Dose]] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    _copy: tuple[str, Copy] | None = None

    def find_copies(self, first: str, copy: Copy, most: int, *, alone: bool) -> None:
        """Looks for batches whose copies the gate would let in without an attack.

        Args:
            first: the batch that is copied in any case.
            copy: of it.
            most: at most so many batches.
            alone: copy no other one.

        Raises:
            UsageError: the gate holds the first copy although nothing was done to it.
        """
        clean = self._unharmed(copy, 1)
        if clean.verdict not in _JUDGED:
            raise UsageError(
                f"the copy of {first} is {clean.verdict} without any attack, so that a drill "
                f"would say nothing ({', '.join(clean.reasons) or 'see the batch'}): name another "
                "batch"
            )
        self.copied, self.clean, self._copy = [first], [clean], (first, copy)
        if alone or most < 2:
            return
        place = self.place
        others = newest_copies(place.real, place.policy, place.source, without=first)
        # Not all batches of a source are tried where the gate would hold one after the other.
        for received, other in islice(others, 2 * most):
            clean = self._unharmed(other, 1)
            if clean.verdict in _JUDGED:
                self.copied.append(received.id)
                self.clean.append(clean)
            if len(self.copied) == most:
                return

    def cost(self, draws: int, limit: float | None) -> DrillCost:
        """What `run` will cost."""
        copies = draws * len(self.doses) * len(self.attacks)
        each = sum(one.seconds for one in self.clean) / len(self.clean)
        rows = self.clean[0].rows
        return DrillCost(copies, rows, round(copies * each, 1), limit)

    def run(self, draws: int, limit: float | None, tell: Tell | None) -> None:
        """Draws every dose of every attack `draws` times, fewer where time runs out."""
        began = time.monotonic()
        for number in range(draws):
            if number and limit is not None and time.monotonic() - began > limit:
                return
            copy = self._copy_of(self.copied[number % len(self.copied)])
            for place, attack in enumerate(self.attacks):
                if number and attack.name in self.why_not:
                    continue
                if tell is not None:
                    each = len(self.doses)
                    done = (number * len(self.attacks) + place) * each
                    tell("draws", done, draws * len(self.attacks) * each)
                self._draw(copy, attack, number)

    def _draw(self, copy: Copy, attack: Attack, number: int) -> None:
        """Tries the doses of an attack once."""
        found = []
        try:
            if attack.batches > 1:
                self._require_judged(copy, attack)
            for dose in self.doses:
                rows = copy.rows.num_rows
                chance = np.random.default_rng(
                    [self.seed, len(attack.name), round(dose * 10_000), number]
                )
                made = attack.poison(copy, max(1, round(dose * rows)), chance)
                found.append(self.place.judge(made.copy, made.chosen, attack.batches, dose))
        except NotApplicableError as error:
            # Another copy may lack what the first one has: that draw is left out.
            if not number:
                self.why_not[attack.name] = str(error)
            return
        self.tried.setdefault(attack.name, []).extend(found)

    def _copy_of(self, batch: str) -> Copy:
        if self._copy is None or self._copy[0] != batch:
            self._copy = batch, read_copy(self.place.real, self.place.policy, batch)
        return self._copy[1]

    def _unharmed(self, copy: Copy, batches: int) -> Dose:
        nothing = np.zeros(copy.rows.num_rows, bool)
        return self.place.judge(copy, nothing, batches, 0.0)

    def _require_judged(self, copy: Copy, attack: Attack) -> None:
        """Refuses an attack in several batches where such are held whatever they contain."""
        clean = self._unharmed(copy, attack.batches)
        if clean.verdict not in _JUDGED:
            raise NotApplicableError(
                f"cut into {attack.batches} batches, the copy is {clean.verdict} without any attack"
            )


def told(name: str, rounds: Rounds, caught_at: float) -> DrilledAttack:
    """What goes on record of an attack."""
    if name in rounds.why_not:
        return DrilledAttack(name, why_not=rounds.why_not[name])
    doses = list(rounds.doses)
    drawn = [[one.recall for one in rounds.tried[name] if one.dose == dose] for dose in doses]
    recall = [round(sum(one) / len(one), 6) for one in drawn]
    ends = [interval(one) for one in drawn]
    return DrilledAttack(
        name,
        doses,
        recall,
        _smallest(doses, recall, caught_at),
        low=[low for low, _ in ends],
        high=[high for _, high in ends],
        draws=[len(one) for one in drawn],
    )


def interval(shares: Sequence[float]) -> tuple[float, float]:
    """An interval for the mean of shares, from a few draws of it.

    Exact for draws that are 0 or 1, as where a whole batch is held or not (Clopper and Pearson,
    1934, at `CONFIDENCE`). Draws in between vary less than that, and the interval, taken at their
    sum, is wider than it need be.

    Args:
        shares: of each draw, in [0, 1]; at least one.
    """
    total, count, tail = sum(shares), len(shares), (1 - CONFIDENCE) / 2
    missed = max(0.0, count - total)
    low = float(beta.ppf(tail, total, missed + 1)) if total > 0 else 0.0
    high = float(beta.ppf(1 - tail, total + 1, missed)) if missed > 0 else 1.0
    return round(low, 4), round(high, 4)


def _smallest(doses: Sequence[float], recall: Sequence[float], caught_at: float) -> float | None:
    """The smallest dose from which on, at all greater ones too, the attack is caught."""
    found: float | None = None
    for dose, share in sorted(zip(doses, recall, strict=True), reverse=True):
        if share < caught_at:
            break
        found = dose
    return found
