"""The DAG that `lazaretto init --from` writes, linked into Airflow's folder, as its page says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import quick_commands

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
OWN_DATA = Path(__file__).parents[2] / "docs/how-to/own_data.py"


def lazaretto(folder: Path, line: str) -> Any:
    words = [str(quick_commands() / "lazaretto"), *shlex.split(line)[1:], "--json"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", ["link", "copy"])
def test_the_dag_of_a_project_takes_deliveries_into_its_dataset(
    how: str, tmp_path: Path, dags_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    # What another project of this Airflow sets must not lead this one astray.
    monkeypatch.setenv("LAZARETTO_POLICY", "/opt/airflow/policies/other.yaml")
    monkeypatch.setenv("LAZARETTO_DATASET", "reviews")
    subprocess.run([sys.executable, str(OWN_DATA), "table"], cwd=tmp_path, check=True)
    said = lazaretto(tmp_path, "lazaretto init gate --from customers.csv --source crm --yes")
    for line in said["next"][:2]:
        lazaretto(tmp_path, line)
    file = dags_folder / f"customers_{how}.py"
    if how == "link":
        file.symlink_to(tmp_path / said["dag"])
    else:
        file.write_bytes((tmp_path / said["dag"]).read_bytes())
        monkeypatch.setenv("LAZARETTO_PROJECT", str(tmp_path / "gate"))
    bag = DagBag(dag_folder=str(file))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    assert dag.dag_id == "ingest_customers"
    delivery = tmp_path / "gate/drop/crm/monday.csv"
    run = dag.test(run_conf={"uri": str(delivery), "source": "crm"})
    assert str(run.state) == "success"
    log = lazaretto(tmp_path, "lazaretto dataset log customers")
    assert len(log["entries"] if isinstance(log, dict) else log) == 1


def test_what_was_released_is_not_published_by_another_datasets_policy(
    world: Any, run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Path(world.policy).read_text().replace("handwriting", "gold"))
    text = f"""
from airflow.sdk import DAG
from lazaretto.operators import AdmitBatchOperator
with DAG("astray", schedule=None):
    AdmitBatchOperator(task_id="admit", batch="vendor-a/{"0" * 32}", dataset="handwriting",
                       part="released", policy={str(other)!r}, retries=0)
"""
    run = run_dag("astray", text=text)
    assert run.tasks == {"admit": "failed"}
