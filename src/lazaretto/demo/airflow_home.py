"""Real Airflow for the demo: a throw-away AIRFLOW_HOME, and `dag.test()` in this process."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class AirflowHome:
    """A prepared AIRFLOW_HOME.

    Attributes:
        home: the folder.
        dags: the DAGs folder.
        log: what Airflow prints goes here.
    """

    home: Path
    dags: Path
    log: Path

    def run(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Runs a DAG once, task by task, in this process.

        Returns:
            The state of the run: ``success`` or ``failed``.
        """
        with _redirected(self.log):
            from airflow.dag_processing.dagbag import DagBag

            dag = DagBag(dag_folder=str(self.dags)).dags[dag_id]
            run = dag.test(run_conf=dict(conf))
        return str(run.state)

    def close(self) -> None:
        """Waits for Airflow's events about whole runs, and ends the pool that writes them."""
        from airflow.providers.openlineage.plugins.listener import get_openlineage_listener

        with _redirected(self.log):
            get_openlineage_listener().executor.shutdown(wait=True)


def prepare(folder: Path, *, dags: Path, events: Path, variables: Mapping[str, str]) -> AirflowHome:
    """Creates the folder and Airflow's database, and points this process at them.

    Args:
        folder: where AIRFLOW_HOME goes; must not exist.
        dags: folder with the DAG files.
        events: OpenLineage events of Airflow and of Lazaretto are appended to this file.
        variables: further environment variables.

    Raises:
        RuntimeError: Airflow was imported before: it reads its settings once.
    """
    if "airflow" in sys.modules:
        raise RuntimeError(
            "the demo must start before Airflow is imported: run it in a fresh process"
        )
    home = folder / "airflow"
    home.mkdir(parents=True)
    transport = json.dumps({"type": "file", "log_file_path": str(events), "append": True})
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": transport,
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "lazaretto-demo",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **variables,
    }
    log = folder / "airflow.log"
    with _redirected(log):
        from airflow.utils.db import initdb

        initdb()
    return AirflowHome(home=home, dags=dags, log=log)


@contextlib.contextmanager
def _redirected(log: Path) -> Iterator[None]:
    """Sends the output of this process and its children to a file: Airflow prints a lot."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for kept, descriptor in zip(saved, (1, 2), strict=True):
                os.dup2(kept, descriptor)
                os.close(kept)
