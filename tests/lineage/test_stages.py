"""The real stages on real files: what they put on record is what lineage tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_history import JANE

from lazaretto import lineage
from lazaretto.dataset.recall import recall
from lazaretto.errors import DeliveryError
from lazaretto.policy import Policy
from lazaretto.quarantine.review import decide, publish
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.sources.manifest import keygen, sign_manifest
from lazaretto.sources.registry import add_key, add_source
from lazaretto.stages import (
    admit,
    embed,
    gate,
    receive,
    register_model,
    screen,
    snapshot,
    validate,
)
from lazaretto.values import Action, TrustTier

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

NOW = datetime(2026, 5, 10, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy.model_validate(
    {
        "version": 1,
        "dataset": "reviews",
        "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
        "screen": {"false_quarantine_rate": 0.05, "min_poison_share": 0.2},
    }
)


def _table(prefix: str, rows: int, seed: int, *, outliers: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    vectors = generator.normal(size=(rows, 8)).astype(np.float32) + 4 * labels[:, None]
    vectors[:outliers] += 60
    return pa.table(
        {
            "id": [f"{prefix}{i}" for i in range(rows)],
            "label": [str(label) for label in labels],
            "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 8),
        }
    )


def _deliver(
    workspace: Workspace, folder: Path, key: bytes, day: int, *, outliers: int = 0
) -> tuple[str, str | None]:
    file = folder / f"day-{day}" / "data.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(_table(f"d{day}-", 200, day, outliers=outliers), file)
    start = NOW + day * DAY
    envelope = sign_manifest(
        file,
        source="vendor-x",
        private_key=key,
        collected_from=start,
        collected_to=start + DAY,
        issued_at=start + DAY,
    )
    manifest = file.with_name("manifest.json")
    manifest.write_bytes(envelope)
    found = receive(workspace, file, "vendor-x", manifest=manifest, policy=POLICY, now=start + DAY)
    validate(workspace, found.id, POLICY)
    embed(workspace, found.id, POLICY)
    screen(workspace, found.id, POLICY)
    judged = gate(workspace, found.id, POLICY)
    admit(workspace, found.id)
    return found.id, judged.case


def test_from_delivery_to_blast_radius(workspace: Workspace, tmp_path: Path) -> None:
    workspace = workspace.acting(JANE)
    private, public = keygen()
    add_source(workspace, "vendor-x", trust_tier=TrustTier.REVIEWED, now=NOW)
    add_key(workspace, "vendor-x", public, valid_from=NOW, now=NOW)
    reference = Reference.fit(_table("t", 1200, 99), POLICY, name="reviews", seed=1)
    save_reference(workspace, reference)
    batches, cases = {}, {}
    for day in range(3):
        batches[day], cases[day] = _deliver(
            workspace, tmp_path / "in", private, day, outliers=8 if day == 1 else 0
        )
        taken = snapshot(workspace, "reviews")
        register_model(workspace, "net", str(day), "reviews", taken.version, seed=day)
    with pytest.raises(DeliveryError):
        receive(workspace, tmp_path / "in/day-0/data.parquet", "nobody", policy=POLICY)

    trace = lineage.trace_source(workspace, "vendor-x", NOW + DAY, NOW + 2 * DAY)
    assert trace.batch_ids == [batches[0], batches[1]]
    assert trace.model_ids == ["net@0", "net@1", "net@2"]
    assert trace.complete
    said = lineage.trace_source(
        workspace, "vendor-x", NOW + DAY, NOW + 2 * DAY, by="collected", paths=1
    )
    assert said.batch_ids == [batches[1]]
    assert said.model_ids == ["net@1", "net@2"]
    assert said.retrain[0].last_clean == "0"
    # What was collected the day before arrived as the window began.
    assert (trace.completeness.only_received, trace.completeness.only_collected) == (
        [batches[0]],
        [batches[1]],
    )
    assert trace.batches[0].signature == "VERIFIED"
    assert {decision.what for decision in said.decisions} == {"HOLD_RECORDS", "ADMIT"}

    case = cases[1]
    assert case is not None
    held = lineage.trace_record(workspace, f"{batches[1]}#d1-0")
    assert held.record is not None
    assert (held.record.held, held.record.case) == (True, case)
    assert held.model_ids == []
    decide(workspace, case, Action.RELEASE, ids=["d1-0"], reason="it is real")
    publish(workspace, case)
    register_model(workspace, "net", "3", "reviews", snapshot(workspace, "reviews").version)
    released = lineage.trace_record(workspace, f"{batches[1]}#d1-0")
    assert released.record is not None
    assert (released.model_ids, released.record.action) == (["net@3"], "RELEASE")
    assert "RELEASE" in {d.what for d in released.decisions if d.actor == JANE.id}

    recall(workspace, "reviews", batch=batches[1], reason="vendor-x was broken into")
    register_model(workspace, "net", "4", "reviews", snapshot(workspace, "reviews").version)
    after = lineage.trace_batch(workspace, batches[1])
    assert after.model_ids == ["net@1", "net@2", "net@3"]
    assert after.retrain[0].last_clean == "4"
    assert after.batches[0].recalled_rows == after.batches[0].used_rows
    assert lineage.trace_model(workspace, "net", "4").batch_ids == [batches[0], batches[2]]

    lineage.keep_report(workspace, after)
    lineage.flush(workspace)
    file = workspace.store.uri("lineage/events.jsonl")
    assert lineage.check(file, strict=True) == []
    failed = [event for event in _events(file) if event["eventType"] == "FAIL"]
    assert [event["job"]["name"] for event in failed] == ["lazaretto.receive.nobody"]


def _events(file: str) -> list[dict[str, Any]]:
    with open(file) as lines:  # noqa: PTH123
        return [json.loads(line) for line in lines]
