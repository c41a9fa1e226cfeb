"""Data.Rentgen's own parser and extractors take every event of ours, and see one writer each.

Its consumer reads Kafka; here the same messages reach the same parser by another way. It has no
versions: a run that writes is what it shows.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_STATES = {"COMPLETE": "SUCCEEDED", "FAIL": "FAILED"}


@pytest.fixture(scope="module")
def extracted(program: Callable[[str], Path], sent: Path) -> dict[str, Any]:
    """What Data.Rentgen made of the events."""
    command = [program("data-rentgen") / "python", Path(__file__).with_name("extract.py")]
    with sent.open("rb") as events:
        done = subprocess.run(
            [str(word) for word in command], stdin=events, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_event_is_read(extracted: dict[str, Any], events: list[dict[str, Any]]) -> None:
    assert extracted["refused"] == []
    assert extracted["read"] == len(events)
    assert {event["run"]["runId"] for event in events} <= set(extracted["runs"])


def test_runs_have_their_state_times_and_parent(
    extracted: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    ours = [event for event in events if event["job"]["name"].startswith("lazaretto.")]
    ours = [event for event in ours if event["eventType"] != "OTHER"]  # it only adds inputs
    for event in ours:
        run = extracted["runs"][event["run"]["runId"]]
        assert run["job"] == event["job"]["name"]
        state = _STATES.get(event["eventType"])
        if state is None:
            key = "started"
        else:
            assert run["status"] == state
            key = "ended"
        assert datetime.fromisoformat(run[key]) == datetime.fromisoformat(event["eventTime"])
        parent = event["run"]["facets"].get("parent")
        assert run["parent"] == (parent and parent["run"]["runId"])


def test_each_version_of_a_model_has_one_writer(
    extracted: dict[str, Any],
    written: dict[tuple[str, str], list[str]],
    models: set[tuple[str, str]],
) -> None:
    shown = Counter(output["name"] for output in extracted["outputs"])
    assert models
    for model in models:
        assert shown[model[1]] == len(set(written[model])), model


def test_what_replaces_is_told_from_what_is_added(
    extracted: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    replaced = {
        event["run"]["runId"]
        for event in events
        for output in event["outputs"]
        if "lifecycleStateChange" in output["facets"]
    }
    assert replaced
    overwrite = extracted["overwrite"]
    assert {o["run"] for o in extracted["outputs"] if o["type"] & overwrite} == replaced
