"""From validation to the gate: what is held, why, and that a second call changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.quarantine import review
from lazaretto.storage import tables
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from lazaretto.policy import Policy

pytestmark = pytest.mark.alike


def _judge(yard: Yard, batch: str, policy: Policy) -> stages.Judgement:
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    return stages.gate(yard.workspace, batch, policy)


def _with_bad_rows(rows: pa.Table) -> pa.Table:
    """A duplicate id (rows 10 and 11) and a vector that is not finite (row 20)."""
    ids = rows["id"].to_pylist()
    ids[11] = ids[10]
    vectors = np.stack(rows["vector"].to_numpy())
    vectors[20, 0] = np.nan
    rows = rows.set_column(0, "id", pa.array(ids))
    return rows.set_column(2, "vector", pa.array(list(vectors), pa.list_(pa.float32(), 8)))


def test_a_clean_batch_passes_and_nothing_is_held(yard: Yard) -> None:
    judged = yard.judge("clean", blobs(60, seed=5))
    assert (judged.verdict, judged.held, judged.cleared) == (Verdict.PASS, 0, 60)
    assert judged.case is None
    assert judged.case is None
    assert review.list_cases(yard.workspace) == []


def test_contract_and_screening_each_hold_with_their_own_reasons(yard: Yard) -> None:
    judged = yard.judge("mixed", _with_bad_rows(blobs(90, seed=5, flips=6)))
    assert judged.verdict is Verdict.HOLD_RECORDS
    assert judged.case is not None
    held = review.held_records(yard.workspace, judged.case)
    reasons = {record.position: record.reason for record in held}
    assert set(range(6)) | {10, 11, 20} <= set(reasons)
    assert all(reasons[position].startswith("screen:") for position in range(6))
    assert all(reasons[position].startswith("contract:record_id") for position in (10, 11))
    assert reasons[20].startswith("contract:embedding")
    assert sum(judged.reasons.values()) == judged.held == len(held)
    assert judged.cleared == 90 - judged.held
    assert any("(2 records)" in note for note in judged.notes), judged.notes
    assert any(note.startswith("screen:") and "; the first: " in note for note in judged.notes)


def test_held_rows_keep_the_whole_record_and_every_reason(yard: Yard) -> None:
    rows = _with_bad_rows(blobs(90, seed=5, flips=6))
    judged = yard.judge("mixed", rows)
    kept = review.held_rows(yard.workspace, str(judged.case), [0, 20]).to_pylist()
    assert [row["text"] for row in kept] == ["record 0 <script>", "record 20 <script>"]
    assert kept[0]["label"] == rows["label"][0].as_py()
    assert kept[0]["_lazaretto_score"] is not None
    assert kept[1]["_lazaretto_score"] is None
    assert all(row["_lazaretto_reasons"] for row in kept)


def test_a_second_gate_gives_the_same_judgement_and_no_second_entry(yard: Yard) -> None:
    judged = yard.judge("mixed", blobs(90, seed=5, flips=6))
    with yard.workspace.catalog.read() as connection:
        before = len(list(ledger.entries(connection)))
    assert _judge(yard, judged.batch, yard.policy) == judged
    with yard.workspace.catalog.read() as connection:
        assert len(list(ledger.entries(connection))) == before
        count = sa.select(sa.func.count()).select_from(tables.held_record)
        assert connection.scalar(count) == judged.held


def test_a_broken_contract_holds_every_record_with_the_reason(yard: Yard) -> None:
    judged = yard.judge("broken", blobs(30, seed=5).drop_columns("label"))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert (judged.held, judged.cleared) == (30, 0)
    assert "label" in " ".join(judged.notes)
    (case,) = review.list_cases(yard.workspace)
    assert case.actions == {"UNDECIDED": 30}
    row = review.held_rows(yard.workspace, case.id, [3]).to_pylist()[0]
    assert "label" in " ".join(row["_lazaretto_reasons"])


def test_too_many_held_records_hold_the_batch(yard: Yard) -> None:
    policy = make_policy(
        screen={**yard.policy.screen.model_dump(), "batch": {"hold_when_held_fraction": 0.02}}
    )
    batch = yard.receive("mixed", _with_bad_rows(blobs(90, seed=5))).id
    judged = _judge(yard, batch, policy)
    assert judged.verdict is Verdict.HOLD_BATCH
    assert (judged.held, judged.cleared) == (90, 0)
    assert judged.reasons["batch"] >= 80
    assert "hold_when_held_fraction" in judged.notes[0]


def test_a_reference_that_cannot_judge_abstains_and_holds(yard: Yard) -> None:
    section = {**yard.policy.screen.model_dump(), "min_poison_share": 1e-9}
    policy = make_policy(screen={**section, "false_quarantine_rate": 1e-4})
    judged = _judge(yard, yard.receive("clean", blobs(60, seed=5)).id, policy)
    assert judged.verdict is Verdict.ABSTAIN
    assert judged.cleared == 0
    assert "cannot judge" in judged.notes[0]


def test_stages_out_of_order_say_what_comes_first(yard: Yard) -> None:
    workspace, policy = yard.workspace, yard.policy
    batch = yard.receive("clean", blobs(30, seed=5)).id
    with pytest.raises(UsageError, match="run `validate` first"):
        stages.screen(workspace, batch, policy)
    stages.validate(workspace, batch, policy)
    with pytest.raises(UsageError, match="run `screen` first"):
        stages.gate(workspace, batch, policy)
    with pytest.raises(UsageError, match="run `gate` first"):
        stages.admit(workspace, batch)
    with pytest.raises(NotFoundError, match="no batch 'x/y/z'"):
        stages.validate(workspace, "x/y/z", policy)


def test_a_missing_reference_is_the_callers_mistake(yard: Yard) -> None:
    policy = make_policy(screen={"reference": "other"})
    batch = yard.receive("clean", blobs(30, seed=5)).id
    stages.validate(yard.workspace, batch, policy)
    with pytest.raises(NotFoundError, match="no reference 'other'"):
        stages.screen(yard.workspace, batch, policy)
