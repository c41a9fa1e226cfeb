"""MaintainDatasetOperator: small files put together from a DAG; nobody is told of a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pages
import pytest

from lazaretto import stages
from lazaretto.dataset.table import open_dataset
from lazaretto.ledger.events import DatasetCompacted, VersionAnnounced
from lazaretto.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
PAGE = pages.ROOT / "docs/how-to/scale-out.md"


@pytest.fixture
def two_days(world: Any) -> Any:
    """A world in which two deliveries were admitted."""
    policy = Policy.load(world.policy)
    for day, start in (("monday", 0), ("tuesday", 120)):
        told = world.deliver(day, world.part(start, start + 120))
        manifest = Path(told["manifest"]).read_bytes()
        stages.ingest(world.workspace, told["uri"], told["source"], policy, manifest=manifest)
    return world


def test_the_dag_on_the_page_puts_small_files_together(
    two_days: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.operators import MaintainDatasetOperator

    (shown,) = [block.text for block in pages.blocks(PAGE) if block.title == "maintain.py"]
    text = shown.replace('dataset="reviews"', 'dataset="handwriting"')
    before = open_dataset(two_days.workspace, "handwriting")
    run = run_dag("reviews_maintained", text=text)
    assert run.tasks == {"maintain": "success"}
    told = run.xcoms["maintain"]
    assert (told["before"], told["after"], told["due"]) == (2, 1, 0)
    after = open_dataset(two_days.workspace, "handwriting")
    assert after.version == before.version + 1 == told["version"]
    assert sum(file.rows for file in after.files) == sum(file.rows for file in before.files)
    assert len(two_days.ledger(DatasetCompacted)) == 1
    assert two_days.ledger(VersionAnnounced) == []

    again = MaintainDatasetOperator(task_id="m", dataset="handwriting")
    context: Any = {"ti": MagicMock(), "run_id": "r"}
    assert again.execute(context)["before"] == 0
