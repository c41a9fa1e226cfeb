"""Tasks killed at random moments in Airflow's task runner, and run again: once, and all of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from lazaretto.dataset.table import open_dataset
from lazaretto.health import check
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, VersionAnnounced
from lazaretto.ledger.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.airflow, pytest.mark.long]
KILLS = int(os.environ.get("LAZARETTO_RANDOM_KILLS", "1"))
RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
run = DagBag(dag_folder=sys.argv[1]).dags[sys.argv[2]].test(run_conf=json.loads(sys.argv[3]))
sys.exit(0 if str(run.state) == "success" else 1)
"""
SMALL = """
from airflow.sdk import DAG
from lazaretto.operators import IngestBatchOperator
with DAG("one_task", schedule=None):
    IngestBatchOperator(
        task_id="ingest",
        uri="{{{{ dag_run.conf['uri'] }}}}",
        source="{{{{ dag_run.conf['source'] }}}}",
        manifest="{{{{ dag_run.conf['manifest'] }}}}",
        dataset="handwriting",
        policy={policy!r},
    )
"""


@pytest.fixture
def catalog_of_world(catalog_url: str) -> str:
    """Once on each database, where somebody takes the time."""
    if catalog_url.startswith("sqlite") and "LAZARETTO_RANDOM_KILLS" not in os.environ:
        pytest.skip("PostgreSQL alone by default: LAZARETTO_RANDOM_KILLS=200 is for both")
    return catalog_url


def _run(folder: Path, dag: str, conf: dict[str, str], kill_after: float | None) -> bool:
    """Whether the run ended by itself, and well."""
    command = [sys.executable, "-c", RUN, str(folder), dag, json.dumps(conf)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    if kill_after is not None:
        time.sleep(kill_after)
        os.killpg(child.pid, signal.SIGKILL)
    output = child.communicate()[0]
    if kill_after is None and child.returncode:
        pytest.fail(output.decode()[-4000:])
    return child.returncode == 0


def test_whatever_is_killed_enters_once_when_it_runs_again(world: Any, dags_folder: Path) -> None:
    (dags_folder / "one_task.py").write_text(SMALL.format(policy=world.policy))
    chance = random.Random(int(os.environ.get("LAZARETTO_SEED", "1")))  # noqa: S311  no secret
    killed, number, usual = 0, 0, 0.0
    while killed < KILLS:
        start = number * 2 % 590  # no two have the same records; there are 717
        conf = world.deliver(f"day-{number}", world.part(start, start + 120))
        if number:
            moment = chance.uniform(0.3 * usual, usual)
            killed += not _run(dags_folder, "one_task", conf, moment)
        started = time.perf_counter()
        _run(dags_folder, "one_task", conf, None)
        usual, number = time.perf_counter() - started, number + 1
    judged = world.ledger(BatchJudged)
    wanted = sum(event.cleared for event in judged)
    admitted = world.ledger(BatchAdmitted)
    assert len(judged) == number
    assert len({event.batch for event in admitted}) == len(admitted)
    newest = open_dataset(world.workspace, "handwriting")
    assert sum(file.rows for file in newest.files) == wanted
    assert verify(world.workspace).ok
    assert check(world.workspace, deep=True).sound
    versions = [event.version for event in world.ledger(VersionAnnounced)]
    assert sorted(versions) == [event.version for event in admitted]
    print({"killed": killed, "deliveries": number, "records": wanted})
