"""What another policy would have made of a batch, beside what was held and what people decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.held import POSITION, REASON
from lazaretto.quarantine.standing import actions_in_force
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

REFUSED, FAILED, NOT_JUDGED = "REFUSED", "FAILED", "NOT_JUDGED"
"""What may become of a delivery instead of a verdict: the candidate takes it not at all; a stage
cannot work on it; nothing stands of what was judged before."""
_REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Said:
    """What was made of a batch.

    Attributes:
        verdict: of the gate; or ``REFUSED``, ``FAILED`` or ``NOT_JUDGED``.
        held: records that are held, or kept out.
        reasons: those by the signature of their first reason.
        notes: in words.
    """

    verdict: str
    held: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReasonChange:
    """What a rule, a detector or the whole batch (``batch``) held.

    Attributes:
        reason: ``contract:RULE``, ``screen:DETECTOR``, ``batch``, or ``refused``: the delivery is
            not taken.
        before: records that it held.
        after: records that it would hold.
        would_hold: of those, the ones that were not held.
        would_release: of those before, the ones that would not be held.
        missed: of those, the ones that reviewers rejected.
    """

    reason: str
    before: int = 0
    after: int = 0
    would_hold: int = 0
    would_release: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What would be different. Records are counted by what reviewers decided on them.

    Attributes:
        would_hold: records that would be held and were not; nobody was asked about them.
        would_release: records that were held and would not be, by the reviewers' action in force:
            ``RELEASE``, ``REJECT``, ``RELABEL``, ``REWEIGHT``, or ``UNDECIDED``.
        still_held: records that were held and would be again, likewise.
    """

    would_hold: int = 0
    would_release: dict[str, int] = field(default_factory=dict)
    still_held: dict[str, int] = field(default_factory=dict)

    @property
    def missed(self) -> int:
        """Records that reviewers rejected and that would have come in."""
        return self.would_release.get(Action.REJECT.value, 0)

    def __add__(self, other: Change) -> Change:
        return Change(
            self.would_hold + other.would_hold,
            dict(Counter(self.would_release) + Counter(other.would_release)),
            dict(Counter(self.still_held) + Counter(other.still_held)),
        )


@dataclass(frozen=True, slots=True)
class ReplayedBatch:
    """One batch.

    Attributes:
        batch: its id.
        source: who delivered it.
        arrived: when it was received, UTC.
        rows: its records.
        before: what stands on record of it.
        after: what the candidate would have made of it.
        change: how these differ.
        missed: rejected records that would have come in.
        same: whether the verdict and each held record stay what they are.
        reasons: what held its records and what would, by rule and detector.
    """

    batch: str
    source: str
    arrived: datetime
    rows: int
    before: Said
    after: Said
    change: Change
    missed: int
    same: bool
    reasons: list[ReasonChange]


@dataclass(frozen=True, slots=True)
class HeldRecords:
    """Which records of a batch are held, and the first reason of each.

    Attributes:
        positions: in the batch, ascending.
        reasons: signatures, in the same order.
    """

    positions: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.object_]

    @classmethod
    def read(cls, store: Store, file: StoredFile | None) -> HeldRecords:
        """What the file of a case says; None: nothing is held.

        Raises:
            ChangedFileError: it is gone, or is not the one that is on record.
        """
        if file is None:
            return cls(np.zeros(0, np.int64), np.zeros(0, object))
        table = read_table(store, file, columns=[POSITION, REASON])
        positions = table[POSITION].to_numpy()
        order = np.argsort(positions, kind="stable")
        reasons = table[REASON].to_numpy(zero_copy_only=False)
        return cls(positions[order], reasons[order])

    @classmethod
    def all_of(cls, rows: int) -> HeldRecords:
        """Every record of a delivery that is not taken."""
        return cls(np.arange(rows), np.full(rows, _REFUSED, dtype=object))


def compare_held(
    store: Store, before: HeldRecords, after: HeldRecords, decisions: Sequence[Decision]
) -> tuple[Change, list[ReasonChange]]:
    """What differs, in all and by reason.

    Args:
        store: where the lists of decided records are.
        before: what was held.
        after: what would be.
        decisions: on the case of what was held.

    Raises:
        ChangedFileError: a list of decided records is gone or was changed.
    """
    actions = actions_in_force(store, decisions)
    decided = dict(zip(actions["position"].to_pylist(), actions["action"].to_pylist(), strict=True))
    new = ~np.isin(after.positions, before.positions)
    gone = ~np.isin(before.positions, after.positions)
    standing = np.array([decided.get(at, UNDECIDED) for at in before.positions.tolist()], object)
    change = Change(int(new.sum()), dict(Counter(standing[gone])), dict(Counter(standing[~gone])))
    counts = {
        "before": Counter(before.reasons),
        "after": Counter(after.reasons),
        "would_hold": Counter(after.reasons[new]),
        "would_release": Counter(before.reasons[gone]),
        "missed": Counter(before.reasons[gone & (standing == Action.REJECT.value)]),
    }
    names = sorted(counts["before"].keys() | counts["after"].keys())
    reasons = [
        ReasonChange(name, **{what: found[name] for what, found in counts.items()})
        for name in names
    ]
    return change, reasons


def add_reasons(found: Sequence[ReasonChange]) -> list[ReasonChange]:
    """The same of several batches, by reason."""
    sums: dict[str, ReasonChange] = {}
    for one in found:
        last = sums.get(one.reason, ReasonChange(one.reason))
        sums[one.reason] = ReasonChange(
            one.reason,
            last.before + one.before,
            last.after + one.after,
            last.would_hold + one.would_hold,
            last.would_release + one.would_release,
            last.missed + one.missed,
        )
    return [sums[name] for name in sorted(sums)]
