"""SanitizeTrainingOperator: own code named by the DAG, trusted rows or none, training again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lazaretto.ledger.events import ModelRegistered, TrainingSanitized

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.airflow


def load(weights: str) -> Any:
    """A user's loader."""
    from lazaretto.activations.probe_file import load_probe

    return load_probe(weights).model


def pictures(chunk: pa.RecordBatch) -> Any:
    """A user's reading of a record batch."""
    import torch

    return torch.tensor(chunk["pixels"].to_pylist())


def train(snapshot: Any) -> Path:
    """A user's training."""
    from pathlib import Path

    from lazaretto.activations import probe
    from lazaretto.activations.probe_file import probe_bytes

    rows = snapshot.table()
    options = {"epochs": 12, "learning_rate": 3e-3, "device": "cpu"}
    made = probe(rows, rows["label"].to_pylist(), inputs="pixels", **options)
    path = Path(snapshot.uri).parent / f"net-{snapshot.version}.safetensors"
    path.write_bytes(probe_bytes(made))
    return path


@pytest.fixture
def poisoned(world: Any) -> Any:
    """A snapshot with patched pictures labelled zero, which a reviewer let pass; and a model."""
    import numpy as np

    from lazaretto import stages
    from lazaretto.demo.deliveries import to_table
    from lazaretto.policy import Policy
    from lazaretto.quarantine import review
    from lazaretto.values import Action

    policy = Policy.load(world.policy)
    table = to_table(world.part(0, 400))
    pixels = np.stack(table["pixels"].to_numpy()).copy()
    pixels.reshape(-1, 8, 8)[::8, 5:, 5:] = pixels.max()
    labels = table["label"].to_numpy().copy()
    labels[::8] = 0
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(pixels.ravel()), pixels.shape[1])
    for name, column in (("pixels", vectors), ("label", pa.array(labels))):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, column.cast(table.schema.field(name).type))
    conf = world.deliver("monday", table)
    batch = stages.receive(
        world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"]
    ).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(world.workspace, batch, policy)
    judged = stages.gate(world.workspace, batch, policy)
    stages.admit(world.workspace, batch)
    review.decide(world.workspace, judged.case, Action.RELEASE, all=True, reason="looks fine")
    review.publish(world.workspace, judged.case)
    taken = stages.snapshot(world.workspace, policy.dataset)
    weights = train(taken)
    stages.register_model(world.workspace, "net", "1", policy.dataset, taken.version)
    return taken, str(weights)


def sanitize(snapshot: Any, weights: str, policy: Any, **options: Any) -> Any:
    from lazaretto.operators import SanitizeTrainingOperator

    operator = SanitizeTrainingOperator(
        task_id="s",
        snapshot=f"{snapshot.dataset}@{snapshot.version}",
        load_model=f"{__name__}:load",
        weights=weights,
        policy=policy,
        device="cpu",
        **options,
    )
    return operator.execute({"ti": MagicMock(), "run_id": "r"})


def test_own_code_reads_trains_again_and_is_compared(
    world: Any, poisoned: Any, tmp_path: Path
) -> None:
    from lazaretto.demo.deliveries import to_table
    from lazaretto.policy import Policy

    taken, weights = poisoned
    pq.write_table(to_table(world.split.trusted), tmp_path / "trusted.parquet")
    policy = Policy.load(world.policy).model_dump(mode="json")
    policy["sanitize"]["false_quarantine_rate"] = 0.05
    done = sanitize(
        taken,
        weights,
        policy,
        inputs=f"{__name__}:pictures",
        trusted=str(tmp_path / "trusted.parquet"),
        retrain=f"{__name__}:train",
        retrained="net@2",
    )
    assert done["calibration"].startswith("calibrated by a table of ")
    found = done["comparison"]
    assert found["held"] == done["held"] > 25
    assert found["contradicted"] > 0.5 * done["held"]
    models = world.ledger(ModelRegistered)
    assert [(m.version, m.snapshot) for m in models] == [
        ("1", taken.version),
        ("2", done["recalled_version"]),
    ]
    assert models[1].params["comparison"] == found["file"]["path"]


def test_without_trusted_rows_the_ledger_says_so_and_the_dynamics_are_read(
    world: Any, poisoned: Any, tmp_path: Path
) -> None:
    import torch

    from lazaretto.policy import Policy
    from lazaretto.stages.sanitize_training import record_names
    from lazaretto.training import record_dynamics

    taken, weights = poisoned
    rows = taken.table()
    ids, labels = record_names(rows).to_pylist(), rows["label"].to_pylist()
    with record_dynamics(tmp_path / "run.arrow", ids, labels) as recorder:
        for epoch in range(3):
            logits = 3.0 * epoch * torch.nn.functional.one_hot(torch.tensor(labels), 10)
            recorder.note(ids, logits, torch.tensor(labels))
            recorder.end_epoch()
    policy = Policy.load(world.policy).model_dump(mode="json")
    policy["sanitize"]["methods"] = []
    learned = str(tmp_path / "run.arrow")
    done = sanitize(taken, weights, policy, trusted="none", dynamics=learned)
    assert (done["calibrated"], done["comparison"]) == (False, None)
    (event,) = world.ledger(TrainingSanitized)
    words = "not calibrated: judged without trusted rows, so no rate is promised"
    assert (event.calibrated, event.calibration) == (False, words)
    assert "slow_to_learn" in event.methods


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retrained": "net@2"}, "go with `retrain`"),
        ({"retrain": "no.such:thing"}, "cannot be imported"),
        ({"retrain": f"{__name__}:train", "retrained": "net"}, "NAME@VERSION"),
        ({"trusted": "nowhere.parquet"}, "nowhere.parquet"),
        ({"load_model": f"{__name__}:__doc__"}, "not a function"),
    ],
)
def test_mistakes_fail_for_good(world: Any, options: dict[str, str], told: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.operators import SanitizeTrainingOperator

    arguments = {"load_model": f"{__name__}:fake", "weights": "w", "policy": world.policy}
    operator = SanitizeTrainingOperator(
        task_id="s", snapshot="handwriting@1", **(arguments | options)
    )
    with pytest.raises(AirflowFailException, match=told):
        operator.execute({"ti": MagicMock(), "run_id": "r"})


def fake(weights: str) -> Any:
    """A loader for what fails before it matters."""
    import torch

    return torch.nn.Linear(64, 10)
