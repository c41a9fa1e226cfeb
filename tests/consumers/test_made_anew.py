"""What other tools write today still has the form of the events that the reader is tested with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = Path(__file__).parents[1] / "lineage" / "events"


def _forms(file: Path) -> list[Any]:
    """Of each event what does not differ between two runs; in an order of its own."""
    found = []
    for line in file.read_text().splitlines():
        event = json.loads(line)
        sides = [
            [(one["name"], sorted(one["facets"])) for one in event[side]]
            for side in ("inputs", "outputs")
        ]
        facets = sorted(event["run"]["facets"])
        found.append((event["job"]["name"], event["eventType"], facets, sides))
    return sorted(found, key=str)


def _make(kind: str, out: Path, *more: Path) -> None:
    command = [sys.executable, EVENTS / "make.py", kind, out, *more]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_dbt_s(program: Callable[[str], Path], tmp_path: Path) -> None:
    _make("dbt", tmp_path / "events.jsonl", program("dbt"))
    assert _forms(tmp_path / "events.jsonl") == _forms(EVENTS / "dbt/events.jsonl")


@pytest.mark.airflow
@pytest.mark.skipif(
    "LAZARETTO_CONSUMERS" not in os.environ, reason="`make consumers` runs it: half a minute"
)
def test_airflow_s(tmp_path: Path) -> None:
    _make("airflow", tmp_path / "events.jsonl")
    assert _forms(tmp_path / "events.jsonl") == _forms(EVENTS / "airflow/events.jsonl")
