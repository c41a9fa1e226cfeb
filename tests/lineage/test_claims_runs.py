"""Events of a run, in whatever order, number and state they come: what its models learned from."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from foreign_events import LAKE, dataset, event, model
from foreign_site import Said, Site, may_be

from lazaretto import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET = model("net", 1)


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """One vendor's batch is in version 1 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver()
    return site


def _run() -> str:
    return str(uuid.uuid4())


def test_start_and_complete_in_two_files_are_one_run(site: Site) -> None:
    run = _run()
    assert site.feed(event([site.table(1)], [], state="START", run=run)).edges == 1
    [unknown] = lineage.trace_source(site.workspace, "vendor").unknown
    assert (unknown.id, unknown.why) == (
        f"run train ({run})",
        ["its end is not known, nor what it wrote"],
    )
    site.feed(event([], [NET], run=run, at=5))
    assert site.source() == Said(["net@1"])


def test_complete_may_come_before_start(site: Site) -> None:
    run = _run()
    complete = event([], [NET], run=run, at=5)
    site.feed(complete, event([site.table(1)], [], state="START", run=run))
    assert site.source() == Said(["net@1"])


@pytest.mark.parametrize(
    "states",
    [
        ["START", "COMPLETE", "COMPLETE"],
        ["START", "FAIL", "START", "COMPLETE"],
        ["START", "RUNNING", "RUNNING", "COMPLETE"],
        ["START", "ABORT", "COMPLETE"],
        ["OTHER", "COMPLETE"],
    ],
    ids=" ".join,
)
def test_what_all_events_of_a_run_name_counts(site: Site, states: list[str]) -> None:
    """The first names what was read, the last what was made."""
    run = _run()
    events = [event([], [], state=state, run=run, at=n) for n, state in enumerate(states)]
    events[0]["inputs"], events[-1]["outputs"] = [site.table(1)], [NET]
    site.feed(*events)
    assert site.source() == Said(["net@1"])


def test_inputs_may_be_told_after_the_end(site: Site) -> None:
    run = _run()
    site.feed(event([], [NET], run=run))
    assert site.source() == may_be("net@1")
    site.feed(event([site.table(1)], [], state="OTHER", run=run, at=9))
    assert site.source() == Said(["net@1"])


def test_a_corrected_event_adds_to_the_poor_one(site: Site) -> None:
    run = _run()
    poor = event([], [NET], run=run)
    site.feed(poor)
    assert site.source() == may_be("net@1")
    site.feed(poor | {"inputs": [site.table(1)]})
    assert site.source() == Said(["net@1"])


@pytest.mark.parametrize("state", ["START", "FAIL", "ABORT", "RUNNING"])
def test_what_a_run_without_a_good_end_wrote_is_possible(site: Site, state: str) -> None:
    """It may have written before it stopped, or it goes on."""
    run, table = _run(), dataset("staging/features")
    site.feed(
        event([site.table(1)], [table], state="START", run=run),
        event([], [table], state=state, run=run, at=5),
        event([table], [NET], at=60, namespace="batch"),
    )
    assert site.source() == may_be("net@1")
    [unknown] = lineage.trace_source(site.workspace, "vendor").unknown
    assert any("the run failed, or its end is not known" in why for why in unknown.why)


def test_a_stream_feeds_its_model_and_never_completes(site: Site) -> None:
    run = _run()
    states = ("START", "RUNNING", "RUNNING")
    events = [
        event([site.table(1)], [model("ranker", 1)], state=state, run=run, at=n, streaming=True)
        for n, state in enumerate(states)
    ]
    site.feed(*events)
    assert site.source() == Said(["ranker@1"])


def test_a_run_that_only_runs_and_is_no_stream_may_have_made_its_model(site: Site) -> None:
    run = _run()
    states = ("START", "RUNNING", "RUNNING")
    events = [
        event([site.table(1)], [model("ranker", 1)], state=state, run=run, at=n)
        for n, state in enumerate(states)
    ]
    site.feed(*events)
    assert site.source() == may_be("ranker@1")


def test_a_stream_passes_on_what_its_input_held_at_the_event_before(site: Site) -> None:
    run, events, features = _run(), dataset("events"), dataset("features")
    moments = {"START": 0, "RUNNING": 100, "COMPLETE": 200}
    site.feed(
        event([site.table(1)], [events], at=-100, namespace="batch"),
        *(
            event([events], [features], state=state, run=run, at=at, streaming=True)
            for state, at in moments.items()
        ),
        event([features], [NET], at=150, namespace="batch"),
        event([features], [model("early", 1)], at=50, namespace="batch"),
    )
    # By the first moment nothing is known to have gone on.
    assert site.source() == may_be("early@1", affected=("net@1",))


def test_what_a_stream_that_overwrites_leaves_at_its_end_is_sure(site: Site) -> None:
    """What it had passed on by each moment is in that, and makes no doubt about it."""
    run, features = _run(), dataset("features", change="OVERWRITE")
    moments = (("START", 0), ("RUNNING", 100), ("RUNNING", 200), ("COMPLETE", 205))
    site.feed(
        *(
            event([site.table(1)], [features], state=state, run=run, at=at, streaming=True)
            for state, at in moments
        ),
        event([dataset("features")], [model("early", 1)], at=150, namespace="batch"),
        event([dataset("features")], [NET], at=300, namespace="batch"),
    )
    assert site.source() == may_be("early@1", affected=("net@1",))


def test_the_order_of_clocks_does_not_matter_where_versions_are_named(site: Site) -> None:
    """The trainer's clock is an hour, and a month, behind; nothing is lost by it."""
    site.feed(
        event([site.table(1)], [NET], at=-86_400 - 3_600),
        event([site.table(1)], [model("net", 2)], at=-31 * 86_400),
    )
    assert site.source() == Said(["net@1", "net@2"])


def test_files_may_come_in_any_order(site: Site) -> None:
    features = dataset("features", 7)
    made = event([site.table(1)], [features])
    first = event([features], [model("ranker", 1)], at=100)
    second = event([features], [model("ranker", 2)], at=4000)
    site.feed(second)
    assert site.source() == may_be("ranker@2")
    site.feed(first)
    site.feed(made)
    assert site.source() == Said(["ranker@1", "ranker@2"])


def test_a_lost_start_may_have_named_more_inputs(site: Site) -> None:
    """Who tells the start of one run is expected to tell the start of all."""
    run = _run()
    site.receive("other")
    site.feed(event([site.table(1)], [NET], run=run, namespace="flink"))
    assert (site.source(), site.source("other")) == (Said(["net@1"]), Said([]))
    site.feed(event([dataset("a", 1, LAKE)], [], state="START", namespace="flink"))
    assert "net@1" in site.source("other").unknown
    site.feed(event([], [], state="START", run=run, namespace="flink", at=-5))
    assert "net@1" not in site.source("other").unknown
