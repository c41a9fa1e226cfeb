"""Other rates, tried on what was screened: the rule is that of screening, and no guess."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.errors import (
    ChangedFileError,
    ChangedStateError,
    NotFoundError,
    ReferenceMismatchError,
)
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.review import decide, held_records, undo
from lazaretto.quarantine.standing import actions_in_force, decisions_of
from lazaretto.reference.calibrated import calibration_of, read_calibration
from lazaretto.registry.references import load_stored, read_reference
from lazaretto.screen.again import with_rate
from lazaretto.stages.explore import explore_rates, rates_around
from lazaretto.stages.outcomes import NEVER_REVIEWED, STANDINGS, UNDECIDED
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.policy import Policy
    from lazaretto.stages.outcomes import RateOutcome

pytestmark = pytest.mark.alike

DETECTORS = {"mahalanobis": {}, "knn_label": {"k": 5}}
QUIET = dict.fromkeys(("mmd", "class_spread", "near_duplicates", "small_p_values"), "off")


def _screen(**more: object) -> Mapping[str, object]:
    screen = {
        "false_quarantine_rate": 0.02,
        "min_poison_share": 0.5,
        "detectors": DETECTORS,
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.9, "tests": QUIET},
        "drift": {"mode": "off"},
    }
    return screen | more


def _at(yard: Yard, rate: float | None = None) -> RateOutcome:
    found = explore_rates(yard.workspace, "blobs")
    (one,) = [
        outcome
        for outcome in found.rates
        if (outcome.in_force if rate is None else outcome.rate == rate)
    ]
    return one


def _shadow(yard: Yard, batch: str, policy: Policy) -> stages.Judgement:
    """What the stages themselves say under another policy, which is not in force."""
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    judged = stages.gate(yard.workspace, batch, policy)
    assert judged.shadow is not None
    return judged


def _broken(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["label"])


def _with_empty_vectors(rows: pa.Table, count: int) -> pa.Table:
    vectors = [None] * count + rows["vector"].to_pylist()[count:]
    kind = rows.schema.field("vector").type
    return rows.set_column(2, "vector", pa.array(vectors, kind))


def _doubled(rows: pa.Table) -> pa.Table:
    """Two records with one id, which the contract fails."""
    ids = rows["id"].to_pylist()
    return rows.set_column(0, "id", pa.array([ids[1], *ids[1:]]))


def test_at_the_rate_in_force_it_is_what_is_on_record(yard: Yard) -> None:
    held = records = whole = 0
    deliveries = {
        "clean": blobs(90, 5, prefix="a"),
        "flipped": blobs(120, 6, prefix="b", flips=9),
        "broken": _broken(blobs(30, 7, prefix="c")),
        "whole": blobs(60, 8, prefix="d", flips=58),
        "odd": _with_empty_vectors(blobs(80, 9, prefix="e", flips=4), 3),
        "doubled": _doubled(blobs(80, 10, prefix="f", flips=4)),
    }
    for name, rows in deliveries.items():
        judged = yard.judge(name, rows)
        held, records = held + judged.held, records + rows.num_rows
        whole += judged.verdict.holds_batch
    found = explore_rates(yard.workspace, "blobs")
    assert found.differs == found.left_out == []
    assert (len(found.batches), found.records) == (6, records)
    outcome = _at(yard)
    assert (outcome.records, outcome.held) == (records, held)
    assert outcome.reviewed == {UNDECIDED: held}
    assert outcome.let_in == {}
    assert outcome.whole == whole >= 2
    for other in found.rates:
        assert sum(other.reviewed.values()) == other.held
        # Whatever was held is held at this rate too, or let in by it.
        kept = other.held - other.reviewed.get(NEVER_REVIEWED, 0)
        assert kept + sum(other.let_in.values()) == held


@pytest.mark.parametrize(
    "section",
    [
        _screen(),
        _screen(hold="rate"),
        _screen(calibrate_by="class"),
        _screen(small_batches={"mode": "alone"}, min_poison_share=0.05),
        _screen(batch={"hold_when_held_fraction": 0.09, "tests": QUIET}),
    ],
    ids=["usual", "rate", "class", "share", "fraction"],
)
def test_another_rate_gives_what_the_stages_give_at_it(
    sqlite_yard: Yard, section: dict[str, Any]
) -> None:
    yard = replace(sqlite_yard, policy=make_policy(screen=section))
    batch = yard.judge("monday", blobs(150, 5, flips=12)).batch
    found = explore_rates(yard.workspace, "blobs")
    assert found.differs == []
    assert max(outcome.suspected for outcome in found.rates) >= 12
    for outcome in found.rates:
        if section.get("calibrate_by") == "class" and outcome.rate < 0.02:
            continue  # which classes are calibrated by themselves depends on the rate
        if not outcome.in_force:
            told = _shadow(yard, batch, with_rate(yard.policy, outcome.rate))
            assert (outcome.held, outcome.whole) == (told.held, int(told.verdict.holds_batch))


def test_a_small_batch_is_judged_with_those_that_it_was_judged_with(yard: Yard) -> None:
    yard = replace(yard, policy=make_policy(screen=_screen(min_poison_share=0.05)))
    for number in range(4):
        yard.judge(f"d{number}", blobs(25, 20 + number, prefix=f"d{number}-", flips=2))
    found = explore_rates(yard.workspace, "blobs")
    assert found.differs == []
    assert any("Small batches" in note for note in found.notes)


def test_a_batch_that_only_a_lower_rate_would_judge_with_others_is_not_guessed(
    sqlite_yard: Yard,
) -> None:
    yard = replace(sqlite_yard, policy=make_policy(screen=_screen(min_poison_share=0.1)))
    yard.judge("monday", blobs(50, 20, flips=4))
    found = explore_rates(yard.workspace, "blobs")
    assert found.differs == []
    assert {outcome.rate: outcome.unknown for outcome in found.rates} == {
        0.002: 1,
        0.004: 1,
        0.01: 1,
        0.02: 0,
        0.04: 0,
        0.1: 0,
        0.2: 0,
    }
    assert all(outcome.batches + outcome.unknown == 1 for outcome in found.rates)


def test_what_people_decided_is_joined_to_each_record(yard: Yard) -> None:
    judged = yard.judge("monday", blobs(150, 5, flips=12))
    workspace, case = yard.workspace, str(judged.case)
    held = held_records(workspace, case)
    decide(workspace, case, Action.REJECT, all=True, reason="no")
    first = [record.record_id for record in held[:5]]
    decide(workspace, case, Action.RELEASE, ids=first, reason="yes")
    taken = decide(workspace, case, Action.RELABEL, ids=[first[0]], label="1", reason="one")
    undo(workspace, taken.id, reason="no")
    outcome = _at(yard)
    assert outcome.reviewed == {"RELEASE": 5, "REJECT": judged.held - 5}
    with workspace.catalog.read() as connection:
        decisions = decisions_of(connection, case)
    table = actions_in_force(workspace.store, decisions).to_pylist()
    told = {row["position"]: row["action"] for row in table}
    standing = in_force(workspace.store, decisions)
    actions = {one.id: one.action.value for one in decisions}
    assert told == {place: actions[made] for place, made in standing.pairs()}
    lowest, *_, highest = explore_rates(workspace, "blobs").rates
    assert lowest.let_in or lowest.held == judged.held
    assert sum(highest.reviewed.values()) == highest.held
    assert highest.reviewed.get(NEVER_REVIEWED, 0) == highest.held - judged.held
    assert set(highest.reviewed) <= set(STANDINGS)


def test_a_gate_in_which_no_detector_decides_says_what_they_mark(sqlite_yard: Yard) -> None:
    shadow = {name: options | {"mode": "shadow"} for name, options in DETECTORS.items()}
    policy = make_policy(screen=_screen(detectors=shadow))
    yard = replace(sqlite_yard, policy=policy)
    assert yard.judge("monday", blobs(150, 5, flips=12)).held == 0
    found = explore_rates(yard.workspace, "blobs")
    assert found.differs == []
    assert [outcome.held for outcome in found.rates] == [0] * len(found.rates)
    assert _at(yard).suspected >= 10
    assert any("No detector decides" in note for note in found.notes)


def test_only_what_fits_is_looked_at_and_the_rest_is_said(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batches = [yard.judge(f"d{n}", blobs(60, 5 + n, prefix=f"{n}-")).batch for n in range(3)]
    told: list[tuple[str, int, int]] = []
    found = explore_rates(
        yard.workspace,
        "blobs",
        batches=3,
        most_records=120,
        tell=lambda *step: told.append(step),
    )
    assert found.batches == batches[:0:-1]
    assert told == [("batches", 1, 2), ("batches", 2, 2)]
    assert found.left_out == ["the 1 oldest batch: with them there are more than 120 records"]
    nothing = explore_rates(yard.workspace, "blobs", most_records=10)
    assert (nothing.batches, nothing.since) == ([], None)
    assert [outcome.records for outcome in nothing.rates] == [0] * len(nothing.rates)


def test_each_batch_is_judged_by_the_policy_that_judged_it(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    first = yard.judge("monday", blobs(150, 5, flips=12))
    stricter = make_policy(screen=_screen(hold="rate", false_quarantine_rate=0.05))
    register_policy(yard.workspace, stricter, reason="see more")
    second = replace(yard, policy=stricter).judge("tuesday", blobs(150, 6, prefix="t", flips=3))
    found = explore_rates(yard.workspace, "blobs")
    assert found.rate == 0.05
    assert found.differs == []
    assert found.batches == [second.batch, first.batch]


def test_what_was_changed_is_refused_and_what_is_not_there_is_said(yard: Yard) -> None:
    workspace = yard.workspace
    with pytest.raises(NotFoundError, match="no policy is in force"):
        explore_rates(workspace, "blobs")
    with pytest.raises(NotFoundError, match="cannot name a dataset"):
        explore_rates(workspace, "../blobs\x00")
    judged = yard.judge("monday", blobs(90, 5, flips=9))
    with workspace.catalog.read() as connection:
        found = entries(connection, subject=f"batch:{judged.batch}", kinds=[BatchScreened.kind])
        (screened,) = [entry.event for entry in found]
    assert isinstance(screened, BatchScreened)
    file = Path(workspace.store.root) / screened.scores.path
    before = file.read_bytes()
    file.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    with pytest.raises(ChangedFileError, match="scores"):
        explore_rates(workspace, "blobs")
    file.write_bytes(before)
    with workspace.catalog.transaction() as connection:
        connection.exec_driver_sql("UPDATE batch SET verdict = 'PASS'")
    with pytest.raises(ChangedStateError):
        explore_rates(workspace, "blobs")


def test_the_calibration_rows_of_a_stored_reference_are_read_without_the_rest(
    sqlite_yard: Yard,
) -> None:
    workspace = sqlite_yard.workspace
    with workspace.catalog.read() as connection:
        stored = read_reference(connection, "blobs")
    loaded = load_stored(workspace, stored)
    metadata = workspace.store.read(stored.files[0])
    with workspace.store.open(stored.files[1]) as tensors:
        known = read_calibration(metadata, tensors)
    assert (len(known), known.classes) == (loaded.calibration_rows, loaded.classes)
    expected = calibration_of(loaded)
    assert known.detectors == expected.detectors
    assert np.array_equal(known.label, expected.label)
    assert np.array_equal(known.ranks, expected.ranks)
    for wrong in (b"", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"{}"):
        with pytest.raises(ReferenceMismatchError):
            read_calibration(metadata, io.BytesIO(wrong))
    with pytest.raises(ReferenceMismatchError, match="format 1"):
        read_calibration(b'{"format": 1}', io.BytesIO(b""))


@given(rate=st.floats(min_value=1e-6, max_value=0.5))
@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
def test_the_rates_ascend_and_the_one_in_force_is_among_them(rate: float) -> None:
    found = rates_around(rate)
    assert rate in found
    assert found == sorted(set(found))
    assert all(0 < each < 1 for each in found)
