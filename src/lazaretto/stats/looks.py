"""When a source's batches are looked at together for neighbourhoods, and what the looks tell."""

from __future__ import annotations

from dataclasses import dataclass

LOOKS = (3, 4, 6, 8, 11, 15, 21, 29)
"""A look comes with each of these batches, at all batches from the first on. Behind the last of
them it begins anew: so each look reads a bounded number of batches, and a drip that starts late is
not thinned by all that was clean before it."""
CAUTION = 4
"""What a look finds counts as so many times as likely for the source. All looks compare with one
reference, so that its luck is in each of them; one batch is compared with it once."""


def look_back(before: int) -> int:
    """How many batches are looked at together with the next one; 0: it is not time for a look.

    Args:
        before: batches of the source that were counted.

    Examples:
        >>> [look_back(number) for number in (0, 2, 3, 4, 14, 28, 29, 31)]
        [0, 2, 3, 0, 14, 28, 0, 2]
    """
    place = before % LOOKS[-1] + 1
    return place - 1 if place in LOOKS else 0


@dataclass(frozen=True, slots=True)
class Looks:
    """What the looks at a source's batches tell.

    Look number j may spend ``1 / (j (j + 1))`` of the level: so the chance that `p_value` of a
    clean source is ever at most alpha is at most alpha, however long it delivers.

    Attributes:
        count: how many looks there were.
        p_value: of the last one, adjusted for all looks.
    """

    count: int = 0
    p_value: float = 1.0

    def after(self, p_value: float | None) -> Looks:
        """With one more look; None: there was none with this batch.

        Examples:
            >>> Looks().after(None).after(0.001)
            Looks(count=1, p_value=0.008)
        """
        if p_value is None:
            return self
        number = self.count + 1
        return Looks(number, min(1.0, CAUTION * number * (number + 1) * p_value))
