"""Runs that failed, renamed, went on unseen or only measured: what is sure all the same."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from foreign_events import dataset, event, model, partitions
from foreign_site import Said, Site, may_be

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET = model("net", 1)
LONG = str(uuid.UUID(int=7))
NAMES = pytest.mark.parametrize(("first", "second"), [(1, 2), ("c447376f", "c5b96438")])


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """Two vendors' batches, in versions 1 and 2 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver("vendor")
    site.deliver("other")
    return site


@NAMES
@pytest.mark.parametrize("change", [None, "CREATE"])
def test_a_version_that_a_failed_run_names_may_hold_what_was_before(
    site: Site, first: object, second: object, change: str | None
) -> None:
    site.feed(
        event([site.batch("vendor")], [dataset("t", first)], at=0),
        event([site.batch("other")], [dataset("t", second, change=change)], at=60, state="FAIL"),
        event([dataset("t", second)], [NET], at=200),
    )
    assert site.source("vendor") == site.source("other") == may_be("net@1")
    assert not site.model("net@1").complete


def test_what_a_failed_run_overwrote_is_not_in_its_version(site: Site) -> None:
    two = dataset("t", 2, change="OVERWRITE")
    site.feed(
        event([site.batch("vendor")], [dataset("t", 1)], at=0),
        event([site.batch("other")], [two], at=60, state="FAIL"),
        event([dataset("t", 2)], [NET], at=200),
    )
    assert (site.source("vendor"), site.source("other")) == (Said([]), may_be("net@1"))


@NAMES
def test_what_came_to_the_old_name_after_a_rename_is_not_under_the_new_one(
    site: Site, first: object, second: object
) -> None:
    """Of the same text, even: the table of now has a second version of its own."""
    renamed = dataset("new", first, change="RENAME", before="old")
    site.feed(
        event([site.batch("vendor")], [dataset("old", first)], at=0),
        event([], [renamed], at=100, job="rename"),
        event([site.batch("other")], [dataset("old", second)], at=200),
        event([dataset("new", second)], [NET], at=300),
    )
    assert site.source("other") == may_be("net@1")


def test_versions_from_before_a_rename_are_read_under_the_new_name(site: Site) -> None:
    site.feed(
        event([site.batch("vendor")], [dataset("old", 1)], at=0),
        event([site.batch("other")], [dataset("old", 2)], at=50),
        event([], [dataset("new", 3, change="RENAME", before="old")], at=100, job="rename"),
        event([dataset("new", 1)], [NET], at=300),
        event([dataset("new", 3)], [model("net", 3)], at=300),
    )
    assert site.source("vendor") == Said(["net@1", "net@3"])
    assert site.source("other") == Said(["net@3"])
    # Another event says that the version came to the old name after the rename, or again.
    site.feed(event([site.batch("vendor")], [dataset("old", 1)], at=200))
    assert site.source("vendor") == may_be("net@1", "net@3")


def test_a_version_of_a_name_that_was_used_before_may_be_another(site: Site) -> None:
    """The new name had a table, which was dropped: version 1 may be of that one."""
    site.feed(
        event([site.batch("vendor")], [dataset("old", 1)], at=0),
        event([], [dataset("new", change="DROP")], at=50, job="drop"),
        event([], [dataset("new", 2, change="RENAME", before="old")], at=100, job="rename"),
        event([dataset("new", 1)], [NET], at=300),
    )
    assert site.source("vendor") == may_be("net@1")


def test_a_rename_that_failed_may_have_taken_place(site: Site) -> None:
    renamed = dataset("new", change="RENAME", before="old")
    site.feed(
        event([site.batch("vendor")], [dataset("old", 1)], at=0),
        event([], [renamed], at=100, job="rename", state="FAIL"),
        event([dataset("new", 1)], [NET], at=300),
        event([dataset("old")], [model("old", 1)], at=300),
    )
    assert site.source("vendor") == may_be("net@1", "old@1")


@pytest.mark.parametrize("change", ["DROP", "RENAME"])
def test_who_reads_a_table_that_is_gone_read_what_nobody_told(site: Site, change: str) -> None:
    before = "t" if change == "RENAME" else None
    gone = dataset("elsewhere" if before else "t", change=change, before=before)
    lost = event([site.batch("other")], [], at=200, state="START", namespace="flink")
    site.feed(
        event([site.batch("vendor")], [dataset("t")], at=0),
        event([], [gone], at=100, job="drop"),
        lost,
        event([dataset("t")], [NET], at=300),
    )
    assert site.source("vendor") == may_be("net@1")
    trace = site.model("net@1")
    assert (trace.batch_ids, trace.complete) == ([], False)
    assert "it read a table that no run is known to have written" in trace.completeness.origins[0]


def test_who_reads_a_partition_of_a_table_that_is_gone_does_too(site: Site) -> None:
    monday = partitions(dataset("t"), "input", "monday")
    site.feed(
        event([], [dataset("t", change="DROP")], at=100, job="drop"),
        event([monday], [NET], at=300),
    )
    assert site.source("vendor") == may_be("net@1")


@pytest.mark.parametrize("when", ["dropped since", "written later"])
def test_a_partition_of_a_table_that_held_nothing_then_is_a_gap(site: Site, when: str) -> None:
    """Somebody wrote the table as a whole, but that was gone, or not yet there."""
    monday = partitions(dataset("t"), "input", "monday")
    at = {"dropped since": 0, "written later": 400}[when]
    site.feed(
        event([site.batch("other")], [dataset("t")], at=at),
        event([], [dataset("t", change="DROP")], at=100, job="drop"),
        event([monday], [NET], at=300),
        event([site.batch("other")], [partitions(dataset("u"), "output", "monday")], at=at),
        event([], [dataset("u", change="DROP")], at=100, job="drop"),
        event([dataset("u")], [model("whole", 1)], at=300),
    )
    assert site.source("vendor") == may_be("net@1", "whole@1")
    assert not site.model("net@1").complete
    assert not site.model("whole@1").complete


def test_a_partition_is_read_as_it_was_in_the_whole_table(site: Site) -> None:
    """Written anew after the drop, or before it by a clock that does not decide."""
    monday = partitions(dataset("t"), "input", "monday")
    site.feed(
        event([], [dataset("t", change="DROP")], at=0, job="drop"),
        event([site.batch("vendor")], [dataset("t")], at=100),
        event([monday], [NET], at=200),
        event([], [dataset("t", change="DROP")], at=300, job="drop"),
    )
    assert site.source("vendor") == Said(["net@1"])
    assert site.source("other") == Said([])
    assert site.model("net@1").complete


def test_an_open_run_may_have_written_what_a_first_version_was_added_to(site: Site) -> None:
    """Versions without an order leave no number out where one is missing."""
    features = dataset("t", "c447376f")
    site.feed(
        event([site.batch("vendor")], [], at=0, state="START", namespace="flink"),
        event([site.batch("other")], [features], at=100),
        event([features], [NET], at=200),
        event([site.batch("other")], [dataset("u", "1a", change="OVERWRITE")], at=100),
        event([dataset("u", "1a")], [model("anew", 1)], at=200),
    )
    assert not site.model("net@1").complete
    assert site.model("anew@1").complete


def test_who_measures_a_model_later_does_not_move_its_making(site: Site) -> None:
    site.feed(
        event([site.batch("vendor")], [NET], at=0),
        event([model("net", None)], [model("child", 1)], at=100),
        event([site.table(2)], [NET], at=200, lazaretto_training={"purpose": "EVAL"}),
    )
    assert site.source("vendor") == Said(["child@1", "net@1"])


def test_what_came_after_a_version_was_read_is_not_surely_in_it(site: Site) -> None:
    """The run that made the version went on for half an hour after it was there."""
    before, long = dataset("t", "c1"), dataset("t", "c447376f")
    site.feed(
        event([site.batch("vendor")], [before], at=0),
        event([], [long], run=LONG, state="START", at=600),
        event([site.table(1)], [long], run=LONG, at=2_700),
        event([long], [NET], at=1_200),
        event([site.batch("other")], [dataset("t", "c5b96438")], at=1_208),
    )
    assert site.source("other") == may_be("net@1")
    assert site.source("vendor") == Said(["net@1"])  # it was there before the long run began


@pytest.mark.parametrize("last", [1_200, 2_690])
def test_when_a_version_was_read_by_may_be_told_later(site: Site, last: int) -> None:
    long, reader = dataset("t", "c447376f"), str(uuid.UUID(int=9))
    site.feed(
        event([], [long], run=LONG, state="START", at=600),
        event([site.table(1)], [long], run=LONG, at=2_700),
        event([long], [NET], run=reader, state="START", at=1_190),
        event([site.batch("other")], [dataset("t", "c5b96438")], at=1_208),
    )
    site.feed(event([], [], run=reader, at=last))
    # The reader's last event says nothing of the table, and yet the order of its versions follows.
    sure = Said(["net@1"]) if last > 1_208 else may_be("net@1")
    assert site.source("other") == sure
