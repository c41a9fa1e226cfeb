"""What verifying the ledger says: its outcome, its problems, and the checkpoints it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What verifying came to."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    NOTHING = "NOTHING_TO_VERIFY"


class SignatureCheck(StrEnum):
    """What is known of a checkpoint's signature."""

    VERIFIED = "VERIFIED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    NOT_CHECKED = "NOT_CHECKED"


@dataclass(frozen=True, slots=True)
class LedgerProblem:
    """One thing that is wrong.

    Attributes:
        what: in words.
        first: the first entry that may be another than it was; None: not about entries.
        last: the last such entry.
    """

    what: str
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedCheckpoint:
    """A checkpoint, compared with the ledger.

    Attributes:
        where: path in the store, or the file's name as given.
        origin: whose ledger it says it is of.
        size: how many entries it was taken of.
        root: of the Merkle tree over them, hex.
        signature: whether one of the given keys signed it.
        holds: whether the ledger's first `size` entries are those that it was taken of.
    """

    where: str
    origin: str
    size: int
    root: str
    signature: SignatureCheck
    holds: bool


@dataclass(frozen=True, slots=True)
class ClockStep:
    """An entry that is older than the one before it, by what the clocks said.

    Attributes:
        seq: number of the entry.
        at: its time, ISO 8601.
        before: time of the entry before it.
        actor: who wrote it, on whose machine.
    """

    seq: int
    at: str
    before: str
    actor: str


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Whether the ledger holds, and by what evidence.

    Attributes:
        outcome: ``NOTHING_TO_VERIFY`` is no success: nothing was ever written here.
        entries: how many entries were recomputed and are in order.
        covered: how many of them are under a checkpoint that agrees; with keys, one that they
            signed. Whoever can write catalog and store could have rewritten the others.
        problems: what is wrong; the chain first, then the checkpoints.
        checkpoints: all that were compared, the smallest first.
        reports: reports of incidents that are gone or are others than their entries say.
        clock_steps: entries that are older than the one before them; their order holds all the
            same, a window in time may miss them.
    """

    outcome: Outcome
    entries: int
    covered: int
    problems: list[LedgerProblem]
    checkpoints: list[CheckedCheckpoint]
    reports: list[LedgerProblem] = field(default_factory=list)
    clock_steps: list[ClockStep] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the ledger holds."""
        return self.outcome is Outcome.HOLDS
