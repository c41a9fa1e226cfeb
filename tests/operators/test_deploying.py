"""Which code a task says that it runs."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from lazaretto.operators.deploying import deployed

if TYPE_CHECKING:
    from pathlib import Path


def test_version_and_code_of_the_dag_are_told(tmp_path: Path) -> None:
    file = tmp_path / "ingest.py"
    file.write_text("# a DAG\n")
    task = cast("Any", SimpleNamespace(dag_id="ingest", dag=SimpleNamespace(fileloc=str(file))))
    instance = SimpleNamespace(dag_version_id="0198-7")
    found = deployed(task, cast("Any", {"ti": instance}))
    assert (found.workflow, found.version) == ("ingest", "0198-7")
    assert found.code == hashlib.sha256(b"# a DAG\n").hexdigest()
    # A bundle's own version says more than the number of the DAG's.
    instance.bundle_instance = SimpleNamespace(version="4f2c")
    task.dag.fileloc = str(tmp_path / "gone.py")
    again = deployed(task, cast("Any", {"ti": instance}))
    assert (again.version, again.code) == ("4f2c", None)
