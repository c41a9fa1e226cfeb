"""What events say that a version of the admitted dataset holds is what it holds."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from openlineage.client.serde import Serde
from yard import Yard, blobs, make_yard

from lazaretto import lineage, stages
from lazaretto.dataset.recall import recall
from lazaretto.ledger.chain import entries
from lazaretto.lineage.openlineage import datasets
from lazaretto.lineage.openlineage.contents import files_of
from lazaretto.lineage.openlineage.facts import nothing_known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.fixture
def batches(yard: Yard) -> list[str]:
    """Three admitted batches, the first of which was taken out again, with a snapshot of each."""
    days = ("monday", "tuesday", "wednesday")
    found = []
    for number, day in enumerate(days):
        found.append(yard.admit(day, blobs(40, seed=number, prefix=day)).batch)
        stages.snapshot(yard.workspace, "blobs")
    recall(yard.workspace, "blobs", batch=found[0], reason="the vendor was compromised")
    stages.snapshot(yard.workspace, "blobs")
    recall(yard.workspace, "blobs", ids=[f"{found[1]}#tuesday1"], reason="a wrong label")
    return found


def _written(yard: Yard, kind: str, *, ask: bool = True) -> Iterator[dict[str, Any]]:
    """The last event of each entry of a kind."""
    workspace = yard.workspace
    files = files_of(workspace) if ask else nothing_known
    with workspace.catalog.read() as connection:
        found: list[Entry] = list(entries(connection, kinds=[kind]))
    for entry in found:
        told = lineage.project(entry, workspace.namespace, workspace.store.root, files=files)
        event = json.loads(Serde.to_json(lineage.run_events(told)[1]))
        assert lineage.check_event(event, strict=True) == []
        yield event


def _read(event: dict[str, Any]) -> set[str]:
    """Batches, and earlier versions, that a run names as its inputs."""
    found: set[str] = set()
    for dataset in event["inputs"]:
        subset = dataset["inputFacets"].get("subset")
        if subset is None:
            found.add(dataset["facets"]["version"]["datasetVersion"])
        else:
            found |= {one["identifier"] for one in subset["inputCondition"]["partitions"]}
    return found


def _facets(event: dict[str, Any]) -> dict[str, Any]:
    [output] = event["outputs"]
    facets: dict[str, Any] = output["facets"]
    return facets


def _replaced(event: dict[str, Any]) -> bool:
    change = _facets(event).get("lifecycleStateChange", {})
    return bool(change.get("lifecycleStateChange") == "OVERWRITE")


def test_a_version_that_records_left_holds_what_is_left(yard: Yard, batches: list[str]) -> None:
    whole, one = _written(yard, "records_recalled")
    for event in (whole, one):
        assert _read(event) == set(batches[1:])
        assert _replaced(event)
        members = _facets(event)["lazaretto_artifact"]["members"]
        assert members == {"count": 2, "complete": True, "ids": sorted(batches[1:])}
    later = list(_written(yard, "snapshot_taken"))[-1]
    digests = [_facets(event)["lazaretto_artifact"]["digest"] for event in (whole, later)]
    assert digests[0] == digests[1]  # the snapshot of the version that the recall made
    counted = [event["outputs"][0]["outputFacets"]["outputStatistics"] for event in (whole, one)]
    assert counted[0]["rowCount"] - counted[1]["rowCount"] == 1


def test_without_the_catalog_a_version_seems_to_hold_what_was_before(
    yard: Yard, batches: list[str]
) -> None:
    first, second = _written(yard, "records_recalled", ask=False)
    assert (_read(first), _read(second)) == ({"3"}, {"4"})
    assert _replaced(first)
    assert "lazaretto_artifact" not in _facets(first)


def test_a_snapshot_names_all_that_it_holds_and_replaces_what_was(
    yard: Yard, batches: list[str]
) -> None:
    first, second, third, after = _written(yard, "snapshot_taken")
    assert _read(first) == {batches[0]}
    assert _read(after) == set(batches[1:])
    for event, complete in ((first, True), (second, False), (third, False), (after, True)):
        assert _replaced(event)
        assert _facets(event)["lazaretto_artifact"]["members"]["complete"] is complete
    # What came since an earlier version, and that one, are all that it holds.
    assert (_read(second), _read(third)) == ({"1", batches[1]}, {"2", batches[2]})


def test_what_is_too_long_to_name_is_told_as_incomplete(
    yard: Yard, batches: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "MAX_PARTITIONS", 1)
    recalled = next(_written(yard, "records_recalled"))
    assert _read(recalled) == {"3"}
    assert _facets(recalled)["lazaretto_artifact"]["members"]["complete"] is False


def test_a_run_lasts_from_receipt_to_record_or_as_long_as_is_said(
    yard: Yard, batches: list[str]
) -> None:
    workspace = yard.workspace
    with workspace.catalog.read() as connection:
        [received, *_] = entries(connection, kinds=["batch_received"])
        [admitted, *_] = entries(connection, kinds=["batch_admitted"])
    root, namespace = workspace.store.root, workspace.namespace
    start, end = lineage.run_events(lineage.project(received, namespace, root))
    assert start.eventTime == received.event.received_at.isoformat()  # type: ignore[attr-defined]
    assert start.eventTime < end.eventTime == received.at.isoformat()
    told = lineage.project(admitted, namespace, root)
    minute = timedelta(minutes=1)
    for began, expected in ((None, 0), (admitted.at - minute, 1), (admitted.at + minute, 0)):
        start, end = lineage.run_events(told, began=began)
        assert start.eventTime == (admitted.at - expected * minute).isoformat()
        assert end.eventTime == admitted.at.isoformat()
