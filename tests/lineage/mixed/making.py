"""A story in the making: what there is so far, and what may be read of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixed.names import spellings
from mixed.steps import BARE, Read

if TYPE_CHECKING:
    from random import Random

    from mixed.steps import Step, Tool

PLAIN, CLOSE, LOSSY, ATTACKED = "plain", "close", "lossy", "attacked"
KINDS = (PLAIN, CLOSE, LOSSY, ATTACKED)


@dataclass(slots=True)
class Making:
    """A story in the making, and what is known to be there.

    Attributes:
        pool: tables that jobs write; few, so that much happens to each.
    """

    random: Random
    kind: str
    tools: tuple[Tool, ...]
    modes: dict[str, str]
    partitioned: frozenset[str]
    pool: tuple[str, ...]
    now: float = 100.0
    steps: list[Step] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)
    exports: set[str] = field(default_factory=set)
    admitted: bool = False
    frozen: bool = False
    keys: int = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pause(self) -> None:
        """Time until the next step begins: long, or short where clocks are close."""
        close = self.kind == CLOSE or (self.kind == LOSSY and self.chance(0.2))
        if close and self.chance(0.7):
            self.now += self.random.choice((0.2, 1.0, 3.0, 7.0, 12.0))
        else:
            self.now += self.random.choice((40.0, 600.0, 7200.0))


def things(making: Making, registered: bool = False) -> list[str]:
    found = [f"batch:{source}" for source in sorted(making.received)]
    found += ["ours"] * 3 if making.admitted else []
    found += sorted(making.tables) * 4
    if not registered:
        found += sorted(making.exports) * 2
        found += ["partner"]
    return [*found, "outside:rates"]


def a_read(
    making: Making, *, registered: bool = False, role: str | None = None, bare: bool = False
) -> Read:
    random = making.random
    thing = random.choice(things(making, registered))
    how = random.choice(("named", "named", "bare", "bare", "old"))
    if thing.startswith("batch:"):
        how = random.choice(("named", "named", "named", "bare"))
    if thing == "outside:rates":
        how = random.choice(("named", "bare"))
    how = "named" if registered else "bare" if bare else how
    if registered and (thing.startswith("batch:") or making.modes.get(thing) == BARE):
        thing = "outside:rates"
    part = random.choice(("mon", "tue", None)) if thing in making.partitioned else None
    if role is None and making.chance(0.1):
        role = "TRAIN"
    return Read(thing, how, random.random(), random.randrange(len(spellings(thing))), role, part)
