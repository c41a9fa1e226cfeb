"""What how-to/review-in-a-dag.md shows is what is shipped, and Airflow loads it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import airflow_environment
import pages
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.airflow
PAGE = pages.ROOT / "docs/how-to/review-in-a-dag.md"
SHIPPED = airflow_environment.DAGS / "lazaretto_ingest_reviewed.py"


def block(title: str) -> str:
    (found,) = [one.text for one in pages.blocks(PAGE) if one.title == title]
    return found


def loaded(text: str, folder: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    file = folder / "page.py"
    file.write_text(text)
    bag = DagBag(dag_folder=str(file))
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


def test_the_review_that_the_page_shows_is_the_shipped_one() -> None:
    assert textwrap.indent(block("reviewed.py"), "    ") in SHIPPED.read_text()


def test_required_actions_take_its_place(dags_folder: Path) -> None:
    from lazaretto.operators import AskForReviewOperator

    text = SHIPPED.read_text().replace("AwaitReviewOperator,", "AskForReviewOperator,")
    shown = textwrap.indent(block("reviewed.py"), "    ")
    dag = loaded(text.replace(shown, textwrap.indent(block("asked.py"), "    ")), dags_folder)
    asked = dag.task_dict["review"]
    assert isinstance(asked, AskForReviewOperator)
    assert asked.assigned_users == [{"id": "ann", "name": "Ann"}]
    assert dag.task_dict["announce"].upstream_task_ids == {"review"}


def test_a_gate_tells_people(dags_folder: Path) -> None:
    from lazaretto.operators import QuarantineNotifier

    told = textwrap.indent(block("told.py"), "    ")
    dag = loaded(
        f'from airflow.sdk import DAG\nwith DAG("told", schedule=None):\n{told}', dags_folder
    )
    (hook,) = dag.task_dict["gate"].on_hold
    assert isinstance(hook, QuarantineNotifier)


def test_training_is_scheduled_on_what_is_published(dags_folder: Path) -> None:
    dag = loaded(block("training.py"), dags_folder)
    (asset,) = dag.timetable.asset_condition.objects
    assert asset.uri == "lazaretto://reviews"
    assert asset.watchers
