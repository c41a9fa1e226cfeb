"""From scored records to held records, batch tests and one verdict."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.reference._partition import SMALLEST_REFERENCE
from lazaretto.reference.calibrated import apart_of
from lazaretto.screen._decide import (
    BROAD,
    CLASSES,
    decide,
    held_whole,
    rest_of,
    verdict_of,
)
from lazaretto.screen._groups import numbered
from lazaretto.screen._matching import CloseTo, positions_in
from lazaretto.screen._neighbourhood import named_at
from lazaretto.screen._over_batches import suspects_of
from lazaretto.screen._parts import look_at_parts
from lazaretto.screen._power import weak_spot
from lazaretto.screen._result import Screening
from lazaretto.screen._sizes import sizes_of
from lazaretto.screen.batch_tests.run import run_tests
from lazaretto.stats.conformal import Calibration, suspects
from lazaretto.stats.sizes import min_detectable, wanted_records
from lazaretto.stats.slow import tally, tally_groups
from lazaretto.text import cut
from lazaretto.values import REPORTED_ONLY, DetectorSummary, TestSummary

NO_DETECTOR_DECIDES = (
    "No detector decides: all of them only watch (mode shadow). Contract and batch tests decide."
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._decide import Decided, Rest
    from lazaretto.screen._earlier import Earlier
    from lazaretto.screen._groups import Numbered
    from lazaretto.screen._matching import Question
    from lazaretto.screen._measured import Measured
    from lazaretto.screen._pool import Companion
    from lazaretto.screen._score import Scored
    from lazaretto.screen.batch_tests.run import Tested
    from lazaretto.stats.localised import ClassExcess
    from lazaretto.values import OddRecords


def judge(
    scored: Scored,
    reference: Reference,
    policy: Policy,
    find: Callable[[Question], Ints],
    companions: Sequence[Companion] = (),
    earlier: Sequence[Earlier] = (),
) -> Screening:
    """Applies the policy to scored records; see `lazaretto.screen.screen`.

    Args:
        scored: the batch.
        reference: what it was scored against.
        policy: the policy.
        find: positions of all records for which a question holds, in a second pass over the batch;
            called only where something was found, in a batch that is larger than its sample.
        companions: other small batches of the source, the nearest first.
        earlier: batches of the source that are looked at together with it, the newest first.
    """
    set_apart = apart_of(policy, reference.detectors)
    measured = scored.measured(reference.classes, apart=bool(set_apart))
    decided, usable = decide(measured, policy, companions), measured.usable
    pool, remark, detectable = decided.pool, decided.remark, decided.detectable
    held = np.zeros(len(scored), dtype=bool)
    if policy.screen.decides:
        held |= decided.suspected
    else:
        marked = int(decided.suspected.sum())
        remark = _watching(scored, marked, int(usable.sum()), detectable, policy)
        detectable = int(usable.sum()) + 1
    held[list(scored.problems)] = True
    whose = {column: numbered(texts) for column, texts in scored.groups.items()}
    alone, budget = pool is None or not pool.is_joint, decided.budget
    complete = len(scored.sample.position) == int(usable.sum())
    matching = partial(positions_in, scored.sample) if complete else find
    parts = look_at_parts(
        scored, measured, whose, reference, policy, budget, matching, earlier=earlier, alone=alone
    )
    for reasons in parts.reasons:
        held[list(reasons)] = True
    tested = run_tests(scored, held, reference, policy, pool)
    copies = tested.copies
    if len(copies) and not complete:
        copies = np.union1d(copies, find(CloseTo(tested.copies_of, tested.radius)))
    held[copies] = True
    cannot = _why_not(scored, decided, policy) if decided.cannot_judge(policy) else None
    fired = {test.name: test.detail for test in tested.tests if test.name in tested.fired}
    rest = rest_of(decided, measured, held)
    fired |= held_whole(decided, rest, policy)
    verdict, note = verdict_of(held, cannot, fired, policy)
    if remark is None and not verdict.holds_batch and policy.screen.decides:
        remark = weak_spot(reference, policy)
    if remark is not None:
        note = remark if note is None else f"{note}. {remark}"
    if parts.note is not None:
        note = parts.note if note is None else f"{note}. {parts.note}"
    return Screening(
        verdict=verdict,
        records=_records(
            scored,
            held,
            _reasons(scored, measured, decided, copies, tested, parts.reasons),
            named_at(len(scored), parts.named),
            reference,
        ),
        tests=[
            *tested.tests,
            *_by_rule(decided, measured, rest, policy),
            *parts.tests,
        ],
        min_detectable=detectable,
        detectors=_summaries(scored, usable, reference, policy),
        n_held=int(held.sum()),
        note=note,
        smallest=None if decided.sizes is None else decided.sizes.smallest,
        pool=pool,
        odd=_odd(whose, measured),
        suspects=suspects_of(scored) if len(scored.oddest.position) else None,
    )


def _odd(
    whose: Mapping[str, Numbered], measured: Measured
) -> tuple[list[OddRecords], list[OddRecords]]:
    """The odd records of each class, and of each group that is named, and the calibration's."""
    usable, classes = measured.usable, measured.classes
    p_value, label = measured.p_value[usable], measured.label[usable]
    mine = tally(p_value, label, classes)
    there = tally(measured.known.p_value, measured.known.label, classes)
    others = list(there)
    for column, (number, values) in whose.items():
        names = [f"{column} {cut(value, 60)!r}" for value in values]
        more, known = tally_groups(p_value, label, number[usable], names, there, classes)
        mine, others = mine + more, others + known
    return mine, others


def _watching(scored: Scored, would: int, records: int, detectable: int, policy: Policy) -> str:
    """That no detector decides, and what they would do together if they did."""
    told = f"{NO_DETECTOR_DECIDES} Enforced with these weights, they would hold {would} of "
    told += f"{records} records"
    if records and detectable > wanted_records(policy.screen.min_poison_share, records):
        sizes = sizes_of(scored.calibration.rows, policy, scored.calibration.delta)
        told += (
            f", but could not judge a batch of this size: this reference can judge {sizes.words}"
        )
    return told


def _why_not(scored: Scored, decided: Decided, policy: Policy) -> str:
    """Why a batch cannot be judged, and what would do."""
    records, detectable, pool = len(decided.calibration.group), decided.detectable, decided.pool
    wanted = wanted_records(policy.screen.min_poison_share, records)
    known = scored.calibration
    sizes = sizes_of(known.rows, policy, known.delta)
    together = ""
    if sizes.smallest is not None and records < sizes.smallest:
        together = f"deliver at least {sizes.smallest} records at once, "
    told = (
        f"cannot judge: with {scored.calibration_rows} calibration rows and a rate of "
        f"{policy.screen.false_quarantine_rate:g}, fewer than {detectable} poisoned records "
        f"among {records} cannot be detected, and screen.min_poison_share asks for {wanted}. "
        f"This reference can judge {sizes.words}. Fit a reference with at least "
        f"{_needed_rows(records, wanted, policy)} rows, {together}or raise the rate or the share"
    )
    if pool is None:
        return told
    return (
        f"{told}. The other small deliveries of this source that count have {pool.records} records "
        "so far. Once they are enough, later ones are judged together with them, and "
        "`lazaretto batch rejudge` judges this one"
    )


def _needed_rows(records: int, wanted: int, policy: Policy) -> int:
    """About how many calibration rows can see the wanted number."""
    rows = SMALLEST_REFERENCE
    rate, alpha = policy.screen.false_quarantine_rate, policy.screen.batch.alpha
    enough = ceil(records / (rate * wanted))
    delta = policy.screen.hard_delta if policy.screen.calibration == "hard" else None
    group = np.zeros(records, dtype=np.int64)
    while rows < 10 * enough:
        known = Calibration((rows,), group, delta)
        if min_detectable(known, rate=rate, alpha=alpha, rule=policy.screen.hold) <= wanted:
            break
        rows = ceil(rows * 1.1)
    return rows


def _class_told(found: ClassExcess, classes: tuple[str, ...]) -> str:
    return (
        f"{found.count} records labelled {cut(classes[found.label], 80)!r} have "
        f"p <= {found.level:.3g}; by its trusted records, {found.expected:.1f} are expected"
    )


def _by_rule(
    decided: Decided, measured: Measured, rest: Rest | None, policy: Policy
) -> list[TestSummary]:
    """The tests that the rule makes of p-values, as the batch tests are told."""
    tests, budget = [], decided.budget
    if decided.classes:
        worst = min(decided.classes, key=lambda found: found.p_value)
        told = "; ".join(_class_told(found, measured.classes) for found in decided.named or [worst])
        fired = bool(decided.named)
        tests.append(TestSummary(CLASSES, worst.p_value, budget.classes, fired, told))
    if decided.broad is not None and rest is not None:
        p_value, told = decided.broad.p_value, rest.told
        if policy.screen.test_modes[BROAD] != "enforce":
            told = f"{told}. {REPORTED_ONLY}"
        tests.append(TestSummary(BROAD, p_value, budget.broad, p_value <= budget.broad, told))
    return tests


def _reasons(
    scored: Scored,
    measured: Measured,
    decided: Decided,
    copies: npt.NDArray[np.int64],
    tested: Tested,
    others: Sequence[dict[int, str]],
) -> dict[int, list[str]]:
    """Why each record may be held, by position."""
    reasons = {row: list(texts) for row, texts in scored.reasons.items()}
    for one in decided.named:
        mine = (measured.label == one.label) & (measured.p_value <= one.level * (1 + 1e-9))
        for row in np.flatnonzero(mine & measured.usable).tolist():
            reasons[row] = [
                *reasons.get(row, []),
                f"{CLASSES}: {_class_told(one, measured.classes)}",
            ]
    for more in others:
        for row, text in more.items():
            reasons[row] = [*reasons.get(row, []), text]
    reasons |= {row: [problem] for row, problem in scored.problems.items()}
    for row in copies.tolist():
        reasons[row] = [*reasons.get(row, []), f"near_duplicates: {tested.copies_text}"]
    return reasons


def _summaries(
    scored: Scored, usable: npt.NDArray[np.bool_], reference: Reference, policy: Policy
) -> list[DetectorSummary]:
    """Each detector's mode, and what it would hold alone at the policy's rate."""
    rate, alpha = policy.screen.false_quarantine_rate, policy.screen.batch.alpha
    modes, rule = policy.screen.detectors, policy.screen.hold
    group = np.zeros(int(usable.sum()), dtype=np.int64)
    known = Calibration((scored.calibration_rows,), group)
    return [
        DetectorSummary(
            name=name,
            mode=modes[name].mode if name in modes else "off",
            would_hold=int(suspects(p_values, known, rate=rate, alpha=alpha, rule=rule).sum()),
        )
        for name, p_values in zip(reference.detectors, scored.detector_p[usable].T, strict=True)
    ]


def _records(
    scored: Scored,
    held: npt.NDArray[np.bool_],
    reasons: dict[int, list[str]],
    level: npt.NDArray[np.float64],
    reference: Reference,
) -> pa.Table:
    texts = [reasons.get(row, []) if is_held else [] for row, is_held in enumerate(held.tolist())]
    columns = {
        "record_id": scored.ids,
        "label": scored.label,
        "score": pa.array(scored.score, from_pandas=True),
        "p_value": pa.array(scored.p_value, from_pandas=True),
        "held": pa.array(held),
        "reasons": pa.array(texts, pa.list_(pa.string())),
        "named_at": pa.array(level, from_pandas=True),
    }
    for column, name in enumerate(reference.detectors):
        ranks = (1 - scored.detector_p[:, column]).astype(np.float32)
        columns[f"rank_{name}"] = pa.array(ranks, from_pandas=True)
    return pa.table(columns)
