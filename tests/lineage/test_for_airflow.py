"""What Airflow's provider gets; in another process, because Airflow configures itself on import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from ledger_history import History

from lazaretto.errors import UsageError
from lazaretto.lineage.openlineage.parent import Parent, parent_from_environment

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

_REPORT = """
import json, sys
from openlineage.client.event_v2 import RunEvent, RunState, Run, Job
from openlineage.client.serde import Serde
from lazaretto import lineage
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
found = lineage.operator_lineage(workspace, json.loads(sys.argv[3]))
event = RunEvent(
    eventType=RunState.COMPLETE, eventTime="2026-05-01T00:00:00+00:00",
    run=Run("0190a0a0-0000-7000-8000-000000000001", facets=found.run_facets),
    job=Job("airflow", "dag.task", facets=found.job_facets),
    inputs=found.inputs, outputs=found.outputs, producer="https://example.org",
)
event = json.loads(Serde.to_json(event))
assert lineage.check_event(event, strict=True) == [], lineage.check_event(event)
print(json.dumps(event))
"""
_RUN_ID = """
import datetime
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
print(OpenLineageAdapter.build_task_instance_run_id(
    dag_id="d", task_id="t", try_number=2, map_index=-1,
    logical_date=datetime.datetime(2026, 5, 1, tzinfo=datetime.timezone.utc)))
"""


def _airflow(tmp_path: Path, code: str, *arguments: str) -> str:
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "prod",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def _report(workspace: Workspace, tmp_path: Path, seqs: list[int]) -> dict[str, Any]:
    url = str(workspace.catalog.engine.url)
    told = _airflow(tmp_path, _REPORT, url, workspace.store.root, json.dumps(seqs))
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.mark.airflow
def test_a_task_reports_each_dataset_once_with_all_its_partitions(
    sqlite_workspace: Workspace, tmp_path: Path
) -> None:
    history = History(sqlite_workspace)
    first, second = history.receive("vendor-x", 0), history.receive("vendor-x", 1)
    history.admit(first)
    history.admit(second)
    event = _report(sqlite_workspace, tmp_path, [3, 4])
    [read] = event["inputs"]
    partitions = read["inputFacets"]["subset"]["inputCondition"]["partitions"]
    assert [partition["identifier"] for partition in partitions] == [first, second]
    assert event["outputs"] == []  # the entry's own event writes them, within the task's run
    assert event["run"]["facets"]["lazaretto_integrity"]["seq"] == 4


@pytest.mark.airflow
def test_the_parent_is_the_run_that_airflow_reports(tmp_path: Path) -> None:
    environment = {
        "AIRFLOW_CTX_DAG_ID": "d",
        "AIRFLOW_CTX_TASK_ID": "t",
        "AIRFLOW_CTX_TRY_NUMBER": "2",
        "AIRFLOW_CTX_LOGICAL_DATE": "2026-05-01T00:00:00+00:00",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "prod",
    }
    expected = Parent("prod", "d.t", _airflow(tmp_path, _RUN_ID))
    assert parent_from_environment(environment) == expected
    told = {"OPENLINEAGE_PARENT_ID": f"x/y/{expected.run}"}
    assert parent_from_environment(environment | told) == Parent("x", "y", expected.run)
    told["OPENLINEAGE_ROOT_PARENT_ID"] = f"x/z/{expected.run}"
    root = Parent("x", "z", expected.run)
    assert parent_from_environment(environment | told) == Parent("x", "y", expected.run, root)


def test_outside_a_task_there_is_no_parent() -> None:
    assert parent_from_environment({}) is None
    assert parent_from_environment({"AIRFLOW_CTX_DAG_ID": "d", "AIRFLOW_CTX_TASK_ID": "t"}) is None


@pytest.mark.parametrize(
    "text", ["", "a/b", "a/b/not-a-uuid", "/b/0190a0a0-0000-7000-8000-000000000001"]
)
def test_a_malformed_parent_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="OpenLineage parent"):
        Parent.parse(text)
