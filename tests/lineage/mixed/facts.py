"""What a history is made of once it has happened: states of things, and who made them of what.

Nothing here knows of events, of their order or of any rule: a state has the states that it was made
of as its parents, and a batch is a state without parents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ledger_history import START

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from mixed.steps import Job, Read, Story, Write

ROWS = 10
MEASURES = ("TEST", "EVAL")
CARRIED = -1
EMPTYING = ("DROP", "TRUNCATE", "RENAME")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch: of our own, or of somebody else's gate."""

    id: str
    source: str
    at: float
    ours: bool


@dataclass(slots=True)
class Table:
    """A table as it is: the state of each partition (``""``: it has none), and named versions."""

    mode: str
    parts: dict[str, str] = field(default_factory=dict)
    versions: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read found: the states, and the version by which it names them."""

    read: Read
    states: tuple[str, ...]
    version: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """What a write made: the state (None: nothing is left), and its version."""

    write: Write
    state: str | None
    version: str | None
    at: float


@dataclass(slots=True)
class Run:
    """A job as it went."""

    job: Job
    seen: list[Seen] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    cancelled: bool = False


@dataclass(slots=True)
class World:
    """What happened.

    Attributes:
        story: what it was played from.
        parents: of each state, the states that it holds, each with the jobs that brought it;
            `CARRIED` where no job did.
        measured: of each model version, the states that it was only measured on.
        batches: all batches by id, which is their state, too.
        models: state of each model version, by registry, name and version.
        runs: of other tools.
        ledger: what we put on record: moment, kind and values.
        mixed: why the answer need not be exact, although nothing was lost.
    """

    story: Story
    parents: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    measured: dict[str, set[str]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    models: dict[tuple[str, str, str], str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    ledger: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    tables: dict[str, Table] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    versions: dict[int, dict[str, int]] = field(default_factory=dict)
    snapshots: dict[int, dict[str, int]] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    aliased: set[str] = field(default_factory=set)

    def record(self, at: float, kind: str, **values: Any) -> None:
        self.ledger.append((at, kind, values))

    def state(self, name: str, parents: Iterable[str] = (), by: int = CARRIED) -> str:
        """A new state of that name, or of one like it."""
        while name in self.parents:
            name += "'"
        self.parents[name] = {}
        self.hold(name, parents, by)
        return name

    def hold(self, state: str, parents: Iterable[str], by: int = CARRIED) -> None:
        """Says that a state holds others."""
        found = self.parents.setdefault(state, {})
        for parent in parents:
            found.setdefault(parent, set()).add(by)


def moment(seconds: float) -> datetime:
    """A moment of a history."""
    return START + timedelta(seconds=seconds)


def chosen(found: list[Any], pick: float) -> Any:
    """One of several, by a number from 0 to 1."""
    return found[min(int(pick * len(found)), len(found) - 1)]
