"""The decision rule at another rate, on the p-values that a screening left on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.reference.calibrated import apart_of, weights_of
from lazaretto.screen._calibration import CalibrationScores
from lazaretto.screen._decide import BY_RULE, decide, held_whole, rest_of, verdict_of
from lazaretto.screen._measured import Measured, class_numbers, groups_by_text
from lazaretto.screen._neighbourhood import NEIGHBOURHOOD, search_level
from lazaretto.screen._over_batches import OVER_BATCHES
from lazaretto.stats.conformal import Calibration
from lazaretto.values import REPORTED_ONLY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.policy import Policy
    from lazaretto.reference.calibrated import CalibrationRows
    from lazaretto.screen._pool import Companion
    from lazaretto.values import TestSummary, Verdict

COLUMNS = ["record_id", "label", "p_value", "held", "reasons", "named_at"]
"""Columns of `Screening.records` that are looked at again."""
_NAMING = ("apart_excess", "group_excess", "copies_elsewhere")
"""Tests that name records, and never hold a batch as a whole; what they name stays held whatever
the rate."""
_SEARCHES = (NEIGHBOURHOOD, OVER_BATCHES)
"""Searches that name records from some level on, and never hold a batch as a whole."""
_COPIES = "near_duplicates"
"""Names records whatever the rate, or holds the batch."""


@dataclass(frozen=True, slots=True)
class Screened:
    """A batch of m records as it was screened.

    Attributes:
        measured: its p-values, and what they were read from.
        kept: bool (m,), held whatever the rate: it could not be scored, or a test names it.
        named_at: float64 (m,), the level from which on a search for neighbourhoods names it; NaN:
            at none.
        over_batches: whether it was looked at together with earlier batches of its source.
        fired: what the batch tests said that hold it whole, by name.
        policy: under which it was screened.
        companions: the other small batches that it was looked at with, the nearest first; None: it
            was large enough to be judged alone.
    """

    measured: Measured
    kept: npt.NDArray[np.bool_]
    named_at: npt.NDArray[np.float64]
    over_batches: bool
    fired: dict[str, str]
    policy: Policy
    companions: Sequence[Companion] | None

    @classmethod
    def of(
        cls,
        records: pa.Table,
        tests: Sequence[TestSummary],
        known: CalibrationRows,
        policy: Policy,
        companions: Sequence[Companion] | None,
        *,
        over_batches: bool,
    ) -> Screened:
        """As it is on record.

        Args:
            records: `COLUMNS` of `Screening.records`.
            tests: the batch tests.
            known: calibration rows of the reference that it was screened against.
            policy: under which that was.
            companions: see above.
            over_batches: see above.
        """
        weights = weights_of(policy, known.detectors)
        scores = CalibrationScores.under(known, policy, weights)
        texts = records["label"].combine_chunks()
        group = groups_by_text(texts, known.classes, scores.by_class)
        p_value = records["p_value"].to_numpy().astype(np.float64)
        measured = Measured(
            p_value,
            class_numbers(texts, known.classes),
            Calibration(scores.rows, group, scores.delta),
            scores.known,
            known.classes,
            scores.by_class,
            bool(apart_of(policy, known.detectors)),
        )
        copies = _named(records, _COPIES)
        kept = np.logical_or.reduce([copies, *(_named(records, name) for name in _NAMING)])
        by_name = {*BY_RULE, *_NAMING, *_SEARCHES, *([_COPIES] if copies.any() else [])}
        return cls(
            measured=measured,
            kept=kept | ~measured.usable,
            named_at=records["named_at"].to_numpy().astype(np.float64),
            over_batches=over_batches,
            fired={
                test.name: test.detail
                for test in tests
                if test.fired
                and not test.detail.endswith(REPORTED_ONLY)
                and test.name not in by_name
            },
            policy=policy,
            companions=companions,
        )


@dataclass(frozen=True, slots=True)
class AtRate:
    """What screening says of a batch of m records at a rate.

    Attributes:
        suspected: bool (m,), which records the detectors mark.
        held: bool (m,), which are held: those, unless no detector decides, and what is held
            whatever the rate.
        verdict: of screening.
        note: why the batch as a whole is held.
        can_tell: whether this is all known. At a lower rate a batch may be too small to be judged
            alone, and with which others it would have been judged is on no record.
    """

    suspected: npt.NDArray[np.bool_]
    held: npt.NDArray[np.bool_]
    verdict: Verdict
    note: str | None
    can_tell: bool


def at_rate(screened: Screened, rate: float) -> AtRate:
    """Applies the rule that screening applies, at another rate.

    Nothing is scored again: each p-value is as it was read. The batch tests are not run again, what
    they said stands; at another rate they would have looked at somewhat other records.

    Args:
        screened: the batch.
        rate: instead of `screen.false_quarantine_rate`; at that rate, the outcome is that of
            screening.
    """
    policy = with_rate(screened.policy, rate)
    decided = decide(screened.measured, policy, screened.companions or ())
    held = screened.kept.copy()
    if decided.pool is None or not decided.pool.is_joint:
        level = search_level(decided.budget, policy, over_batches=screened.over_batches)
        held |= screened.named_at <= level
    if policy.screen.decides:
        held |= decided.suspected
    cannot = None
    if decided.cannot_judge(policy):
        cannot = f"cannot judge: fewer than {decided.detectable} extreme records could not be held"
    fired = screened.fired | held_whole(decided, rest_of(decided, screened.measured, held), policy)
    verdict, note = verdict_of(held, cannot, fired, policy)
    can_tell = decided.pool is None or screened.companions is not None
    return AtRate(decided.suspected, held, verdict, note, can_tell)


def with_rate(policy: Policy, rate: float) -> Policy:
    """The same policy with another false quarantine rate."""
    screen = policy.screen.model_copy(update={"false_quarantine_rate": rate})
    return policy.model_copy(update={"screen": screen})


def _named(records: pa.Table, test: str) -> npt.NDArray[np.bool_]:
    """Which records are held because a test names them, by their reasons."""
    found = np.zeros(records.num_rows, dtype=bool)
    rows = np.flatnonzero(records["held"].to_numpy())
    reasons = records["reasons"].take(pa.array(rows)).combine_chunks()
    said = pc.starts_with(pc.list_flatten(reasons), f"{test}:")
    found[rows[pc.list_parent_indices(reasons).filter(said).to_numpy()]] = True
    return found
