"""Makes the events of other tools anew that the tests read: `python make.py KIND OUT [DBT_BIN]`.

They are what the tools themselves wrote, or the specification's own examples. Only the path of the
temporary AIRFLOW_HOME is written as ``/airflow``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_EVENT: dict[str, Any] = {
    "eventType": "COMPLETE",
    "eventTime": "2026-08-20T12:00:00Z",
    "producer": "https://github.com/OpenLineage/OpenLineage/tree/8f02abf/spec/tests",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
}


def dbt(out: Path, programs: Path) -> None:
    """A run of two models, by `dbt-ol` with DuckDB and the file transport."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HERE / "dbt/project", folder, dirs_exist_ok=True)
        transport = {"type": "file", "log_file_path": "events.jsonl", "append": True}
        subprocess.run(
            [programs / "dbt-ol", "run", "--profiles-dir", "."],
            cwd=folder,
            check=True,
            env=os.environ
            | {
                "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
                "OPENLINEAGE_NAMESPACE": "dbt",
                "OPENLINEAGE__TRANSPORT": json.dumps(transport),
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )
        shutil.copy(Path(folder) / "events.jsonl", out)


def airflow(out: Path) -> None:
    """A run of `two_tasks` in a real Airflow, by its OpenLineage provider."""
    programs = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dags").mkdir()
        shutil.copy(HERE / "airflow/two_tasks.py", home / "dags")
        file = home / "events.jsonl"
        transport = {"type": "file", "log_file_path": str(file), "append": True}
        environment = os.environ | {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "airflow",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "HOME": folder,
        }
        for words in (["db", "migrate"], ["dags", "reserialize"], ["dags", "test", "two_tasks"]):
            subprocess.run([programs / "airflow", *words], env=environment, check=True)
        text = file.read_text().replace(folder, "/airflow")
        out.write_text(text)


def spec(out: Path, folder: Path) -> None:
    """The specification's example of every facet, each in an event of its own, and its whole event.

    The examples are bodies of facets. An event is put around each, in the place where the facet's
    schema says that it belongs.
    """
    lines = [json.loads((folder / "tests/example_full_event.json").read_text())]
    for number, file in enumerate(sorted(folder.glob("tests/*/*.json")), start=1):
        [(key, body)] = json.loads(file.read_text()).items()
        lines.append(_around(file.parent.name, key, body, number))
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _around(facet: str, key: str, body: dict[str, Any], number: int) -> dict[str, Any]:
    run: dict[str, Any] = {"runId": f"0190a0a0-0000-7000-8000-{number:012d}", "facets": {}}
    job: dict[str, Any] = {"namespace": "spec", "name": facet, "facets": {}}
    read: dict[str, Any] = {"namespace": "spec", "name": "read", "facets": {}, "inputFacets": {}}
    written: dict[str, Any] = {"namespace": "spec", "name": "written", "facets": {}}
    written["outputFacets"] = {}
    on_read = facet in ("DataQualityMetricsInputDatasetFacet", "DataQualityAssertionsDatasetFacet")
    if facet == "BaseSubsetDatasetFacet" and "inputCondition" in body:
        on_read = True
    places = {
        "OutputStatisticsOutputDatasetFacet": written["outputFacets"],
        "BaseSubsetDatasetFacet": written["outputFacets"],
        "LineageFacet": (written if "Dataset" in body["_schemaURL"] else job)["facets"],
    }
    if on_read:
        place = read["inputFacets"]
    elif facet in places:
        place = places[facet]
    elif facet.endswith("RunFacet"):
        place = run["facets"]
    elif facet.endswith("JobFacet"):
        place = job["facets"]
    else:
        place = written["facets"]
    place[key] = body
    return _EVENT | {"run": run, "job": job, "inputs": [read], "outputs": [written]}


if __name__ == "__main__":
    kind, target, *more = sys.argv[1:]
    {"dbt": dbt, "airflow": airflow, "spec": spec}[kind](Path(target), *map(Path, more))
