"""What happens in a mixed history, as steps that can be left out one by one; nothing is resolved.

A step names things by short keys (``table:a``, ``model:eu:net``), and says by numbers between 0 and
1 which of several is meant. So a step means much the same when others before it are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

COUNTING, RANDOM, BARE = "counting", "random", "bare"
WHOLE, SPLIT, END, DOUBLE, LATE = "whole", "split", "end", "double", "late"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that sends events.

    Attributes:
        namespace: of its jobs.
        producer: of its events.
        style: ``whole``: START and COMPLETE name everything; ``split``: START names what was read,
            COMPLETE what was written; ``end``: there is a COMPLETE only; ``double``: as ``split``,
            with an empty COMPLETE before; ``late``: an OTHER event after COMPLETE names what was
            read.
        skew: seconds by which its clock is ahead.
        names_at_start: whether START names tables that will be written, without a version.
    """

    namespace: str
    producer: str
    style: str
    skew: float
    names_at_start: bool


@dataclass(frozen=True, slots=True)
class Read:
    """Something that a job reads.

    Attributes:
        thing: key of what.
        how: ``named``: its newest version, by name; ``old``: an earlier one, by name; ``bare``: as
            it is, without a version.
        pick: which earlier one, or which batch of a source.
        spelled: which spelling of its name is used.
        role: how a training uses it; None: nothing is said.
        part: partition; None: all of it.
    """

    thing: str
    how: str = "named"
    pick: float = 0.0
    spelled: int = 0
    role: str | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """Something that a job writes.

    Attributes:
        thing: key of what.
        change: lifecycle facet, or ``MEMBERS`` for a snapshot whose members are complete; None:
            none, so that it is appended to.
        spelled: which spelling of its name is used.
        part: partition; None: the table is not partitioned.
        replaces: whether a CREATE of a table that is there replaces it.
        before: key of the table that is renamed.
        again: whether the newest version of a model is measured once more, where there is one.
    """

    thing: str
    change: str | None = None
    spelled: int = 0
    part: str | None = None
    replaces: bool = True
    before: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens at a moment: seconds since the history began."""

    at: float


@dataclass(frozen=True, slots=True)
class Receive(Step):
    """A vendor's delivery becomes a batch of ours."""

    source: str


@dataclass(frozen=True, slots=True)
class Admit(Step):
    """A batch enters the admitted dataset."""

    pick: float


@dataclass(frozen=True, slots=True)
class Recall(Step):
    """Records of an admitted batch are taken back: all or one."""

    pick: float
    everything: bool


@dataclass(frozen=True, slots=True)
class Snapshot(Step):
    """A version of the admitted dataset is frozen, the newest or an earlier one."""

    pick: float


@dataclass(frozen=True, slots=True)
class Export(Step):
    """A version of the admitted dataset is written to a file."""

    file: str
    pick: float


@dataclass(frozen=True, slots=True)
class Register(Step):
    """A model version is registered with us.

    Attributes:
        model: key of it.
        pick: of which snapshot; below 0: of none.
        existing: the newest version that events told of, if there is one; else a new one.
        inputs: what else it learned from.
    """

    model: str
    pick: float
    existing: bool
    inputs: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class Declare(Step):
    """Somebody vouches that a thing comes from outside."""

    thing: str


@dataclass(frozen=True, slots=True)
class Alias(Step):
    """Somebody says that the last spelling of a table is another name of it."""

    thing: str


@dataclass(frozen=True, slots=True)
class Job(Step):
    """A run of another tool.

    Attributes:
        tool: index of it.
        key: makes its run id.
        reads: what it reads.
        writes: what it writes.
        moments: seconds after its start at which it reads, writes and ends.
        ticks: seconds after its start of RUNNING events of a stream, before its end: it moves
            data between each two.
        beats: the same of a run that is no stream: a sign of life that says nothing.
        fate: ``complete``, ``fail``, or ``retry``: it fails, and completes under the same run id.
        wrote: whether a run that fails has written.
        loss: ``start``, ``end``, ``whole`` or None: what of its events is lost.
        purpose: of a training.
    """

    tool: int
    key: int
    reads: tuple[Read, ...]
    writes: tuple[Write, ...]
    moments: tuple[float, float, float] = (0.1, 0.2, 0.3)
    ticks: tuple[float, ...] = ()
    beats: tuple[float, ...] = ()
    fate: str = "complete"
    wrote: bool = True
    loss: str | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A history before it is played.

    Attributes:
        seed: what it was made from.
        tools: who sends events.
        modes: how versions of each table are named: ``counting``, ``random`` or ``bare``.
        first: number of the first version of tables that count.
        steps: what happens.
        attack: numbers that choose what an attacker forges; empty: there is none.
        shuffle: what orders, repeats and splits the events.
    """

    seed: int
    tools: tuple[Tool, ...]
    modes: dict[str, str]
    first: int
    steps: tuple[Step, ...]
    attack: tuple[float, ...] = ()
    shuffle: int = 0
