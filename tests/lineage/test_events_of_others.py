"""Events that dbt, Airflow and the specification's authors wrote are taken, every line of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lazaretto import lineage

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike
EVENTS = Path(__file__).parent / "events"
FILES = sorted(EVENTS.glob("*/events.jsonl"))


def _ids(file: Path) -> str:
    return file.parent.name


def test_there_are_events_of_dbt_airflow_and_the_specification() -> None:
    assert [file.parent.name for file in FILES] == ["airflow", "dbt", "spec"]


@pytest.mark.parametrize("file", FILES, ids=_ids)
def test_every_line_is_taken(workspace: Workspace, file: Path) -> None:
    taken = lineage.ingest(workspace, file)
    assert taken.skipped == []
    assert taken.events == len(file.read_text().splitlines()) > 0
    assert lineage.ingest(workspace, file).skipped == []


@pytest.mark.parametrize("file", FILES, ids=_ids)
def test_every_line_is_valid_by_the_schemas_that_are_shipped(file: Path) -> None:
    assert lineage.check(file) == []


def test_the_specification_s_examples_are_of_every_kind_that_reading_knows() -> None:
    facets = set()
    for line in (EVENTS / "spec/events.jsonl").read_text().splitlines():
        event = json.loads(line)
        for dataset in (*event["inputs"], *event["outputs"]):
            for place in ("facets", "inputFacets", "outputFacets"):
                facets |= set(dataset.get(place, {}))
    assert {"subset", "version", "symlinks", "lifecycleStateChange", "datasetType"} <= facets
