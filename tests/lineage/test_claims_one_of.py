"""Who read one of several states, not known which, read what is in each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from foreign_events import dataset, event, model, moment
from foreign_site import Said, Site, may_be, said
from mixed.facts import moment as told_at
from mixed.ours import Ledger

from lazaretto import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike
NET = model("net", 1)
RUN = "5eadb291-ba43-500d-a627-52f27e4639a6"
TABLE = dataset("t")
ANEW = dataset("t", change="OVERWRITE")


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """Two vendors' batches."""
    site = Site(workspace, tmp_path)
    site.deliver("vendor")
    site.deliver("other")
    return site


def _both(site: Site) -> tuple[Said, Said]:
    return site.source("vendor"), site.source("other")


def test_what_an_overwrite_kept_was_read_before_it_or_after(site: Site) -> None:
    """Two clocks, three seconds apart."""
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([TABLE, site.batch("other")], [ANEW], at=100),
        event([TABLE], [NET], at=103, namespace="flink"),
    )
    assert _both(site) == (Said(["net@1"]), may_be("net@1"))
    trace = site.model("net@1")
    assert (trace.batch_ids, trace.complete) == ([site.batches["vendor"]], False)
    for path in lineage.trace_source(site.workspace, "vendor").models[0].paths:
        assert path[0].startswith("vendor/")
        assert path[-1] == "net@1"


def test_what_an_overwrite_let_go_of_may_have_been_read(site: Site) -> None:
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([site.batch("other")], [ANEW], at=100),
        event([TABLE], [NET], at=103, namespace="flink"),
    )
    assert _both(site) == (may_be("net@1"), may_be("net@1"))
    assert site.model("net@1").batch_ids == []


@pytest.mark.parametrize("change", ["DROP", "TRUNCATE"])
def test_nothing_is_in_each_state_where_the_table_may_have_been_empty(
    site: Site, change: str
) -> None:
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([], [dataset("t", change=change)], at=100),
        event([TABLE], [NET], at=103, namespace="flink"),
    )
    assert site.source("vendor") == may_be("net@1")


def test_a_run_that_failed_may_not_have_kept_anything(site: Site) -> None:
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([TABLE], [ANEW], at=100, state="FAIL"),
        event([TABLE], [NET], at=103, namespace="flink"),
    )
    assert site.source("vendor") == may_be("net@1")


def test_a_run_that_goes_on_may_read_what_comes_later(site: Site) -> None:
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([TABLE], [ANEW], at=100),
        event([TABLE], [NET], at=103, namespace="flink", state="RUNNING"),
    )
    assert site.source("vendor") == may_be("net@1")


def test_one_of_two_tables_is_enough_and_each_is_seen_alone(site: Site) -> None:
    """What only one state of each table holds is in neither for sure."""
    other, other_anew = dataset("u"), dataset("u", change="OVERWRITE")
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([site.batch("other")], [ANEW], at=100),
        event([site.batch("other")], [other], at=0),
        event([site.batch("vendor")], [other_anew], at=100),
        event([TABLE, other], [NET], at=103, namespace="flink"),
        event([other], [other_anew], at=200),
        event([TABLE, other], [model("net", 2)], at=203, namespace="flink"),
    )
    one, two = may_be("net@1", affected=("net@2",)), may_be("net@1", affected=("net@2",))
    assert _both(site) == (one, two)


@pytest.fixture
def ledger(workspace: Workspace) -> Ledger:
    """Two vendors' batches in the admitted table, 98 seconds apart."""
    ledger = Ledger(workspace, dataset="digits")
    for at, source in ((1.0, "vendor"), (100.0, "other")):
        ledger.now = at
        ledger.admit(ledger.receive(source, received=told_at(at)), 90)
    return ledger


def _read_at(ledger: Ledger, at: float, folder: Path) -> tuple[Said, Said]:
    """What is said of the sources when a model read the table at a moment."""
    ledger.commit()
    site = Site(ledger.workspace, folder)
    site.history.dataset = "digits"
    site.feed(event([site.table()], [NET], at=(told_at(at) - moment(0)).total_seconds()))
    return _of_both(ledger)


def _of_both(ledger: Ledger) -> tuple[Said, Said]:
    return tuple(  # type: ignore[return-value]  # of two sources
        said(lineage.trace_source(ledger.workspace, source)) for source in ("vendor", "other")
    )


def test_what_all_versions_around_a_moment_hold_was_read(ledger: Ledger, tmp_path: Path) -> None:
    assert _read_at(ledger, 103.0, tmp_path) == (Said(["net@1"]), may_be("net@1"))
    trace = lineage.trace_model(ledger.workspace, "net", "1")
    assert [batch.source for batch in trace.batches] == ["vendor"]


def test_what_was_recalled_around_a_moment_may_have_been_read(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.now = 101.0
    ledger.recall({f"vendor/{1:016x}": 90})
    assert _read_at(ledger, 103.0, tmp_path) == (may_be("net@1"), may_be("net@1"))


def test_before_the_first_version_there_was_nothing(ledger: Ledger, tmp_path: Path) -> None:
    assert _read_at(ledger, 4.0, tmp_path) == (may_be("net@1"), Said([]))


def _moves(table: object, features: object, state: str, at: float) -> dict[str, Any]:
    """An event of a stream, of a producer who tells starts."""
    inputs, outputs = [table], [features]
    return event(inputs, outputs, state=state, run=RUN, at=at, streaming=True, namespace="streams")


def _streamed(ledger: Ledger, begun: float, folder: Path) -> tuple[Said, Said]:
    """What is said when a stream began to read the table at a moment, and a model its output."""
    ledger.commit()
    site = Site(ledger.workspace, folder)
    site.history.dataset = "digits"
    start, features = (told_at(begun) - moment(0)).total_seconds(), dataset("features")
    moments = {"START": 0, "RUNNING": 700, "COMPLETE": 1400}
    site.feed(
        *(_moves(site.table(), features, state, start + at) for state, at in moments.items()),
        event([features], [NET], at=start + 5000),
    )
    return _of_both(ledger)


def test_what_was_recalled_when_a_stream_began_may_have_gone_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Three seconds, by another clock: what the stream found is not known."""
    ledger.now = 200.0
    ledger.recall({f"vendor/{1:016x}": 90})
    assert _streamed(ledger, 203.0, tmp_path) == (may_be("net@1"), Said(["net@1"]))


def test_what_was_recalled_after_a_stream_had_begun_has_gone_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.now = 400.0
    ledger.recall({f"vendor/{1:016x}": 90})
    assert _streamed(ledger, 203.0, tmp_path) == (Said(["net@1"]), Said(["net@1"]))


@pytest.mark.parametrize(("at", "known"), [(103.0, False), (150.0, True)])
def test_what_was_replaced_when_a_stream_began_may_have_gone_on(
    site: Site, at: float, known: bool
) -> None:
    features, moments = dataset("features"), {"START": 100, "RUNNING": 300, "COMPLETE": 500}
    site.feed(
        event([site.batch("vendor")], [TABLE], at=0),
        event([site.batch("other")], [ANEW], at=at, namespace="flink"),
        *(_moves(TABLE, features, state, when) for state, when in moments.items()),
        event([features], [NET], at=900),
    )
    vendor = Said(["net@1"]) if known else may_be("net@1")
    assert _both(site) == (vendor, Said(["net@1"]))
