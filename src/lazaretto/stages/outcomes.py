"""What one batch would have been at another rate, and what people decided on its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.standing import actions_in_force
from lazaretto.reference.calibrated import read_calibration
from lazaretto.screen import Companion
from lazaretto.screen.again import COLUMNS, AtRate, Screened, at_rate
from lazaretto.stages.verdict import verdict_of
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.ledger.events import BatchScreened
    from lazaretto.policy import Policy
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.reference.calibrated import CalibrationRows
    from lazaretto.registry.stored import StoredReference
    from lazaretto.stages.judged import JudgedBatch
    from lazaretto.storage.store import Store

    Mask = npt.NDArray[np.bool_]

NEVER_REVIEWED = "NEVER_REVIEWED"
STANDINGS = (*(action.value for action in Action), UNDECIDED, NEVER_REVIEWED)
"""What may have become of a record: a reviewer's action that is in force, none yet, or no reviewer
was ever asked because the gate let it in."""


@dataclass(frozen=True, slots=True)
class RateOutcome:
    """What a rate would have done to the batches.

    Attributes:
        rate: the false quarantine rate.
        in_force: whether it is that of the policy in force.
        batches: batches of which that is known.
        records: their records.
        suspected: records that the detectors mark at this rate.
        held: records that would be in quarantine: those, the ones that are held whatever the rate,
            and all of the batches that are held whole.
        whole: batches that would be held as a whole.
        cannot_judge: of those, the ones in which poison could not be seen at this rate.
        reviewed: records that would be held, by what became of them; see `STANDINGS`.
        let_in: records that were held, and would not be at this rate, by what became of them.
        unknown: batches that are too small for this rate to be judged alone; with which others they
            would have been judged is on no record, so they are not counted above.
    """

    rate: float
    in_force: bool
    batches: int = 0
    records: int = 0
    suspected: int = 0
    held: int = 0
    whole: int = 0
    cannot_judge: int = 0
    reviewed: dict[str, int] = field(default_factory=dict)
    let_in: dict[str, int] = field(default_factory=dict)
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the catalog says of a batch that is looked at.

    Attributes:
        found: its judgement.
        policy: by which that was made.
        reference: that it was screened against; None: it was not screened.
        companions: the screenings of the other small batches that it was looked at with.
        decisions: on its case.
    """

    found: JudgedBatch
    policy: Policy
    reference: StoredReference | None
    companions: list[BatchScreened] | None
    decisions: list[Decision]


@dataclass(frozen=True, slots=True)
class Replay:
    """A batch, ready to be judged at any rate. m screened records.

    Attributes:
        seen: what the catalog says of it.
        screened: what screening found; None: the contract is broken as a whole.
        standing: int64 (m,), what became of each screened record, by its place in `STANDINGS`.
        others: the same of the records that were not screened: the contract holds them.
        objected: whether the delivery itself was objected to, so that all of it is held.
    """

    seen: Seen
    screened: Screened | None
    standing: npt.NDArray[np.int64]
    others: Counter[str]
    objected: bool

    @classmethod
    def of(cls, store: Store, seen: Seen, calibrations: dict[str, CalibrationRows]) -> Replay:
        """Reads what screening found, and what was decided; every file is checked."""
        found, event = seen.found, seen.found.verdict
        usual, _ = verdict_of(event.rows, found.validated, found.screened, seen.policy)
        objected = event.verdict.holds_batch and not usual.holds_batch
        actions = actions_in_force(store, seen.decisions)
        if found.screened is None or seen.reference is None:
            others = _counted(actions["action"], event.rows)
            return cls(seen, None, np.empty(0, dtype=np.int64), others, objected)
        records = read_table(store, found.screened.scores, columns=COLUMNS)
        standing = _standing(records, actions, whole=event.verdict.holds_batch)
        contract = actions.filter(
            pc.invert(pc.is_in(actions["record_id"], records["record_id"].combine_chunks()))
        )
        screened = Screened.of(
            records,
            found.screened.tests,
            _calibration(store, seen.reference, calibrations),
            seen.policy,
            _read_companions(store, seen.companions),
            over_batches=bool(found.screened.earlier),
        )
        others = _counted(contract["action"], event.rows - records.num_rows)
        return cls(seen, screened, standing, others, objected)

    def as_recorded(self) -> bool:
        """Whether the rule gives what is on record at the rate that the batch was judged by."""
        rate = self.seen.policy.screen.false_quarantine_rate
        again = None if self.screened is None else at_rate(self.screened, rate)
        verdict, held = self._judged(again)
        event = self.seen.found.verdict
        return (verdict, int(held.sum()) + self.others.total()) == (event.verdict, event.held)

    def added(self, before: RateOutcome) -> RateOutcome:
        """An outcome with this batch."""
        again = None if self.screened is None else at_rate(self.screened, before.rate)
        if again is not None and not again.can_tell:
            return replace(before, unknown=before.unknown + 1)
        verdict, held = self._judged(again)
        reviewed = Counter(before.reviewed) + self.others + _named(self.standing[held])
        missing = _named(self.standing[~held])
        del missing[NEVER_REVIEWED]  # they came in, and would again
        return replace(
            before,
            batches=before.batches + 1,
            records=before.records + self.seen.found.verdict.rows,
            suspected=before.suspected + (0 if again is None else int(again.suspected.sum())),
            held=before.held + int(held.sum()) + self.others.total(),
            whole=before.whole + verdict.holds_batch,
            cannot_judge=before.cannot_judge + (verdict is Verdict.ABSTAIN),
            reviewed=dict(reviewed),
            let_in=dict(Counter(before.let_in) + missing),
        )

    def _judged(self, again: AtRate | None) -> tuple[Verdict, Mask]:
        """The gate's verdict, and which of the screened records are held."""
        found = self.seen.found
        screened = found.screened
        if screened is not None and again is not None:
            held = int(again.held.sum())
            screened = replace(screened, verdict=again.verdict, held=held, note=again.note)
        verdict, _ = verdict_of(found.verdict.rows, found.validated, screened, self.seen.policy)
        if self.objected and not verdict.holds_batch:
            verdict = Verdict.HOLD_BATCH
        whole = np.ones(len(self.standing), dtype=bool)
        return verdict, whole if verdict.holds_batch or again is None else again.held


def _standing(records: pa.Table, actions: pa.Table, *, whole: bool) -> npt.NDArray[np.int64]:
    """What became of each screened record; ids are unique among them."""
    in_case = np.ones(records.num_rows, dtype=bool) if whole else records["held"].to_numpy()
    found = np.where(in_case, STANDINGS.index(UNDECIDED), STANDINGS.index(NEVER_REVIEWED))
    place = pc.index_in(records["record_id"], actions["record_id"].combine_chunks())
    decided = np.flatnonzero(place.is_valid().to_numpy())
    action = actions["action"].take(place.drop_null())
    found[decided] = pc.index_in(action, pa.array(STANDINGS)).to_numpy()
    return found.astype(np.int64)


def _named(standing: npt.NDArray[np.int64]) -> Counter[str]:
    counts = np.bincount(standing, minlength=len(STANDINGS)).tolist()
    return Counter({name: count for name, count in zip(STANDINGS, counts, strict=True) if count})


def _counted(actions: pa.ChunkedArray, records: int) -> Counter[str]:
    """Records by the action in force; the rest of so many is undecided."""
    found = Counter({item["values"]: item["counts"] for item in actions.value_counts().to_pylist()})
    return found + Counter({UNDECIDED: records - len(actions)})


def _calibration(
    store: Store, reference: StoredReference, known: dict[str, CalibrationRows]
) -> CalibrationRows:
    if reference.digest not in known:
        metadata = store.read(reference.files[0])
        with store.open(reference.files[1]) as tensors:
            known[reference.digest] = read_calibration(metadata, tensors)
    return known[reference.digest]


def _read_companions(store: Store, found: list[BatchScreened] | None) -> list[Companion] | None:
    if found is None:
        return None
    columns = [name for name in COLUMNS if name not in ("reasons", "named_at")]
    return [
        Companion(event.batch, read_table(store, event.scores, columns=columns)) for event in found
    ]
