"""The training DAG, the very file that users copy, in real Airflow; and the trace back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from lazaretto.dataset.admission import dataset_uri
from lazaretto.ledger.events import (
    IncidentTraced,
    ModelRegistered,
    SnapshotTaken,
    TrainingSanitized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
TASKS = ["snapshot", "train", "register", "sanitize"]


@pytest.fixture
def admitted(world: Any) -> Any:
    """A clean batch that went the whole way."""
    from lazaretto.policy import Policy
    from lazaretto.stages.admit import admit
    from lazaretto.stages.embed import embed
    from lazaretto.stages.gate import gate
    from lazaretto.stages.receive import receive
    from lazaretto.stages.screen import screen
    from lazaretto.stages.validate import validate

    policy = Policy.load(world.policy)
    conf = world.deliver("monday", world.part(0, 400))
    batch = receive(world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"]).id
    for stage in (validate, embed, screen, gate):
        stage(world.workspace, batch, policy)
    return admit(world.workspace, batch)


def test_training_is_scheduled_by_what_ingestion_announces(
    world: Any, run_dag: Callable[..., Any], dags_folder: Path
) -> None:
    import airflow_environment
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(airflow_environment.DAGS))
    assert bag.import_errors == {}
    announced = bag.dags["lazaretto_ingest"].task_dict["admit"].outlets
    assert [asset.uri for asset in announced] == ["lazaretto://handwriting"]
    (awaited,) = bag.dags["lazaretto_training"].schedule
    assert awaited.uri == "lazaretto://handwriting"


def test_snapshot_train_register_sanitize_and_trace(
    world: Any,
    admitted: Any,
    run_dag: Callable[..., Any],
    airflow_events: Callable[[], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    weights = str(tmp_path / "digits-1.safetensors")
    run = run_dag("lazaretto_training", {"model": "digits", "version": "1", "weights": weights})
    assert run.tasks == dict.fromkeys(TASKS, "success")
    (taken,) = world.ledger(SnapshotTaken)
    assert run.xcoms["snapshot"] == {
        "dataset": "handwriting",
        "uri": dataset_uri(world.workspace, taken.dataset),
        "version": admitted.version,
        "rows": admitted.rows,
        "grown": None,
        "digest": taken.digest,
        "seq": run.xcoms["snapshot"]["seq"],
    }
    (model,) = world.ledger(ModelRegistered)
    assert (model.model, model.version, model.snapshot) == ("digits", "1", taken.version)
    assert model.artifact_uri == weights
    assert model.artifact_digest
    (sanitized,) = world.ledger(TrainingSanitized)
    assert sanitized.model == "digits@1"
    events = airflow_events()
    for task in ("snapshot", "register", "sanitize"):
        (complete,) = [
            e
            for e in events
            if e["job"]["name"] == f"lazaretto_training.{task}" and e["eventType"] == "COMPLETE"
        ]
        assert complete["inputs"], task
        # Lazaretto's own event, a run within the task's, is the one that wrote.
        assert complete["outputs"] == [], task
    writers = {
        event["run"]["runId"]
        for event in events
        for output in event["outputs"]
        if output["facets"]["datasetType"]["datasetType"] == "MODEL"
    }
    ours = [event for event in events if event["run"]["runId"] in writers]
    assert [event["eventType"] for event in ours] == ["START", "COMPLETE"]
    assert ours[0]["eventTime"] < ours[1]["eventTime"]
    parent = ours[0]["run"]["facets"]["parent"]
    assert parent["job"]["name"] == "lazaretto_training.register"
    assert parent["root"]["job"]["name"] == "lazaretto_training"
    dag_runs = {e["run"]["runId"] for e in events if e["job"]["name"] == "lazaretto_training"}
    assert not dag_runs or parent["root"]["run"]["runId"] in dag_runs

    from lazaretto.operators import TraceIncidentOperator

    told: list[Any] = []
    operator = TraceIncidentOperator(
        task_id="trace", source="vendor-a", since="2020-01-01", notifiers=[told.append]
    )
    incident = operator.execute({"ti": MagicMock(), "run_id": "r"})
    assert incident["models"] == ["digits@1"]
    assert incident["batches"] == [admitted.batch]
    assert json.loads(Path(incident["json_uri"]).read_text())
    assert "digits@1" in Path(incident["html_uri"]).read_text()
    assert told[0]["incident"].models == ["digits@1"]
    assert len(world.ledger(IncidentTraced)) == 1
    # The window holds no delivery at all: nobody can say, and that is told, too.
    quiet = TraceIncidentOperator(
        task_id="q", source="vendor-a", until="2020-01-02", notifiers=[told.append]
    )
    assert quiet.execute({"ti": MagicMock(), "run_id": "r"})["models"] == []
    assert [one["incident"].complete for one in told] == [True, False]


def test_a_model_takes_all_that_it_learned_from(world: Any, admitted: Any, tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import RegisterModelOperator, SnapshotTrainingOperator

    context = {"ti": MagicMock(), "run_id": "r"}
    taken = SnapshotTrainingOperator(task_id="s", dataset="handwriting").execute(context)
    listed = tmp_path / "exclude.txt"
    listed.write_text(f"{admitted.batch}\n")
    alone = SnapshotTrainingOperator(task_id="e", dataset="handwriting", exclude=str(listed))
    with pytest.raises(AirflowFailException, match="nothing is left"):
        alone.execute(context)
    made = RegisterModelOperator(
        task_id="r",
        model="m",
        version="1",
        snapshot=[taken, f"handwriting@{admitted.version}"],
        reads=[f"handwriting@{admitted.version}:pixels,label"],
        tables=["s3://lake vendor/labels@12"],
        base=["hub bert@1"],
        predictions_of=["teacher@3"],
        registry="mlflow://Models/",
        purpose="FINE_TUNING",
    ).execute(context)
    assert made["registry"] == "mlflow://models"
    assert made["ignored_weights"] == []  # it has none to read
    assert [(one["kind"], one["namespace"], one["role"]) for one in made["inputs"]] == [
        ("SNAPSHOT", "", "FINETUNE"),
        ("TABLE", "s3://lake", "FINETUNE"),
        ("MODEL", "hub", "FINETUNE"),
        ("MODEL", "mlflow://models", "TRAIN"),
    ]
    (event,) = world.ledger(ModelRegistered)
    assert event.snapshot == admitted.version


def test_a_model_without_a_known_snapshot_is_not_registered(world: Any, admitted: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import RegisterModelOperator

    operator = RegisterModelOperator(
        task_id="r", model="m", version="1", snapshot=f"handwriting@{admitted.version}"
    )
    with pytest.raises(AirflowFailException, match="snapshot"):
        operator.execute({"ti": MagicMock(), "run_id": "r"})
    assert world.ledger(ModelRegistered) == []


@pytest.mark.parametrize("since", ["soon", "2026-13-01"])
def test_a_window_that_is_no_time_is_refused(world: Any, since: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import TraceIncidentOperator

    operator = TraceIncidentOperator(task_id="t", source="vendor-a", since=since)
    with pytest.raises(AirflowFailException, match="not a date or time"):
        operator.execute({"ti": MagicMock(), "run_id": "r"})
