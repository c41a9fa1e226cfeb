"""DAG files are parsed every few seconds, plugins load in every process: imports stay light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = [
    "torch", "sklearn", "faiss", "polars", "pandera", "pyarrow", "deltalake", "numpy", "pandas",
    "alembic", "openlineage", "great_expectations", "fastapi", "airflow.api_fastapi",
    "airflow.providers.openlineage",
]  # fmt: skip
PROGRAM = """
import json, sys
import airflow.sdk
from airflow.sdk import BaseOperator, BaseHook, BaseOperatorLink, BaseSensorOperator, Asset, conf
from airflow.sdk.exceptions import AirflowFailException
import airflow.sdk.plugins_manager
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
print(json.dumps("operators" in sys.modules or "plugins" in sys.modules))
"""


def imported_by(module: str) -> tuple[list[str], bool]:
    """Modules that an import adds to those of the SDK; whether a room came by its bare name."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    added, bare = done.stdout.splitlines()[-2:]
    return json.loads(added), json.loads(bare)


@pytest.mark.airflow
@pytest.mark.parametrize("module", ["lazaretto.operators", "lazaretto.plugins.lazaretto_plugin"])
def test_only_the_sdk_and_the_standard_library(module: str) -> None:
    added, bare = imported_by(module)
    assert not bare, "a room was imported twice: once as lazaretto.X, once as X"
    heavy = [name for name in added if name in HEAVY]
    assert heavy == []
    foreign = (
        {name.partition(".")[0] for name in added} - set(sys.stdlib_module_names) - {"lazaretto"}
    )
    assert foreign <= {"airflow"}, "more than the SDK and the standard library"
    inner = [
        name for name in added if name.startswith("airflow.") and not name.startswith("airflow.sdk")
    ]
    assert inner == []


def heavy_after(program: str) -> set[str]:
    """Which heavy modules a program leaves loaded."""
    show = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{show}"],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


@pytest.mark.airflow
def test_parsing_the_dag_files_loads_nothing_that_an_empty_dag_does_not() -> None:
    empty = """
from airflow.sdk import DAG, Asset, BaseOperator, Param, task
with DAG("x", schedule=[Asset(name="a", uri="lazaretto://a")], params={"p": Param(1)}):
    BaseOperator(task_id="t")
    @task
    def t2(): ...
    t2()
"""
    dags = [str(path) for path in sorted((ROOT / "dags").glob("lazaretto_*.py"))]
    ours = f"import runpy; [runpy.run_path(path) for path in {dags}]"
    assert heavy_after(ours) <= heavy_after(empty)


def test_this_process_has_no_second_copy_of_a_room() -> None:
    import lazaretto.operators

    assert lazaretto.operators.__file__
    assert "operators" not in sys.modules
    assert "plugins" not in sys.modules
