"""Which code a task says that it runs."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lazaretto.operators.deploying import deployed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.airflow


def test_version_and_code_of_the_dag_are_told(tmp_path: Path) -> None:
    from airflow.sdk import DAG

    from lazaretto.operators import FlushLineageOperator

    file = tmp_path / "ingest.py"
    file.write_text("# a DAG\n")
    with DAG("ingest", schedule=None) as dag:
        task = FlushLineageOperator(task_id="flush")
    dag.fileloc = str(file)
    instance = SimpleNamespace(dag_version_id="0198-7")
    found = deployed(task, cast("Any", {"ti": instance}))
    assert found is not None
    assert (found.workflow, found.version) == ("ingest", "0198-7")
    assert found.code == hashlib.sha256(b"# a DAG\n").hexdigest()
    # A bundle's own version says more than the number of the DAG's.
    instance.bundle_instance = SimpleNamespace(version="4f2c")
    dag.fileloc = str(tmp_path / "gone.py")
    again = deployed(task, cast("Any", {"ti": instance}))
    assert again is not None
    assert (again.version, again.code) == ("4f2c", None)


def test_an_operator_of_no_dag_is_no_deployment() -> None:
    from lazaretto.operators import FlushLineageOperator

    assert deployed(FlushLineageOperator(task_id="flush"), cast("Any", {})) is None
