"""IngestBatchOperator: one task gives what the six give, in real Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchJudged,
    BatchScreened,
    DeliveryRefused,
    ShadowJudged,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
STAGES = {"receive", "validate", "embed", "screen", "gate", "admit"}
ONE = """
from airflow.sdk import DAG, task
from lazaretto.operators import IngestBatchOperator
with DAG("one", schedule=None):
    ingest = IngestBatchOperator(
        task_id="ingest", policy={policy!r}, dataset={dataset!r}, **{delivery!r}
    )
    @task
    def behind(): pass
    ingest >> behind()
"""


def program(world: Any, delivery: dict[str, str], dataset: str = "handwriting") -> str:
    return ONE.format(policy=world.policy, dataset=dataset, delivery=delivery)


def of_task(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (event,) = [
        e for e in events if e["job"]["name"].endswith(".ingest") and e["eventType"] == kind
    ]
    return event


def stage_of(event: dict[str, Any]) -> bool:
    """Whether this is Lazaretto's own event of a stage."""
    product, _, rest = event["job"]["name"].partition(".")
    return product == "lazaretto" and rest.partition(".")[0] in STAGES


def names(datasets: list[dict[str, Any]]) -> set[str]:
    return {dataset["name"] for dataset in datasets}


def test_a_good_delivery_is_admitted_once_and_announced(
    world: Any, run_dag: Callable[..., Any], airflow_events: Callable[[], list[dict[str, Any]]]
) -> None:
    text = program(world, world.deliver("monday", world.part(0, 120)))
    run = run_dag("one", text=text)
    assert run.tasks == {"ingest": "success", "behind": "success"}
    (admitted,) = world.ledger(BatchAdmitted)
    announced = {
        "dataset": "handwriting",
        "version": admitted.version,
        "batch": admitted.batch,
        "rows": admitted.rows,
    }
    assert run.asset_events == [announced]
    returned = run.xcoms["ingest"]
    assert returned["batch"] == admitted.batch
    assert returned["judgement"]["cleared"] == returned["admission"]["rows"] == admitted.rows
    assert run.links["ingest"].endswith(f"/batches/{admitted.batch}")
    # The same delivery again, as a cleared run would: nothing twice.
    again = run_dag("one", text=text)
    assert again.tasks == run.tasks
    assert again.xcoms["ingest"] == returned
    assert len(world.ledger(BatchAdmitted)) == len(world.ledger(BatchJudged)) == 1
    # One event of the task says what went in; the stages' own, its children, what came out.
    events = airflow_events()
    complete = [e for e in events if e["eventType"] == "COMPLETE"]
    tasks = [e for e in complete if e["job"]["name"].endswith(".ingest")]
    assert len(tasks) == 2
    assert tasks[0]["outputs"] == []
    assert tasks[0]["inputs"]
    written = [e for e in complete if any("datasets/handwriting" in n for n in names(e["outputs"]))]
    assert [e["job"]["name"] for e in written] == ["lazaretto.admit.handwriting.vendor-a"]
    # Each stage lasts as long as it took, one after the other.
    lasts = {
        kind: [e["eventTime"] for e in events if stage_of(e) and e["eventType"] == kind]
        for kind in ("START", "COMPLETE")
    }
    assert all(start < end for start, end in zip(*lasts.values(), strict=True))
    assert all(
        end <= start for end, start in zip(lasts["COMPLETE"], lasts["START"][1:], strict=False)
    )
    ours = {e["job"]["name"].split(".")[1]: e["run"]["facets"] for e in complete if stage_of(e)}
    assert set(ours) == STAGES
    parents = {facets["parent"]["run"]["runId"] for facets in ours.values()}
    assert parents == {tasks[0]["run"]["runId"]}


def test_nothing_of_a_held_batch_gets_through_and_a_reviewer_finds_it(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(0, 120), np.random.default_rng(0))
    run = run_dag("one", text=program(world, world.deliver("bad-day", broken)))
    assert run.tasks == {"ingest": "skipped", "behind": "skipped"}
    (judged,) = world.ledger(BatchJudged)
    assert judged.verdict.holds_batch
    assert run.xcoms["ingest"]["judgement"]["case"] == judged.case
    assert run.xcoms["ingest"]["admission"] is None
    assert run.links["ingest"].endswith(f"/batches/{judged.batch}")
    assert (world.ledger(BatchAdmitted), run.asset_events) == ([], [])


def test_a_forged_delivery_fails_and_its_refusal_is_the_tasks(
    world: Any, run_dag: Callable[..., Any], airflow_events: Callable[[], list[dict[str, Any]]]
) -> None:
    from lazaretto.sources.manifest import keygen

    stranger, _ = keygen()
    forged = world.deliver("forged", world.part(0, 50), private_key=stranger)
    run = run_dag("one", text=program(world, forged))
    assert run.tasks == {"ingest": "failed", "behind": "upstream_failed"}
    (refused,) = world.ledger(DeliveryRefused)
    assert refused.code == "unknown_key"
    fail = of_task(airflow_events(), "FAIL")
    assert "lazaretto_source" in str(fail)
    assert "key" in fail["run"]["facets"]["errorMessage"]["message"]


def test_a_policy_that_is_not_in_force_admits_nothing_and_says_so(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.authority.policies import register_policy
    from lazaretto.policy import Policy

    says = Policy.load(world.policy).model_dump(mode="json")
    other = Policy.model_validate(says | {"review": {"expire_days": 5}})
    register_policy(world.workspace, other, reason="faster reviews")
    run = run_dag("one", text=program(world, world.deliver("monday", world.part(0, 120))))
    assert run.tasks["ingest"] == "skipped"
    assert "lazaretto policy register" in run.xcoms["ingest"]["judgement"]["shadow"]
    assert len(world.ledger(ShadowJudged)) == 1
    assert (world.ledger(BatchJudged), world.ledger(BatchAdmitted)) == ([], [])


def test_a_policy_of_another_dataset_is_not_announced_as_this_one(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    delivery = world.deliver("monday", world.part(0, 60))
    run = run_dag("one", text=program(world, delivery, dataset="other"))
    assert run.tasks["ingest"] == "failed"
    assert world.ledger(BatchScreened) == []


def test_many_small_deliveries_in_one_mapped_task_of_the_example_dag(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(100, 200), np.random.default_rng(0))
    deliveries = [world.deliver("good", world.part(0, 100)), world.deliver("broken", broken)]
    run = run_dag("lazaretto_ingest_small", {"deliveries": deliveries})
    assert [run.tasks[f"ingest[{n}]"] for n in (0, 1)] == ["success", "skipped"]
    (admission,) = world.ledger(BatchAdmitted)
    assert [event["batch"] for event in run.asset_events] == [admission.batch]


def test_a_folder_comes_with_one_manifest_over_its_files(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    import pyarrow.parquet as pq

    from lazaretto.demo.deliveries import to_table
    from lazaretto.ledger.events import BatchReceived
    from lazaretto.sources.folder import sign_folder

    for name, flip in (("good", False), ("bad", True)):
        folder = world.folder / name
        folder.mkdir(parents=True)
        for number in range(2):
            start = 120 * flip + 60 * number
            rows = to_table(world.part(start, start + 60))
            pq.write_table(rows, folder / f"part-{number}.parquet")
        manifest = world.folder / f"{name}.manifest.json"
        manifest.write_bytes(sign_folder(folder, source="vendor-a", private_key=world.private_key))
        if flip:
            data = bytearray((folder / "part-1.parquet").read_bytes())
            data[len(data) // 2] ^= 1
            (folder / "part-1.parquet").write_bytes(data)
        run = run_dag("one", text=program(world, {"uri": str(folder), "source": "vendor-a"}))
        assert run.tasks["ingest"] == ("failed" if flip else "success")
    assert world.ledger(BatchReceived)[-1].signature.status == "VERIFIED"
    assert "'part-1.parquet' has other bytes" in world.ledger(DeliveryRefused)[-1].reason
