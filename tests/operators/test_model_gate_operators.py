"""Operators of the model gate: measured, promoted by the task's name, drilled every night."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from yard import blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.recall import recall

if TYPE_CHECKING:
    from pathlib import Path

    from yard import Yard

pytestmark = pytest.mark.airflow


@pytest.fixture
def yard(
    fitted_reference: str, sqlite_catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Yard:
    from lazaretto.storage.workspace import open_workspace

    monkeypatch.setenv("LAZARETTO_CATALOG_URL", sqlite_catalog)
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    return make_yard(open_workspace(), fitted_reference, tmp_path)


def run(task: Any) -> dict[str, Any]:
    done: dict[str, Any] = task.execute({"ti": MagicMock(), "run_id": "r"})
    assert json.dumps(done)  # it is an XCom
    return done


def test_measured_promoted_and_refused(yard: Yard, tmp_path: Path) -> None:
    from lazaretto.operators import EvaluateModelOperator, PromoteModelOperator

    batch = yard.admit("monday", blobs(60, seed=5, prefix="m")).batch
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    rows = blobs(120, seed=9, prefix="t")
    pq.write_table(rows, tmp_path / "test.parquet")
    pq.write_table(pa.table({"prediction": rows["label"]}), tmp_path / "answers.parquet")
    model = {"model": "net", "version": "1"}
    rules = {
        "promoters": ["airflow:release.promote"],
        "evidence": {"accuracy": 0.9, "predictions": True},
    }
    register_policy(yard.workspace, make_policy(model=rules), reason="released by a DAG")
    with DAG("release"):
        evaluate = EvaluateModelOperator(
            task_id="evaluate",
            on=str(tmp_path / "test.parquet"),
            predictions=str(tmp_path / "answers.parquet"),
            **model,
        )
        promote = PromoteModelOperator(task_id="promote", **model)
        other = PromoteModelOperator(task_id="other", **model)
    with pytest.raises(AirflowFailException, match="asks for an evaluation"):
        run(promote)
    assert run(evaluate)["report"]["figures"]["accuracy"] == 1.0
    with pytest.raises(AirflowFailException, match="is not among those"):
        run(other)
    assert run(promote)["version"] == "1"
    recall(yard.workspace, "blobs", batch=batch, reason="hacked")
    with pytest.raises(AirflowFailException, match="recalled from 'blobs'"):
        run(promote)


def test_a_drill_fails_the_task_where_it_shall(yard: Yard) -> None:
    from lazaretto.operators import DrillOperator

    yard.admit("monday", blobs(120, seed=5, prefix="m"))
    policy = yard.policy.model_dump(mode="json")
    more = {"policy": policy, "attacks": ["label_flip"], "doses": [0.2], "draws": 1}
    done = run(DrillOperator(task_id="drill", **more))
    assert done["attacks"][0]["recall"][0] > 0.9
    # No gate holds all of a poison that keeps its labels at so small a dose, and the task says so.
    never = {**more, "attacks": ["clean_label"], "doses": [0.01], "caught_at": 1.0}
    quiet = run(DrillOperator(task_id="quiet", **never))
    assert quiet["attacks"][0]["smallest"] is None, quiet
    with pytest.raises(AirflowFailException, match="catches clean_label at no dose"):
        run(DrillOperator(task_id="loud", **never, fail_when_missed=["clean_label"]))
