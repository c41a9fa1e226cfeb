"""From scored records to held records, batch tests and one verdict."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto._partition import SMALLEST_REFERENCE
from lazaretto.calibrate import excess_of_small_p, smallest_visible, suspects
from lazaretto.events import DetectorSummary, TestSummary
from lazaretto.screen import Screening
from lazaretto.values import Verdict

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto._score import Scored
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference


def judge(scored: Scored, reference: Reference, policy: Policy) -> Screening:
    """Applies the policy to scored records; see `lazaretto.screen.screen`."""
    rate = policy.screen.false_quarantine_rate
    usable = ~np.isnan(scored.p_value)
    held = np.zeros(len(scored), dtype=bool)
    alpha, known = policy.screen.batch.alpha, scored.calibration_rows
    held[usable] = suspects(scored.p_value[usable], known, rate=rate, alpha=alpha)
    held[list(scored.problems)] = True
    power = smallest_visible(int(usable.sum()), known, rate=rate, alpha=alpha)
    tests = [_excess(scored.p_value[usable & ~held], known, alpha)]
    verdict, note = _verdict(scored, held, power, tests, policy)
    return Screening(
        verdict=verdict,
        records=_records(scored, held, reference),
        tests=tests,
        power=power,
        detectors=_summaries(scored, usable, reference, policy),
        n_held=int(held.sum()),
        note=note,
    )


def _verdict(
    scored: Scored,
    held: npt.NDArray[np.bool_],
    power: int,
    tests: list[TestSummary],
    policy: Policy,
) -> tuple[Verdict, str | None]:
    if not len(scored):
        return Verdict.PASS, "no record was left to judge: the contract holds them all"
    n_usable = len(scored) - len(scored.problems)
    wanted = max(1, ceil(policy.screen.min_poison_share * n_usable))
    if n_usable and power > wanted:
        needed = _needed_rows(n_usable, wanted, policy)
        return Verdict.ABSTAIN, (
            f"cannot judge: with {scored.calibration_rows} calibration rows, at a rate of "
            f"{policy.screen.false_quarantine_rate:g}, fewer than {power} poisoned records among "
            f"{n_usable} cannot be held, and screen.min_poison_share asks for {wanted}. "
            f"Fit a reference with at least {needed} rows, or raise one of the two"
        )
    share = float(held.mean())
    if share >= policy.screen.batch.hold_when_held_fraction:
        return Verdict.HOLD_BATCH, (
            f"{share:.1%} of the records are suspect; screen.batch.hold_when_held_fraction "
            f"is {policy.screen.batch.hold_when_held_fraction:g}"
        )
    fired = [test for test in tests if test.fired]
    if fired:
        return Verdict.HOLD_BATCH, "; ".join(f"{test.name}: {test.detail}" for test in fired)
    return (Verdict.HOLD_RECORDS if held.any() else Verdict.PASS), None


def _needed_rows(records: int, wanted: int, policy: Policy) -> int:
    """About how many calibration rows can see the wanted number."""
    rows = SMALLEST_REFERENCE
    rate, alpha = policy.screen.false_quarantine_rate, policy.screen.batch.alpha
    enough = ceil(records / (rate * wanted))
    while rows < enough and smallest_visible(records, rows, rate=rate, alpha=alpha) > wanted:
        rows = ceil(rows * 1.1)
    return min(rows, enough)


def _excess(left: npt.NDArray[np.float64], calibration_rows: int, alpha: float) -> TestSummary:
    found = excess_of_small_p(left, calibration_rows)
    return TestSummary(
        name="small_p_values",
        p_value=found.p_value,
        alpha=alpha,
        fired=found.p_value <= alpha,
        detail=f"{found.count} of {len(left)} records that are not held have p <= 0.05; "
        f"{found.expected:.1f} are expected",
    )


def _summaries(
    scored: Scored, usable: npt.NDArray[np.bool_], reference: Reference, policy: Policy
) -> list[DetectorSummary]:
    """Each detector's mode, and what it would hold alone at the policy's rate."""
    rate, alpha = policy.screen.false_quarantine_rate, policy.screen.batch.alpha
    modes = policy.screen.detectors
    return [
        DetectorSummary(
            name=name,
            mode=modes[name].mode if name in modes else "off",
            would_hold=int(
                suspects(p_values, scored.calibration_rows, rate=rate, alpha=alpha).sum()
            ),
        )
        for name, p_values in zip(reference.detectors, scored.detector_p[usable].T, strict=True)
    ]


def _records(scored: Scored, held: npt.NDArray[np.bool_], reference: Reference) -> pa.Table:
    reasons = [
        ([scored.problems[row]] if row in scored.problems else scored.reasons.get(row, []))
        if is_held
        else []
        for row, is_held in enumerate(held.tolist())
    ]
    columns = {
        "record_id": scored.ids,
        "label": scored.label,
        "score": pa.array(scored.score, from_pandas=True),
        "p_value": pa.array(scored.p_value, from_pandas=True),
        "held": pa.array(held),
        "reasons": pa.array(reasons, pa.list_(pa.string())),
    }
    for column, name in enumerate(reference.detectors):
        ranks = (1 - scored.detector_p[:, column]).astype(np.float32)
        columns[f"rank_{name}"] = pa.array(ranks, from_pandas=True)
    return pa.table(columns)
