"""`screened_ingest` and `@task.screened`, and the examples that use them, in real Airflow."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pages
import pytest
from buckets import Bucket, require_server

from lazaretto.ledger.events import BatchAdmitted, BatchJudged, BatchReceived, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.airflow, pytest.mark.long]
WAY = ["receive", "validate", "embed", "screen", "gate", "admit"]
DAY = datetime(2026, 3, 2, tzinfo=UTC)


def of_group(*tasks: str, group: str = "screened_ingest") -> list[str]:
    return [f"{group}.{task}" for task in tasks]


def test_a_delivery_on_disk_takes_its_whole_way(world: Any, run_dag: Callable[..., Any]) -> None:
    delivery = world.deliver("monday", world.part(0, 120))
    # Where `beside` finds it.
    Path(delivery["manifest"]).rename(delivery["uri"] + ".manifest.json")
    del delivery["manifest"]
    run = run_dag("lazaretto_screened", delivery)
    assert run.tasks == dict.fromkeys(of_group("await", *WAY), "success")
    (admitted,) = world.ledger(BatchAdmitted)
    told = {"dataset": "handwriting", "version": admitted.version, "batch": admitted.batch}
    assert run.asset_events == [told | {"rows": admitted.rows}]
    assert run.xcoms["screened_ingest.admit"]["version"] == admitted.version


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket, by the environment."""
    require_server("moto")
    found = Bucket("moto", tmp_path / "buckets")
    for name, value in {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    found.start()
    yield found
    found.stop()


def test_a_delivery_in_a_bucket(world: Any, run_dag: Callable[..., Any], served: Bucket) -> None:
    import yaml

    files = served.files()
    policy = Path(world.policy)
    rules = yaml.safe_load(policy.read_text())
    rules["sources"]["places"] = ["s3://bucket/{source}"]
    policy.write_text(yaml.safe_dump(rules))
    delivery = world.deliver("monday", world.part(0, 120))
    place = "bucket/vendor-a/digits.parquet"
    files.put(delivery["uri"], place)
    files.put(delivery["manifest"], f"{place}.manifest.json")
    conf = {"uri": f"s3://{place}", "source": delivery["source"]}
    run = run_dag("lazaretto_screened", conf)
    assert run.tasks["screened_ingest.admit"] == "success"
    (received,) = world.ledger(BatchReceived)
    assert received.uri == f"s3://{place}"
    assert len(world.ledger(BatchAdmitted)) == 1


GROUP = """
from airflow.sdk import DAG, task, task_group
from lazaretto.operators import screened_ingest
with DAG("grouped", schedule=None):
    @task(trigger_rule="all_done")
    def train(): pass
    screened_ingest(dataset="handwriting", policy={policy!r}, group_id="gate", **{delivery!r}) >> train()
"""  # noqa: E501


def test_nothing_behind_the_group_runs_when_the_batch_is_held(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(0, 120), np.random.default_rng(0))
    text = GROUP.format(policy=world.policy, delivery=world.deliver("bad-day", broken))
    run = run_dag("grouped", text=text)
    held = dict.fromkeys([*of_group("admit", group="gate"), "train"], "skipped")
    assert run.tasks == dict.fromkeys(of_group(*WAY[:-1], group="gate"), "success") | held
    assert (len(world.ledger(BatchJudged)), run.asset_events) == (1, [])


MAPPED = """
from airflow.sdk import DAG, task_group
from lazaretto.operators import screened_ingest
with DAG("many", schedule=None):
    @task_group
    def one(uri, source, manifest):
        screened_ingest(
            dataset="handwriting", policy={policy!r}, uri=uri, source=source, manifest=manifest,
            group_id="gate",
        )
    one.expand_kwargs({deliveries!r})
"""


def test_a_group_is_mapped_over_deliveries(world: Any, run_dag: Callable[..., Any]) -> None:
    days = [world.deliver(f"day-{n}", world.part(100 * n, 100 * n + 100)) for n in range(2)]
    run = run_dag("many", text=MAPPED.format(policy=world.policy, deliveries=days))
    assert [run.tasks[f"one.gate.admit[{n}]"] for n in range(2)] == ["success"] * 2
    assert len(world.ledger(BatchAdmitted)) == 2


def test_a_misspelt_task_is_refused_when_the_dag_is_read() -> None:
    from airflow.sdk import DAG

    from lazaretto.errors import UsageError
    from lazaretto.operators import screened_ingest

    with DAG("odd", schedule=None), pytest.raises(UsageError, match=r"'scren'.*receive, validate"):
        screened_ingest(dataset="reviews", policy="p.yaml", tasks={"scren": {"pool": "memory"}})


def test_arguments_of_single_tasks_and_of_all() -> None:
    from airflow.sdk import DAG

    from lazaretto.operators import screened_ingest

    with DAG("odd", schedule=None):
        group = screened_ingest(
            dataset="reviews",
            policy="p.yaml",
            tasks={"screen": {"pool": "memory"}},
            default_args={"retries": 7},
        )
    assert (group["screen"].pool, group["embed"].pool) == ("memory", "default_pool")
    assert {task.retries for task in group.iter_tasks()} == {7}


@pytest.fixture
def key(world: Any, tmp_path: Path) -> str:
    """The file of the source's private key."""
    file = tmp_path / "vendor.key"
    file.write_bytes(world.private_key)
    return str(file)


FUNCTION = """
from airflow.sdk import DAG, task
import pyarrow.parquet as pq
with DAG("screened", schedule=None):
    @task.screened(source="vendor-a", dataset="handwriting", policy={policy!r}, key={key!r})
    def rows(file, run_id=None):
        assert run_id
        table = pq.read_table(file) if file else None
        return {shape}
    rows({file!r})
"""


@pytest.mark.parametrize(
    "shape",
    [
        "table",
        "table.to_reader(50)",
        "__import__('polars').from_arrow(table).lazy()",
        "table.to_pandas()",
    ],
)
def test_what_a_function_returns_is_admitted_once(
    world: Any, key: str, run_dag: Callable[..., Any], shape: str
) -> None:
    file = world.deliver("monday", world.part(0, 120))["uri"]
    if "pandas" in shape:
        pytest.importorskip("pandas")
    text = FUNCTION.format(policy=world.policy, key=key, file=file, shape=shape)
    run = run_dag("screened", text=text)
    assert run.tasks == {"rows": "success"}
    (admitted,) = world.ledger(BatchAdmitted)
    (received,) = world.ledger(BatchReceived)
    assert received.rows == 120
    assert received.signature.envelope is not None
    assert f"{world.folder}/screened/rows/" in received.uri
    # Cleared and run again, the same records are the same batch.
    again = run_dag("screened", text=text)
    assert again.xcoms["rows"] == run.xcoms["rows"]
    assert world.ledger(BatchAdmitted) == [admitted]


@pytest.mark.parametrize("shape", ["None", "table[:0]"])
def test_a_function_without_records_skips_and_leaves_nothing(
    world: Any, key: str, run_dag: Callable[..., Any], shape: str
) -> None:
    file = world.deliver("monday", world.part(0, 120))["uri"]
    text = FUNCTION.format(policy=world.policy, key=key, file=file, shape=shape)
    assert run_dag("screened", text=text).tasks == {"rows": "skipped"}
    assert world.ledger(BatchReceived) + world.ledger(DeliveryRefused) == []
    assert not (world.folder / "screened").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key": ""}, "there is no key to sign with"),
        ({"key": "/no/such/key"}, "cannot be read"),
        ({"shape": "[1, 2]"}, "not of <class 'list'>"),
    ],
)
def test_what_cannot_be_delivered_fails_for_good(
    world: Any,
    key: str,
    run_dag: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    wrong: dict[str, str],
    said: str,
) -> None:
    file = world.deliver("monday", world.part(0, 120))["uri"]
    given = {"policy": world.policy, "key": key, "file": file, "shape": "table"} | wrong
    assert run_dag("screened", text=FUNCTION.format(**given)).tasks == {"rows": "failed"}
    assert said in caplog.text + "".join(capfd.readouterr())
    assert world.ledger(BatchReceived) == []


@pytest.mark.postgres
def test_rows_of_a_database(
    world: Any,
    key: str,
    postgres_url: str,
    run_dag: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psycopg
    import pyarrow.parquet as pq

    address = postgres_url.replace("+psycopg", "")
    rows = pq.read_table(world.deliver("monday", world.part(0, 240))["uri"]).to_pylist()
    with psycopg.connect(address) as shop:
        shop.execute(
            "CREATE TABLE digits (id text PRIMARY KEY, label bigint, pixels float4[],"
            " picture bytea, written_at timestamptz)"
        )
        with shop.cursor() as cursor:
            # Half of the rows are another day's.
            cursor.executemany(
                "INSERT INTO digits VALUES (%s, %s, %s, %s, %s)",
                [
                    (*row.values(), DAY - timedelta(hours=13 + 24 * (number % 2)))
                    for number, row in enumerate(rows)
                ],
            )
    for name, value in {
        "LAZARETTO_SOURCE": "vendor-a",
        "LAZARETTO_KEY": key,
        "LAZARETTO_TABLE": "digits",
        "AIRFLOW_CONN_LAZARETTO_SHOP": address,
    }.items():
        monkeypatch.setitem(os.environ, name, value)
    run = run_dag("lazaretto_from_database", day=DAY)
    assert run.tasks == {"rows_of_the_day": "success"}
    (received,) = world.ledger(BatchReceived)
    assert received.rows == 120
    (admitted,) = world.ledger(BatchAdmitted)
    assert 0 < admitted.rows <= 120


def test_the_dag_for_a_cluster_sends_tasks_where_they_fit(dags_folder: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    page = pages.ROOT / "docs/how-to/scale-out.md"
    (shown,) = [block.text for block in pages.blocks(page) if block.title == "cluster.py"]
    (dags_folder / "shown.py").write_text(shown)
    bag = DagBag(dag_folder=str(dags_folder / "shown.py"))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    tasks = {name.removeprefix("screened_ingest."): one for name, one in dag.task_dict.items()}
    assert (tasks["receive"].pool, tasks["screen"].pool) == ("decode", "memory")
    assert tasks["embed"].queue == "gpu"
    assert "pod_template_file" in tasks["screen"].executor_config


@pytest.mark.parametrize("title", ["group.py", "mapped.py", "function.py"])
def test_what_the_page_shows_is_a_dag(dags_folder: Path, title: str) -> None:
    from airflow.dag_processing.dagbag import DagBag

    page = pages.ROOT / "docs/how-to/write-a-dag.md"
    (shown,) = [block.text for block in pages.blocks(page) if block.title == title]
    (dags_folder / "shown.py").write_text(shown)
    bag = DagBag(dag_folder=str(dags_folder / "shown.py"))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    if title == "group.py":
        tasks = of_group("await", *WAY, "review", "announce")
        assert set(dag.task_ids) == set(tasks)
        assert dag.task_dict["screened_ingest.screen"].pool == "memory"
