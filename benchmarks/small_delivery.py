"""CPU seconds of a small delivery, beside an older commit in the same run.

    git worktree add /tmp/old b3fe01f && (cd /tmp/old && make install)
    python benchmarks/small_delivery.py [--rows 500] [--reference 5000] [--width 64] [--runs 3] \
        [--demo] [--baseline /tmp/old/.venv/bin/python]

User and system time of all processes that take one Parquet delivery (id, label, float32 vector) the
whole way under the default policy, one thread each:

* ``cli``: ``lazaretto batch ingest``.
* ``tasks``: the example DAG ``lazaretto_ingest``, six tasks. Airflow's own task runner runs each in
  a process that its supervisor forks, as under its executors: it has loaded Airflow, and not
  Lazaretto, and parses its DAG file. What supervisor and scheduler do meanwhile is not counted.
* ``one_task``: the same for `IngestBatchOperator`; the older commit has none.
* ``demo``: ``lazaretto demo``, with ``--demo``.

Today's code and the baseline take turns. Prints one JSON line per measurement, then one with the
ratios of the medians: today's over the baseline's, and one task over the baseline's six.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from delivery import write

COMMAND = "import sys; sys.argv[0] = 'lazaretto'; from lazaretto.cli import main; main()"
POLICY = """
version: 1
dataset: reviews
columns: {record_id: id, label: label, embedding: embedding}
sources: {require_signature: false%s}
"""
ONE_TASK = """
import os
from airflow.sdk import DAG, Param
from lazaretto.operators import IngestBatchOperator
with DAG("one_task", schedule=None, params={"uri": Param(type="string"), "source": Param("")}):
    IngestBatchOperator(
        task_id="ingest", uri="{{ params.uri }}", source="{{ params.source }}", dataset="reviews",
        policy=os.environ["LAZARETTO_POLICY"],
    )
"""


def lazaretto(*arguments: str | Path) -> None:
    """Runs the command line in a process of its own."""
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def prepare(folder: Path, data: Path) -> dict[str, str]:
    """A catalog and a store with a source and a reference; the variables that name them."""
    from lazaretto.policy import Policy

    policy = folder / "policy.yaml"
    policy.write_text(POLICY % f", places: [{data}]")
    try:
        Policy.load(policy)
    except Exception:  # of an older commit, which knows no places
        policy.write_text(POLICY % "")
    variables = {
        "LAZARETTO_CATALOG_URL": f"sqlite:///{folder}/catalog.db",
        "LAZARETTO_STORE": str(folder / "store"),
        "LAZARETTO_POLICY": str(policy),
        "LAZARETTO_DATASET": "reviews",
    }
    os.environ |= variables
    lazaretto("source", "add", "vendor", "--trust-tier", "reviewed")
    lazaretto("reference", "fit", data / "trusted.parquet", "--policy", policy)
    return variables


def children() -> float:
    """CPU seconds of all processes that this one waited for, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def by_cli(folder: Path, data: Path) -> dict[str, Any]:
    variables = prepare(folder, data)
    policy, delivery = variables["LAZARETTO_POLICY"], data / "delivery.parquet"
    before = children()
    lazaretto("batch", "ingest", delivery, "--source", "vendor", "--policy", policy)
    return {"cpu": children() - before}


def by_demo(folder: Path, _data: Path) -> dict[str, Any]:
    before = children()
    lazaretto("demo", "--out", folder / "demo")
    return {"cpu": children() - before}


def by_airflow(folder: Path, data: Path, dag_id: str) -> dict[str, Any]:
    """One run of a DAG; the CPU of each task's process."""
    home = folder / "airflow"
    dags = home / "dags"
    dags.mkdir(parents=True)
    if dag_id == "one_task":
        (dags / f"{dag_id}.py").write_text(ONE_TASK)
    else:
        shutil.copy(Path(__file__).parents[1] / "dags" / f"{dag_id}.py", dags)
    transport = {"type": "file", "log_file_path": str(home / "events.jsonl"), "append": True}
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    prepare(folder, data)
    from airflow.dag_processing.dagbag import DagBag
    from airflow.executors import workloads
    from airflow.sdk.definitions import dag as definitions
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, supervise_task
    from airflow.utils.db import initdb
    from airflow.utils.state import TaskInstanceState

    initdb()
    used: dict[str, float] = {}
    file = Path(f"{dag_id}.py")
    bundle = workloads.BundleInfo(name="dags-folder")

    def run_in_child(*, ti: Any, task: Any, **_more: Any) -> None:
        ti.set_state(TaskInstanceState.QUEUED)
        work = workloads.ExecuteTask.make(ti, dag_rel_path=file, bundle_info=bundle)
        client = InProcessTestSupervisor._api_client(task.dag)
        before = children()
        supervise_task(ti=work.ti, bundle_info=bundle, dag_rel_path=file, token="", client=client)
        used[ti.task_id] = round(children() - before, 3)

    definitions._run_task = run_in_child
    loaded = DagBag(dag_folder=str(dags / f"{dag_id}.py")).dags[dag_id]
    conf = {"uri": str(data / "delivery.parquet"), "source": "vendor"}
    state = str(loaded.test(run_conf=conf).state)
    assert state == "success", state
    return {"cpu": sum(used.values()), "tasks": used}


MODES = {
    "cli": by_cli,
    "tasks": lambda folder, data: by_airflow(folder, data, "lazaretto_ingest"),
    "one_task": lambda folder, data: by_airflow(folder, data, "one_task"),
    "demo": by_demo,
}


def environment() -> dict[str, str]:
    """One thread each; compiled modules are kept, as an installation has them."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def measure(python: str, mode: str, data: Path) -> dict[str, Any]:
    """One measurement in a fresh process of that Python; its answer."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, __file__, "--one", mode, folder, str(data)]
        done = subprocess.run(
            command, env=environment(), check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{mode} by {python} failed:\n{done.stdout[-2000:]}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--reference", type=int, default=5000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--demo", action="store_true", help="measure the demo, too; minutes")
    parser.add_argument("--baseline", help="Python of an environment with the older commit")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        mode, folder, data = options.one
        print(json.dumps(MODES[mode](Path(folder), Path(data))))
        return
    pythons = {"today": sys.executable}
    if options.baseline:
        pythons["baseline"] = options.baseline
    wanted = [(m, c) for m in MODES for c in pythons if (m, c) != ("one_task", "baseline")]
    if not options.demo:
        wanted = [(mode, code) for mode, code in wanted if mode != "demo"]
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in wanted}
    size = {"rows": options.rows, "reference": options.reference, "width": options.width}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "delivery.parquet"), options.rows, options.width, seed=2)
        write(Path(folder, "trusted.parquet"), options.reference, options.width, seed=3)
        for run in range(options.runs + 1):
            for mode, code in wanted:
                line = measure(pythons[code], mode, Path(folder))
                if run == 0:  # it compiled the modules
                    continue
                found[mode, code].append(line["cpu"])
                print(json.dumps({"mode": mode, "code": code, **size, **line}), flush=True)
    middle = {pair: statistics.median(values) for pair, values in found.items()}
    ratios = {f"{m}_{c}": round(value, 2) for (m, c), value in middle.items()}
    for mode, code in wanted:
        if code == "today" and "baseline" in pythons:
            old = middle["tasks" if mode == "one_task" else mode, "baseline"]
            ratios[f"{mode}_over_baseline"] = round(middle[mode, code] / old, 3)
    print(json.dumps({**size, **ratios}))


if __name__ == "__main__":
    main()
