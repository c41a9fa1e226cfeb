"""What a table holds by the rules, and which models learned from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from foreign_events import dataset, event, model, moment, partitions
from foreign_site import Said, Site, may_be

from lazaretto import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET = model("net", 1)


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """Two vendors' batches, in versions 1 and 2 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver("vendor")
    site.deliver("other")
    return site


def test_versioned_appends_hold_what_was_before(site: Site) -> None:
    one, two = dataset("features", 1), dataset("features", 2)
    site.feed(
        event([site.batch("vendor")], [one]),
        event([site.batch("other")], [two]),
        event([two], [NET]),
    )
    assert site.source("vendor") == site.source("other") == Said(["net@1"])
    [found] = lineage.trace_source(site.workspace, "vendor").models
    assert found.paths == [[site.batches["vendor"], "features@1", "features@2", "net@1"]]
    assert found.bases == [["known", "inferred: appended to what was there", "known"]]
    assert set(site.model("net@1").batch_ids) == set(site.batches.values())


@pytest.mark.parametrize("change", ["OVERWRITE", "TRUNCATE"])
def test_an_overwrite_lets_go_of_what_was_before(site: Site, change: str) -> None:
    two = dataset("features", 2, change=change)
    site.feed(
        event([site.batch("vendor")], [dataset("features", 1)]),
        event([site.batch("other")], [two]),
        event([two], [NET]),
    )
    assert (site.source("vendor"), site.source("other")) == (Said([]), Said(["net@1"]))


def test_a_missing_version_may_have_held_anything(site: Site) -> None:
    site.receive("third")
    four = dataset("features", 4)
    site.feed(
        event([site.batch("vendor")], [dataset("features", 1)]),
        event([site.batch("other")], [four]),
        event([four], [NET]),
    )
    assert site.source("other") == Said(["net@1"])
    # Version 2 or 3 may have let go of the vendor's, or have brought the third's.
    assert site.source("vendor") == may_be("net@1")
    assert site.source("third") == may_be("net@1")


def test_tables_without_versions_are_read_as_they_were(site: Site) -> None:
    """Appends add to what was there, an overwrite replaces it; later writes were not seen."""
    table = dataset("t")
    site.deliver("late")
    site.feed(
        event([site.batch("vendor")], [table], at=0),
        event([table], [model("before", 1)], at=50),
        event([site.batch("other")], [dataset("t", change="OVERWRITE")], at=100),
        event([table], [NET], at=200),
        event([site.batch("late")], [table], at=300),
        event([table], [model("after", 1)], at=400),
    )
    assert site.source("vendor") == Said(["before@1"])
    assert site.source("other") == Said(["after@1", "net@1"])
    assert site.source("late") == Said(["after@1"])
    assert lineage.trace_source(site.workspace, "late").completeness.inferred_edges > 0


def test_clocks_that_differ_little_leave_the_order_open(site: Site) -> None:
    """Five seconds before, by another clock, that may have been after."""
    table = dataset("t")
    site.feed(
        event([site.batch("vendor")], [table], at=0),
        event([site.batch("other")], [dataset("t", change="OVERWRITE")], at=100),
        event([table], [model("near", 1)], at=105, namespace="flink"),
        event([table], [model("far", 1)], at=111, namespace="flink"),
        event([table], [model("same", 1)], at=101),
    )
    assert site.source("vendor") == may_be("near@1")
    assert site.source("other") == may_be("near@1", affected=("far@1", "same@1"))


def test_a_renamed_table_holds_what_it_held(site: Site) -> None:
    renamed = dataset("features", change="RENAME", before="features_tmp")
    site.feed(
        event([site.table(1)], [dataset("features_tmp")], at=0),
        event([], [renamed], at=100, job="rename"),
        event([dataset("features")], [NET], at=200),
        event([dataset("features_tmp")], [model("old", 1)], at=300),
    )
    # Whatever is read under the old name since, nobody told of it.
    assert site.source("vendor") == may_be("old@1", affected=("net@1",))


def test_renames_in_a_row_and_in_a_circle_come_to_an_end(site: Site) -> None:
    site.feed(
        event([site.table(1)], [dataset("a")], at=0),
        event([], [dataset("b", change="RENAME", before="a")], at=100, job="rename"),
        event([], [dataset("c", change="RENAME", before="b")], at=200, job="rename"),
        event([dataset("c")], [NET], at=250),
        event([], [dataset("a", change="RENAME", before="c")], at=300, job="rename"),
        event([dataset("a")], [model("net", 2)], at=350),
    )
    assert site.source("vendor") == Said(["net@1", "net@2"])


def test_a_dropped_table_holds_nothing(site: Site) -> None:
    table = dataset("t")
    site.feed(
        event([site.batch("vendor")], [table], at=0),
        event([], [dataset("t", change="DROP")], at=100),
        event([site.batch("other")], [dataset("t", change="CREATE")], at=200),
        event([table], [NET], at=300),
    )
    assert (site.source("vendor"), site.source("other")) == (Said([]), Said(["net@1"]))


def test_create_may_have_replaced_what_was_there(site: Site) -> None:
    table = dataset("t")
    site.feed(
        event([site.batch("vendor")], [table], at=0),
        event([site.batch("other")], [dataset("t", change="CREATE")], at=200),
        event([table], [NET], at=300),
    )
    assert (site.source("vendor"), site.source("other")) == (may_be("net@1"), Said(["net@1"]))


def test_an_open_run_may_yet_have_replaced_what_was_there(site: Site) -> None:
    table = dataset("t")
    site.feed(
        event([site.batch("vendor")], [table], at=0),
        event([site.batch("other")], [table], at=50, state="START", namespace="flink"),
        event([table], [NET], at=300),
    )
    assert site.source("vendor") == site.source("other") == may_be("net@1")


def test_partitions_are_tables_of_their_own(site: Site) -> None:
    table = dataset("clicks")
    site.feed(
        event([site.batch("vendor")], [partitions(table, "output", "monday")], at=0),
        event([site.batch("other")], [partitions(table, "output", "tuesday")], at=0),
        event([partitions(table, "input", "monday")], [model("monday", 1)], at=100),
        event([partitions(table, "input", "tuesday")], [model("tuesday", 1)], at=100),
        event([table], [model("whole", 1)], at=100),
    )
    assert site.source("vendor") == Said(["monday@1", "whole@1"])
    assert site.source("other") == Said(["tuesday@1", "whole@1"])


def test_an_admitted_version_that_nobody_froze_is_known(site: Site) -> None:
    site.history.snapshot({site.batches["vendor"]: 90}, 1)
    site.feed(event([site.table(2)], [NET]), event([site.table(1)], [model("old", 1)]))
    assert site.source("vendor") == Said(["net@1", "old@1"])
    assert site.source("other") == Said(["net@1"])
    assert site.model("net@1").complete


def test_the_admitted_table_is_read_without_a_version_as_it_was(site: Site) -> None:
    site.deliver("third")
    site.feed(event([site.table()], [NET]))
    for vendor in ("vendor", "other", "third"):
        assert site.source(vendor) == Said(["net@1"])
    assert set(site.model("net@1").batch_ids) == set(site.batches.values())


def test_who_reads_the_admitted_table_at_once_may_have_read_any_of_its_versions(
    site: Site,
) -> None:
    """Two clocks, seconds apart: which of the versions it was is not known, and that is said."""
    site.history.snapshot({site.batches["vendor"]: 90}, 1)
    site.deliver("third")
    now = (datetime.now(UTC) - moment()).total_seconds()
    site.feed(event([site.table()], [NET], at=now))
    for vendor in ("vendor", "other", "third"):
        assert site.source(vendor) == may_be("net@1")
    assert not site.model("net@1").complete


def test_what_was_recalled_before_a_read_is_not_accused(site: Site) -> None:
    version = site.recall("vendor")
    site.feed(event([site.table(version)], [NET]), event([site.table()], [model("net", 2)]))
    assert (site.source("vendor"), site.source("other")) == (Said([]), Said(["net@1", "net@2"]))
    assert site.model("net@1").batch_ids == [site.batches["other"]]


def test_a_version_that_the_ledger_does_not_know_may_hold_anything(site: Site) -> None:
    site.feed(event([site.table(99)], [NET]), event([site.table("newest")], [model("net", 2)]))
    assert site.source("vendor") == may_be("net@1", "net@2")
    trace = site.model("net@1")
    assert not trace.complete
    assert any("does not know this version" in text for text in trace.completeness.origins)


def test_a_join_of_three_holds_what_all_hold(site: Site) -> None:
    third = dataset("third", 1)
    site.deliver("third")
    site.feed(
        event([site.batch("third")], [third]),
        event([site.table(1), third, dataset("reference", 3)], [NET]),
    )
    site.receive("fourth")
    assert site.source("third") == site.source("vendor") == Said(["net@1"])
    # Nobody told what the reference was made of.
    assert site.source("fourth") == may_be("net@1")
    assert lineage.declare_external(site.workspace, ("s3://lake", "reference"), reason="bought")
    assert site.source("fourth") == Said([])


def test_batches_of_others_lie_beside_each_other(site: Site) -> None:
    """Who reads a landing table as a whole reads each batch; who names one reads that."""
    source = {"sourceId": "partner", "receivedAt": "2026-05-20T00:00:00Z"}
    batches = [dataset("landing", f"b{n}", lazaretto_source=source) for n in (1, 2)]
    site.feed(
        *(event([], [batch], at=n) for n, batch in enumerate(batches)),
        event([batches[1]], [NET], at=100),
        event([dataset("landing")], [model("whole", 1)], at=100),
    )
    trace = lineage.trace_source(site.workspace, "partner")
    assert sorted(trace.batch_ids) == ["b1", "b2"]
    assert {model.id: len(model.paths) for model in trace.models} == {"net@1": 1, "whole@1": 2}
    assert {batch.signature for batch in trace.batches} == {"CLAIMED"}
    assert lineage.trace_batch(site.workspace, "b1").model_ids == ["whole@1"]


def test_whoever_may_have_read_any_of_very_many_versions_may_have_read_the_last(
    sqlite_workspace: Workspace, tmp_path: Path
) -> None:
    """A run that goes on, while more is admitted than versions are kept apart."""
    site = Site(sqlite_workspace, tmp_path)
    with site.history.at_once():
        for number in range(130):
            site.deliver(f"vendor-{number}")
    now = (datetime.now(UTC) - moment()).total_seconds()
    site.feed(event([site.table()], [NET], at=now, state="START"))
    for vendor in ("vendor-0", "vendor-129"):
        assert site.source(vendor) == may_be("net@1")
    trace = lineage.trace_dataset(site.workspace, "digits", 130)
    assert [each.id for each in trace.unknown] == ["net@1"]
    trace = site.model("net@1")
    assert not trace.complete
    assert any("any of many versions" in text for text in trace.completeness.origins)
