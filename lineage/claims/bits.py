"""Numbers that the tables of claims keep for kinds, states, modes, bases and reasons."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Kind(IntFlag):
    """What a version is, as events say; several when they disagree."""

    TABLE = 1
    BATCH = 2
    MODEL = 4
    HIDDEN = 8
    """A step of a rule, which no answer shows: what a table ever held, or a tick of a stream."""
    MADE = 32
    """A rule made it: no event names it."""
    EXPORTED = 16
    """Of a name: a file that was exported, which a shared disk gives to other hosts."""


NO_KIND = Kind(0)
ENTRY, MODEL_ENTRY = "ledger:", "model:"
LEDGER_RUNS = (ENTRY, MODEL_ENTRY)
"""How runs are called that the ledger alone tells of; those of events are called by UUIDs."""


class State(IntFlag):
    """Which events of a run are known, and what they say of it."""

    START = 1
    RUNNING = 2
    COMPLETE = 4
    FAIL = 8
    ABORT = 16
    OTHER = 32
    STREAMING = 64
    LEDGER = 128
    """The ledger tells of it: it happened, and it hides nothing."""
    SOMETIME = 256
    """It read at any time before: it was told afterwards."""
    RECEIVES = 512
    """What it wrote is a batch with a source: that is its origin."""
    EMPTIES = 1024
    """It dropped, truncated or renamed a table, for which it needs no input."""
    TRAINS = 2048
    """It says that it trains a model."""

    @property
    def happened(self) -> bool:
        """Whether what it says that it wrote is written."""
        running = State.STREAMING | State.RUNNING
        return bool(self & (State.COMPLETE | State.LEDGER)) or self & running == running


def is_open(states: State, ended: int, finished: int | None) -> bool:
    """Whether the end of a run is not known: it never ended, or failed and was begun again.

    Args:
        states: its events.
        ended: its last event.
        finished: the last event that ends it; None: there is none.
    """
    if states & (State.COMPLETE | State.LEDGER):
        return False
    return finished is None or ended > finished


class Mode(IntFlag):
    """How a run says that it wrote a table."""

    REPLACED = 1
    CREATED = 2
    DROPPED = 4
    RENAMED = 8
    UNNAMED = 16
    """It named no version."""
    EMPTIED = 128
    """It was truncated."""
    SUMMED = 256
    """It named more partitions than are kept apart."""
    AS_BATCH = 32
    AS_MODEL = 64
    """What the event that told of it says that it wrote."""


NO_MODE = Mode(0)


class Basis(IntEnum):
    """What a link rests on."""

    KNOWN = 0
    INFERRED = 1
    POSSIBLE = 2
    MEASURED = 3
    """It was only used to measure: nothing was learned from it."""


class Why(IntEnum):
    """The rule that a link follows from; see `docs/explanation/lineage-rules.md`."""

    NAMED = 0
    APPENDED = 1
    LAST_STATE = 2
    SAME_NAME = 3
    RENAMED = 4
    ORDER_UNKNOWN = 5
    NOT_FINISHED = 6
    HISTORY = 7
    STREAM = 8
    ADMITTED_THEN = 9
    WHOLE_TABLE = 10
    REGISTERED = 11
    ONE_OF = 12
    """All versions that lead to an end by this rule are those of which one was read."""


WORDS: dict[Why, str] = {
    Why.NAMED: "named by an event or the ledger",
    Why.APPENDED: "appended to what was there",
    Why.LAST_STATE: "the state of the table at that time",
    Why.SAME_NAME: "two names of the same",
    Why.RENAMED: "the table was renamed",
    Why.ORDER_UNKNOWN: "the order of events is not known",
    Why.NOT_FINISHED: "the run failed, or its end is not known",
    Why.HISTORY: "what the table had held before",
    Why.STREAM: "a stream had passed it on by then",
    Why.ADMITTED_THEN: "the version of the admitted dataset at that time",
    Why.WHOLE_TABLE: "a part of the table that was read as a whole",
    Why.REGISTERED: "the run that the model was registered with",
    Why.ONE_OF: "one of the states around that time",
}


class Gap:
    """Kinds of gap."""

    VERSION = "version_without_run"
    MISSING = "missing_version"
    TABLE = "table_without_run"
    NO_INPUTS = "no_inputs"
    OPEN_RUN = "open_run"
    NO_START = "start_missing"
    ADMITTED = "unknown_admitted_version"
    MANY = "many_admitted_versions"


GAPS: dict[str, str] = {
    Gap.VERSION: "no run is known that made it",
    Gap.MISSING: "a version before it is missing, and what that held is not known",
    Gap.TABLE: "it read a table that no run is known to have written",
    Gap.NO_INPUTS: "the run that made it named no input",
    Gap.NO_START: "its start, which may have named more inputs, is missing",
    Gap.OPEN_RUN: "its end is not known, nor what it wrote",
    Gap.ADMITTED: "the ledger does not know this version of the admitted dataset",
    Gap.MANY: "it may have read any of many versions of the admitted dataset",
}


def version_end(version: int) -> int:
    """The end of links that a version is."""
    return 2 * version


def run_end(run: int) -> int:
    """The end of links that a run is."""
    return 2 * run + 1
