"""The threshold explorer: what other rates would have held of the last batches of a dataset.

Each batch is judged again by the rule of screening, from the p-values that its screening left, with
nothing changed but the rate; and what is held then is compared with what people decided. Nothing is
written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.authority.policies import policy_history
from lazaretto.errors import NotFoundError, PolicyError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.quarantine.standing import decisions_of
from lazaretto.reference.calibrated import CalibrationRows
from lazaretto.registry.references import read_reference
from lazaretto.stages.judged import last_judged, require_name
from lazaretto.stages.outcomes import RateOutcome, Replay, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.authority.policies import Registered
    from lazaretto.policy import Policy
    from lazaretto.registry.stored import StoredReference
    from lazaretto.stages.judged import JudgedBatch
    from lazaretto.storage.workspace import Workspace

    Tell = Callable[[str, int, int], None]

LAST = 20
"""Batches that are looked at where nothing else is asked for."""
_AROUND = (0.1, 0.2, 0.5, 1, 2, 5, 10)
_HIGHEST = 0.5


@dataclass(frozen=True, slots=True)
class Exploration:
    """What several rates would have done to the last batches of a dataset.

    Attributes:
        dataset: its name.
        meaning: sha256 (hex) of what the policy in force says.
        rate: its rate.
        asked: so many batches were asked for.
        batches: ids of those that were looked at, newest first.
        records: that they have.
        since: when the oldest of them arrived; None: there is none.
        until: when the newest did.
        rates: one outcome per rate, the lowest first.
        left_out: batches that were not looked at, each with the reason.
        differs: batches for which the rule, at the rate of their own policy, does not give what is
            on record: their figures are not to be relied on.
        notes: what these figures cannot say, in words.
    """

    dataset: str
    meaning: str
    rate: float
    asked: int
    batches: list[str]
    records: int
    since: datetime | None
    until: datetime | None
    rates: list[RateOutcome]
    left_out: list[str]
    differs: list[str]
    notes: list[str]


def explore_rates(
    workspace: Workspace,
    dataset: str,
    *,
    batches: int = LAST,
    most_records: int | None = None,
    tell: Tell | None = None,
) -> Exploration:
    """Computes what rates around the one in force would have held of the last batches.

    Memory holds what screening found in one batch, and of each batch its ledger entries.

    Args:
        workspace: catalog and store.
        dataset: its name.
        batches: look at the last so many that were judged for it.
        most_records: leave out the older ones of them once they have more records together.
        tell: called with a step's name, how many batches are done, and how many there are.

    Raises:
        NotFoundError: no policy is in force for such a dataset.
        ChangedFileError: what a screening found, or a list of decided records, was changed.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> found = explore_rates(workspace, "reviews")
        >>> [outcome.held for outcome in found.rates if outcome.in_force]
        [6]
    """
    require_name(dataset)
    with workspace.catalog.read() as connection:
        history = policy_history(connection, dataset)
        if not history:
            raise NotFoundError(f"no policy is in force for dataset {dataset!r}")
        found = last_judged(connection, dataset, batches)
        left_out = list[str]()
        seen = list(_looked_at(connection, found, history, most_records, left_out))
    policy = history[-1].rules
    rate, outcomes = policy.screen.false_quarantine_rate, dict[float, RateOutcome]()
    for each in rates_around(rate):
        outcomes[each] = RateOutcome(each, in_force=each == rate)
    differs, calibrations = [], dict[str, CalibrationRows]()
    for number, one in enumerate(seen, start=1):
        replay = Replay.of(workspace.store, one, calibrations)
        if not replay.as_recorded():
            differs.append(one.found.id)
        for each, before in outcomes.items():
            outcomes[each] = replay.added(before)
        if tell is not None:
            tell("batches", number, len(seen))
    return Exploration(
        dataset=dataset,
        meaning=history[-1].meaning,
        rate=rate,
        asked=batches,
        batches=[one.found.id for one in seen],
        records=sum(one.found.verdict.rows for one in seen),
        since=seen[-1].found.arrived if seen else None,
        until=seen[0].found.arrived if seen else None,
        rates=list(outcomes.values()),
        left_out=left_out,
        differs=differs,
        notes=_notes(policy, seen),
    )


def rates_around(rate: float) -> list[float]:
    """The rate, and some that are up to ten times lower and higher; ascending."""
    found = {float(f"{rate * factor:.6g}") for factor in _AROUND if factor != 1}
    return sorted({rate, *(each for each in found if each <= _HIGHEST)})


def _looked_at(
    connection: Connection,
    found: Sequence[JudgedBatch],
    history: Sequence[Registered],
    most_records: int | None,
    left_out: list[str],
) -> Iterator[Seen]:
    """The batches that can be looked at, newest first; says of the others why not."""
    registered = {one.meaning: one for one in history}
    total = 0
    for number, one in enumerate(found):
        total += one.verdict.rows
        if most_records is not None and total > most_records:
            older = len(found) - number
            left_out.append(
                f"the {older} oldest {'batch' if older == 1 else 'batches'}: with them there are "
                f"more than {most_records:,} records"
            )
            return
        by = registered.get(one.verdict.policy.meaning)
        try:
            if by is None:
                raise PolicyError("the policy that judged it was never in force")
            policy = by.rules
        except PolicyError as error:
            left_out.append(f"{one.id}: {error}")
            continue
        case, screened = one.verdict.case, one.screened
        yield Seen(
            found=one,
            policy=policy,
            reference=None if screened is None else _reference_of(connection, screened),
            companions=None if screened is None else _companions_of(connection, screened),
            decisions=[] if case is None else decisions_of(connection, case),
        )


def _reference_of(connection: Connection, screened: BatchScreened) -> StoredReference:
    name = f"{screened.reference}/{screened.reference_version}"
    stored = read_reference(connection, name)
    if stored.digest != screened.reference_digest:
        raise NotFoundError(f"{screened.batch} was screened against another reference {name}")
    return stored


def _companions_of(connection: Connection, screened: BatchScreened) -> list[BatchScreened] | None:
    if screened.pool is None:
        return None
    events = [entry(connection, member.seq).event for member in screened.pool.members]
    return [event for event in events if isinstance(event, BatchScreened)]


def _notes(policy: Policy, seen: Sequence[Seen]) -> list[str]:
    """What the figures cannot say."""
    told = [
        "Records that the gate let in were never reviewed: whether they are clean is not known. "
        "So is whether a record that only a higher rate holds is poison.",
        "Records are not scored again: their p-values are those of their screening.",
    ]
    if any(one.found.screened and one.found.screened.tests for one in seen):
        told.append(
            "Batch tests are not run again: a batch that one of them held stays held whole, and "
            "what is held as near duplicates, as a group, or by a detector apart stays held. At "
            "another rate they would see somewhat other records. Neighbourhoods are told exactly."
        )
    if any(one.policy.screen.calibrate_by == "class" for one in seen):
        told.append(
            "Classes are calibrated by themselves as they were at the rate of then; at a lower "
            "rate fewer of them might be."
        )
    if any(one.companions is not None for one in seen):
        told.append(
            "Small batches are judged together with those that they were looked at with then."
        )
    if not policy.screen.decides:
        told.append(
            "No detector decides (all of them are in mode shadow), so the rate holds nothing: look "
            "at the records that the detectors mark."
        )
    return told
