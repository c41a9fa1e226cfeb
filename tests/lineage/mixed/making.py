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

WORKED, TRAINED, REGISTERED = "worked", "trained", "registered"


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


def _things(making: Making, use: str) -> list[str]:
    """What may be read, each as often as it is likely to be."""
    batches = [f"batch:{source}" for source in sorted(making.received)]
    tables, exports = sorted(making.tables), sorted(making.exports)
    ours = ["ours"] if making.admitted else []
    if use == REGISTERED:
        return [*tables, *ours, "outside:rates"]
    if use == TRAINED and tables:
        return [*tables * 8, *ours * 2, *exports * 2, *batches, "partner", "outside:rates"]
    return [*batches * 3, *ours * 3, *tables, *exports * 2, "partner", "outside:rates"]


def a_read(
    making: Making, *, use: str = WORKED, role: str | None = None, bare: bool = False
) -> Read:
    """Something that is read.

    Args:
        making: the story.
        use: what for: `WORKED` on, `TRAINED` on, or `REGISTERED` with a model.
        role: how it is used.
        bare: whether no version is named.
    """
    random = making.random
    registered = use == REGISTERED
    thing = random.choice(_things(making, use))
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
