"""What if a batch had not been delivered: nothing is reached through it, and all else still is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from ledger_history import DAY, POLICY, START, History

from lazaretto import lineage
from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted
from lazaretto.lineage.openlineage import naming
from lazaretto.values import Release

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

RELEASE = Release("d-9", 10, "jane")


def _dataset(namespace: str, name: str, version: str, **facets: Any) -> dict[str, Any]:
    facets["version"] = {"datasetVersion": version}
    return {"namespace": namespace, "name": name, "facets": facets}


def _trained_elsewhere(workspace: Workspace, folder: Path, source: str, batch: str) -> None:
    """A run of another tool learns from one batch."""
    model = _dataset("mlflow://m", "ranker", "1", datasetType={"datasetType": "MODEL"})
    event = {
        "eventType": "COMPLETE",
        "eventTime": (START + 20 * DAY).isoformat(),
        "run": {"runId": "0196d3a0-0000-7000-8000-000000000001"},
        "job": {"namespace": "spark", "name": "train"},
        "inputs": [_dataset(*naming.batches(workspace.store.root, source), batch)],
        "outputs": [model],
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    (folder / "events.jsonl").write_text(json.dumps(event))
    assert lineage.ingest(workspace, folder / "events.jsonl").new == 1


def test_without_a_batch_only_what_the_others_reached_is_left(
    workspace: Workspace, tmp_path: Path
) -> None:
    history = History(workspace)
    batches = [history.receive("vendor-x", day) for day in range(2)]
    members = {}
    for number, batch in enumerate(batches, start=1):
        history.judge(batch)
        history.admit(batch)
        members[batch] = 90
        history.snapshot(dict(members))
        history.register("net", str(number))
    _trained_elsewhere(workspace, tmp_path, "vendor-x", batches[0])

    def affected(*without: str) -> dict[str, int | None]:
        trace = lineage.trace_source(workspace, "vendor-x", without=without)
        assert trace.question.without == list(without)
        assert trace.complete
        assert not set(trace.batch_ids) & set(without)
        assert trace.unaffected == 3 - len(trace.models)
        return {model.id: model.tainted_rows for model in trace.models}

    assert affected() == {"net@1": 90, "net@2": 180, "ranker@1": None}
    assert affected(batches[0]) == {"net@2": 90}
    assert affected(batches[1]) == {"net@1": 90, "net@2": 90, "ranker@1": None}
    assert affected(*batches) == {}
    judged = lineage.trace_policy(workspace, "digits", POLICY.sha256, without=[batches[0]])
    assert judged.model_ids == ["net@2"]
    signed = lineage.trace_key(workspace, "k1", without=[batches[0]])
    assert signed.model_ids == ["net@2"]


def test_each_question_can_leave_batches_out(workspace: Workspace) -> None:
    """By batch, record, decision and version of a dataset, as by source."""
    history = History(workspace)
    first, second = (history.receive("vendor-x", day) for day in range(2))
    history.judge(first)
    history.admit(first, 10, part="released-1", case="case-1")
    with workspace.catalog.read() as connection:
        event = next(e.event for e in entries(connection, kinds=[BatchAdmitted.kind]))
    assert isinstance(event, BatchAdmitted)
    history.version += 1
    history.write(replace(event, version=2, part="released-2", releases=[RELEASE]))
    history.snapshot({first: 20})
    history.register("net", "1")
    history.admit(second)
    history.snapshot({first: 20, second: 90})
    history.register("net", "2")

    def of_batch(*without: str) -> lineage.Trace:
        return lineage.trace_batch(workspace, first, without=without)

    def of_record(*without: str) -> lineage.Trace:
        return lineage.trace_record(workspace, f"{first}#r1", without=without)

    def of_decision(*without: str) -> lineage.Trace:
        return lineage.trace_decision(workspace, RELEASE.decision, without=without)

    for ask in (of_batch, of_record, of_decision):
        assert ask().model_ids == ask(second).model_ids == ["net@1", "net@2"]
        trace = ask(first)
        assert (trace.model_ids, trace.batch_ids, trace.unaffected) == ([], [], 2)
        assert trace.question.without == [first]
        with pytest.raises(NotFoundError, match="no batch 'vendor-x/0'"):
            ask("vendor-x/0")
    assert of_batch(first).complete

    def of_dataset(*without: str) -> list[str]:
        trace = lineage.trace_dataset(workspace, "digits", 3, without=without)
        assert trace.question.without == list(without)
        return trace.model_ids

    assert of_dataset() == of_dataset(first) == of_dataset(second) == ["net@2"]
    assert of_dataset(first, second) == []  # there would be no such version
    history.register("judge", "1", purpose="eval")
    trace = lineage.trace_dataset(workspace, "digits", 3)
    assert (trace.model_ids, [one.id for one in trace.evaluated]) == (["net@2"], ["judge@1"])
    trace = lineage.trace_dataset(workspace, "digits", 3, without=[first, second])
    assert trace.evaluated == []
    said = "No model version is known to have learned from digits@3 (without 2 batches)."
    assert lineage.conclusion(trace)[0] == said


def test_a_slip_in_a_batch_to_leave_out_is_no_answer(workspace: Workspace) -> None:
    History(workspace).receive("vendor-x")
    with pytest.raises(NotFoundError, match="no batch 'vendor-x/0'"):
        lineage.trace_source(workspace, "vendor-x", without=["vendor-x/0"])
