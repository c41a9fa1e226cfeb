"""A sign: what one look at a column found, before it is compared with the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """A mark of a fault.

    Attributes:
        kind: of the fault.
        columns: that show it.
        detail: the fact, as the end of a sentence.
        p_value: chance that a batch like the reference differs from it so clearly.
        weight: how much it explains, 0 to 1: of two signs of one column the heavier one is told.
    """

    kind: str
    columns: tuple[str, ...]
    detail: str
    p_value: float
    weight: float
