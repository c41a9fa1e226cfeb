"""Announcements: once per version of a dataset, whoever made it and whoever asks again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lazaretto.dataset.announce import record_announced, unannounced, was_announced
from lazaretto.dataset.recall import recall
from lazaretto.ledger.events import BatchAdmitted, VersionAnnounced
from lazaretto.quarantine import review
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow


async def _told(count: int) -> list[dict[str, Any]]:
    """The first events of a trigger that has just started, and then a second look."""
    from lazaretto.operators.triggers import DatasetVersionTrigger

    events = DatasetVersionTrigger("handwriting", "lazaretto_default", 0.01).run()
    found = [(await asyncio.wait_for(anext(events), 30)).payload for _ in range(count)]
    one_more = asyncio.ensure_future(anext(events))
    await asyncio.wait([one_more], timeout=0.3)
    assert not one_more.done()
    one_more.cancel()
    return found


@pytest.fixture
def ingested(world: Any, run_dag: Callable[..., Any]) -> Any:
    """A delivery that went through Airflow, with records that were held."""
    from lazaretto.demo.digits import poison

    rng = np.random.default_rng(1)
    return run_dag("lazaretto_ingest", world.deliver("odd", poison(world.part(0, 120), 0.1, rng)))


def test_what_people_do_at_the_command_line_reaches_airflow_once(world: Any, ingested: Any) -> None:
    """Publishing and recalling by hand; what the task admitted, it announced by itself."""
    admission, case = ingested.xcoms["admit"], ingested.xcoms["gate"]["case"]
    assert [event["version"] for event in ingested.asset_events] == [admission["version"]]
    review.decide(world.workspace, case, Action.RELEASE, all=True, reason="fine")
    published = review.publish(world.workspace, case)
    taken = recall(world.workspace, "handwriting", batch=admission["batch"], reason="compromised")
    assert published is not None

    told = asyncio.run(_told(2))
    assert [(one["what"], one["version"], one["rows"]) for one in told] == [
        ("published", published.version, published.rows),
        ("recalled", taken.version, taken.records),
    ]
    assert asyncio.run(_told(0)) == []  # a triggerer that starts again
    versions = [event.version for event in world.ledger(VersionAnnounced)]
    assert versions == [admission["version"], published.version, taken.version]


def test_what_people_publish_on_the_page_is_left_to_the_page_and_not_for_ever(
    world: Any, ingested: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = world.workspace.acting(Actor(ActorType.HUMAN, "user:ann"))
    case = ingested.xcoms["gate"]["case"]
    review.decide(ann, case, Action.RELEASE, all=True, reason="fine")
    published = review.publish(ann, case)
    assert published is not None
    assert asyncio.run(_told(0)) == []
    monkeypatch.setattr("lazaretto.operators.triggers._ITS_OWN", 0.0)  # five minutes later
    (late,) = asyncio.run(_told(1))
    assert (late["what"], late["version"]) == ("published", published.version)


def test_a_task_that_is_cleared_after_a_recall_announces_nothing(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    conf = world.deliver("monday", world.part(0, 120))
    first = run_dag("lazaretto_ingest", conf)
    assert len(first.asset_events) == 1
    (admitted,) = world.ledger(BatchAdmitted)
    recall(world.workspace, "handwriting", batch=admitted.batch, reason="compromised")
    again = run_dag("lazaretto_ingest", conf)
    assert again.tasks["admit"] == "skipped"
    assert again.asset_events == []


def test_a_task_that_was_killed_before_airflow_told_anybody_tells_it_again(
    world: Any, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is on record, the announcement is not."""
    conf = world.deliver("monday", world.part(0, 120))
    with monkeypatch.context() as patch:
        patch.setattr("lazaretto.operators.announcing._record", lambda _context: None)
        run_dag("lazaretto_ingest", conf)
    (admitted,) = world.ledger(BatchAdmitted)
    assert world.ledger(VersionAnnounced) == []
    again = run_dag("lazaretto_ingest", conf)
    assert [event["version"] for event in again.asset_events] == [admitted.version]
    made = world.ledger(VersionAnnounced)[0].made
    assert was_announced(world.workspace, "handwriting", made)


def test_a_watched_asset_is_left_to_the_triggerer(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.operators import admitted
    from lazaretto.operators.triggers import DatasetVersionTrigger

    asset = admitted("handwriting", watch=True)
    assert asset.uri == admitted("handwriting").uri
    (watcher,) = asset.watchers
    assert isinstance(watcher.trigger, DatasetVersionTrigger)
    ingested = run_dag("lazaretto_ingest", world.deliver("monday", world.part(0, 120)))
    text = WATCHED.format(batch=ingested.xcoms["gate"]["batch"])
    assert run_dag("watched", text=text).asset_events == []


WATCHED = """
from airflow.sdk import DAG
from lazaretto.operators import AdmitBatchOperator, admitted
with DAG("watched", schedule=None):
    AdmitBatchOperator(
        task_id="admit",
        batch={batch!r},
        dataset="handwriting",
        outlets=[admitted("handwriting", watch=True)],
    )
"""


def test_the_first_look_at_an_old_dataset_tells_of_its_newest_version_alone(
    world: Any, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lazaretto.operators.announcing._record", lambda _context: None)
        for day in range(2):
            part = world.part(day * 120, day * 120 + 120)
            run_dag("lazaretto_ingest", world.deliver(f"day-{day}", part))
    news = unannounced(world.workspace, "handwriting")
    assert [one.version for one in news] == [max(e.version for e in world.ledger(BatchAdmitted))]
    told = ("handwriting", news[0].version, news[0].made)
    assert record_announced(world.workspace, *told) is not None
    assert record_announced(world.workspace, *told) is None
    assert unannounced(world.workspace, "handwriting") == []
