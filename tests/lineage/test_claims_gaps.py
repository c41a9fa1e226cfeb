"""What nobody told the origin of: named, where it may hold what is in question, and only there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from foreign_events import LAKE, REGISTRY, dataset, event, model, moment
from foreign_site import Said, Site, may_be
from ledger_history import START

from lazaretto import lineage
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET, KNOWN = model("net", 2), model("known", 1)
PUBLIC = ("hf://hub", "bert-base")


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """One vendor's batch is in version 1 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver()
    return site


def _why(site: Site) -> list[str]:
    [unknown] = lineage.trace_source(site.workspace, "vendor").unknown
    return unknown.why


def test_a_table_that_no_run_wrote_may_hold_anything(site: Site) -> None:
    site.feed(event([dataset("never-seen")], [NET], job="fit"), event([site.table(1)], [KNOWN]))
    assert site.source() == may_be("net@2", affected=("known@1",))
    [why] = _why(site)
    assert why.startswith("run fit (")
    assert why.endswith("it read a table that no run is known to have written")


def test_a_model_without_inputs_may_have_learned_from_anything(site: Site) -> None:
    site.feed(event([], [NET]), event([site.table(1)], [KNOWN]))
    assert site.source() == may_be("net@2", affected=("known@1",))
    own = site.model("net@2")
    assert (own.batches, own.complete) == ([], False)
    assert "the run that made it named no input" in own.completeness.origins[0]


def test_a_digest_without_a_making_is_no_origin(site: Site) -> None:
    artifact = {"kind": "SNAPSHOT", "artifactId": "7", "digest": {"sha256": "ab" * 32}}
    features = dataset("features", 7, lazaretto_artifact=artifact)
    site.feed(event([features], [NET]), event([site.table(1)], [KNOWN]))
    assert site.source() == may_be("net@2", affected=("known@1",))
    assert _why(site) == ["features@7: no run is known that made it"]
    site.feed(event([site.batch("vendor")], [features]))
    assert "net@2" in site.source().affected


def test_a_run_whose_end_was_lost_is_named(site: Site) -> None:
    lost = event([site.table(1)], [], state="START", job="train-ranker", namespace="flink")
    site.feed(lost, event([site.table(1)], [KNOWN]))
    name = f"run train-ranker ({lost['run']['runId']})"
    assert site.source() == may_be(name, affected=("known@1",))
    site.receive("other")
    assert site.source("other") == Said([])


def test_a_public_base_model_is_a_gap_until_a_person_vouches_for_it(site: Site) -> None:
    site.feed(event([model(PUBLIC[1], 1, PUBLIC[0]), site.table(1)], [NET]))
    assert site.source() == may_be("bert-base@1", affected=("net@2",))
    own = site.model("net@2")
    assert own.batch_ids == [site.batches["vendor"]]
    assert own.completeness.origins == ["bert-base@1: no run is known that made it"]
    assert [gap.what for gap in lineage.unexplained(site.workspace)] == ["bert-base@1"]
    lineage.declare_external(site.workspace, PUBLIC, reason="a public model")
    assert site.source() == Said(["net@2"])
    assert site.model("net@2").complete
    assert lineage.unexplained(site.workspace) == []
    lineage.declare_external(site.workspace, PUBLIC, reason="it was not", withdraw=True)
    assert site.source() == may_be("bert-base@1", affected=("net@2",))


def test_one_version_may_be_vouched_for_alone(site: Site) -> None:
    site.feed(*(event([model(PUBLIC[1], n, PUBLIC[0])], [model("net", n)]) for n in (1, 2)))
    lineage.declare_external(site.workspace, PUBLIC, version="1", reason="a public model")
    assert site.source() == may_be("bert-base@2", "net@2")
    with pytest.raises(UsageError):
        lineage.declare_external(
            site.workspace, ("file", site.history.dataset_uri), reason="not ours"
        )


def test_half_of_what_a_model_was_made_of_is_not_known(site: Site) -> None:
    site.receive("other")
    warehouse = dataset("warehouse.features", namespace="snowflake://acme")
    site.feed(event([site.table(1), warehouse], [NET]))
    assert site.source("vendor") == Said(["net@2"])
    assert site.source("other") == may_be("net@2")
    own = site.model("net@2")
    assert (own.batch_ids, own.complete) == ([site.batches["vendor"]], False)


def test_what_was_made_before_the_data_came_is_not_in_question(site: Site) -> None:
    """A model of another department, a month before the vendor delivered anything."""
    invoices = dataset("billing.invoices", 17, "snowflake://acme")
    received = START + timedelta(days=2)
    before = (received - moment()).total_seconds() - 30 * 86_400
    site.feed(event([invoices], [model("forecast", 4)], at=before), event([site.table(1)], [KNOWN]))
    assert site.source() == Said(["known@1"])
    site.feed(event([invoices], [model("forecast", 5)], at=before + 60 * 86_400))
    # The version was read again later: it may have been written anew, so both may be affected.
    assert site.source() == may_be("forecast@4", "forecast@5", affected=("known@1",))


def test_the_tolerance_of_clocks_counts_for_gaps(site: Site) -> None:
    received = (START + timedelta(days=2) - moment()).total_seconds()
    table = dataset("t", 1, "snowflake://acme")
    site.feed(event([table], [model("near", 1)], at=received - 5))
    assert site.source() == may_be("near@1")
    other = dataset("u", 1, "snowflake://acme")
    site.feed(event([other], [model("far", 1)], at=received - 11))
    assert site.source() == may_be("near@1")


def test_a_claimed_batch_is_its_own_origin(site: Site) -> None:
    """A source is told: it is no gap, and its signature is a claim."""
    source = {"sourceId": "partner", "signature": {"status": "VERIFIED"}}
    claim = dataset("landing", "partner/1", LAKE, lazaretto_source=source)
    site.feed(event([claim], [NET]))
    assert site.source() == Said([])
    trace = lineage.trace_source(site.workspace, "partner")
    assert trace.model_ids == ["net@2"]
    assert [batch.signature for batch in trace.batches] == ["CLAIMED"]
    assert trace.completeness.unsigned == ["partner/1"]


def test_nobody_can_claim_another_batch_of_a_vendor_as_verified(site: Site) -> None:
    source = {"sourceId": "vendor", "signature": {"status": "VERIFIED"}}
    claim = dataset("landing", "vendor/20260501/feedfeedfeedfeed", lazaretto_source=source)
    mine = site.batch("vendor")
    mine["facets"]["lazaretto_source"] = source | {"sourceId": "somebody"}
    site.feed(event([claim], [NET]), event([mine], [model("mine", 1)]))
    trace = lineage.trace_source(site.workspace, "vendor")
    assert {batch.id: batch.signature for batch in trace.batches} == {
        site.batches["vendor"]: "VERIFIED",
        "vendor/20260501/feedfeedfeedfeed": "CLAIMED",
    }
    assert sorted(trace.model_ids) == ["mine@1", "net@2"]
    assert REGISTRY in {found.registry for found in trace.models}
