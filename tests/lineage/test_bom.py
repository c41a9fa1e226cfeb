"""A bill of materials is valid CycloneDX, the same twice, and names all that made a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pages
import pytest
from markup import Markup
from yard import Yard, blobs, make_yard

from lazaretto import lineage, stages, values
from lazaretto.dataset.recall import recall
from lazaretto.ledger import events
from lazaretto.ledger.chain import append, entries, head

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """Two batches, a model of both, one recalled, a model of the other."""
    yard = make_yard(workspace, fitted_reference, tmp_path)
    monday = yard.admit("monday", blobs(40, seed=2, prefix="m")).batch
    yard.admit("tuesday", blobs(40, seed=3, prefix="t"), "vendor-b")
    taken = stages.snapshot(workspace, "blobs").version
    (tmp_path / "weights").write_bytes(b"weights")
    stages.register_model(
        yard.workspace, "net", "1", "blobs", taken, artifact=tmp_path / "weights", seed=7
    )
    recall(yard.workspace, "blobs", batch=monday, reason="compromised")
    taken = stages.snapshot(workspace, "blobs").version
    stages.register_model(yard.workspace, "net", "2", "blobs", taken)
    return yard


def _made(workspace: Workspace, version: str = "1", name: str = "net") -> dict[str, Any]:
    bom = lineage.model_bom(workspace, name, version)
    text = lineage.bom_bytes(bom)
    assert lineage.check_bom(text) is None
    assert json.loads(text) == bom
    return bom


def _by_ref(bom: dict[str, Any]) -> dict[str, Any]:
    found = {one["bom-ref"]: one for one in bom["components"]}
    assert len(found) == len(bom["components"])
    return found


def _properties(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"].removeprefix("lazaretto:"): one["value"] for one in component["properties"]}


def _depends(bom: dict[str, Any]) -> dict[str, list[str]]:
    return {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}


def _aggregates(bom: dict[str, Any]) -> dict[str, str]:
    return {ref: one["aggregate"] for one in bom["compositions"] for ref in one["dependencies"]}


def test_a_bill_names_model_snapshot_and_batches_with_digests_and_sources(yard: Yard) -> None:
    workspace = yard.workspace
    bom, trace = _made(workspace), lineage.trace_model(workspace, "net", "1")
    model = bom["metadata"]["component"]
    with workspace.catalog.read() as connection:
        [registered, _] = entries(connection, kinds=["model_registered"])
        [first, _] = entries(connection, kinds=["snapshot_taken"])
        received = {e.event.batch: e for e in entries(connection, kinds=["batch_received"])}  # type: ignore[attr-defined]
        end = head(connection)
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        "net",
        "1",
    )
    digest = registered.event.artifact_digest  # type: ignore[attr-defined]
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest}]
    told = _properties(model)
    assert (told["ledger:entry"], told["training:seed"]) == (str(registered.seq), "7")
    assert "recall-of-what-it-learned" in told
    parts = _by_ref(bom)
    snapshot = _properties(parts["dataset:blobs@2"])
    assert snapshot["snapshot:digest"] == f"sha256:{first.event.digest}"  # type: ignore[attr-defined]
    assert snapshot["role"] == "TRAIN"
    refs = {f"batch:{batch.id}" for batch in trace.batches}
    assert len(refs) == 2
    assert set(parts) == {"dataset:blobs@2", *refs}
    used = [one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]]
    assert set(used) == set(parts)
    assert _depends(bom)[model["bom-ref"]] == ["dataset:blobs@2"]
    assert set(_depends(bom)["dataset:blobs@2"]) == refs
    for batch in trace.batches:
        part = parts[f"batch:{batch.id}"]
        entry = received[batch.id]
        assert part["supplier"] == {"name": batch.source}
        assert part["hashes"][0]["content"] == entry.event.delivered.sha256  # type: ignore[attr-defined]
        told = _properties(part)
        assert told["batch:digest"] == f"sha256:{batch.digest}"
        assert told["signature:status"] == batch.signature == "UNSIGNED"
        assert (told["records"], told["records:used"]) == (str(batch.rows), str(batch.used_rows))
        assert told["ledger:entry"] == str(entry.seq)
        [policy] = {d.policy_sha256 for d in trace.decisions if d.policy_sha256}
        assert told["policy"] == f"blobs sha256:{policy}"
    ledger = _properties(bom["metadata"])
    assert ledger["ledger:entry"] == str(end)
    assert set(_aggregates(bom).values()) == {"complete"}
    assert (ledger["complete"], trace.complete) == ("yes", True)


def test_the_same_ledger_gives_the_same_bytes_and_another_one_another_serial(yard: Yard) -> None:
    once, again = (lineage.bom_bytes(_made(yard.workspace)) for _ in range(2))
    assert once == again
    other = _made(yard.workspace, "2")
    assert {one.partition(":")[0] for one in _by_ref(other)} == {"dataset", "batch"}
    assert len(other["components"]) == 2  # what was recalled is not in it
    stages.snapshot(yard.workspace, "blobs", version=1)
    later = _made(yard.workspace)
    assert later["serialNumber"] != json.loads(once)["serialNumber"]
    assert later["metadata"]["timestamp"] > json.loads(once)["metadata"]["timestamp"]


def test_nobodys_name_is_in_a_bill(yard: Yard) -> None:
    text = lineage.bom_bytes(_made(yard.workspace)).decode()
    assert yard.workspace.actor.id
    assert yard.workspace.actor.id not in text
    assert "os:" not in text.replace("urn:", "")


def test_base_models_tables_and_what_is_not_known_are_told(yard: Yard) -> None:
    """A student of a model, and of somebody else's table whose version nobody knows."""
    snapshot = values.InputKind.SNAPSHOT
    event = events.ModelRegistered(
        model="student",
        version="1",
        registry="local",
        dataset="blobs",
        snapshot=2,
        rows=80,
        purpose="FINE_TUNING",
        inputs=[
            values.ModelInput(values.InputKind.MODEL, "local", "net", "1"),
            values.ModelInput(values.InputKind.TABLE, "s3://u:p@lake", "features", None),
            values.ModelInput(snapshot, "", "blobs", "9", values.InputRole.EVAL, 3),
        ],
    )
    with yard.workspace.catalog.transaction() as connection:
        append(connection, event, actor=yard.workspace.actor)
    bom = _made(yard.workspace, name="student")
    parts, student = _by_ref(bom), bom["metadata"]["component"]["bom-ref"]
    [base] = [one for one in parts.values() if one["type"] == "machine-learning-model"]
    assert base["hashes"]
    [table] = [ref for ref in parts if ref.startswith("table:")]
    assert "u:p" not in json.dumps(bom)
    assert set(_depends(bom)[student]) == {
        base["bom-ref"],
        "dataset:blobs@2",
        "dataset:blobs@9",
        table,
    }
    assert _depends(bom)[base["bom-ref"]] == ["dataset:blobs@2"]
    assert _aggregates(bom)[table] == "unknown"
    assert _aggregates(bom)["dataset:blobs@9"] == "incomplete"  # it was never taken


def test_what_only_others_claim_is_told_as_a_claim(yard: Yard, tmp_path: Path) -> None:
    def dataset(namespace: str, name: str, version: str, **facets: Any) -> dict[str, Any]:
        named = {"version": {"datasetVersion": version}}
        return {"namespace": namespace, "name": name, "facets": named | facets}

    event = {
        "eventType": "COMPLETE",
        "eventTime": "2030-01-01T00:00:00Z",
        "run": {"runId": "0199aaaa-0000-7000-8000-000000000000"},
        "job": {"namespace": "spark", "name": "distill"},
        "producer": "https://example.org",
        "inputs": [dataset("s3://lake", "features", "4")],
        "outputs": [dataset("mlflow://m:5000", "far", "3", datasetType={"datasetType": "MODEL"})],
    }
    (tmp_path / "events.jsonl").write_text(json.dumps(event) + "\n")
    assert lineage.ingest(yard.workspace, tmp_path / "events.jsonl").skipped == []
    bom = _made(yard.workspace, "3", "far")
    [part] = bom["components"]
    assert part["bom-ref"] == "table:s3://lake/features@4"
    assert _properties(part)["claimed"] == "by events of other tools"
    assert _aggregates(bom)[part["bom-ref"]] == "unknown"


@pytest.mark.parametrize("catalog_url", ["sqlite"], indirect=True)
def test_the_commands_of_the_page_write_it(yard: Yard) -> None:
    """docs/how-to/bill-of-materials.md, word by word."""
    page = pages.ROOT / "docs/how-to/bill-of-materials.md"
    block, cards = [one for one in pages.blocks(page) if one.language == "bash"]
    home = yard.folder / "home"
    home.mkdir()
    where = {
        "LAZARETTO_CATALOG_URL": _address(yard.workspace),
        "LAZARETTO_STORE": yard.workspace.store.root,
    }
    [(line, code, printed)] = pages.run_lines(block.text, home, **where)
    assert code == 0, printed
    assert "valid CycloneDX 1.6" in printed
    written = (home / line.rpartition(" ")[2]).read_bytes()
    assert written == lineage.bom_bytes(_made(yard.workspace))
    [(_, code, printed)] = pages.run_lines(block.text, home, **where)
    assert (code, "is kept" in printed) == (2, True)
    done = pages.run_lines(cards.text, home, **where)
    assert [code for _, code, _ in done] == [0, 0], done
    card = lineage.model_card(_made(yard.workspace))
    assert (home / "net-1.md").read_text() == lineage.card_markdown(card)
    assert (home / "net-1.html").read_text() == lineage.card_html(card)


def test_a_card_says_what_the_bill_says(yard: Yard) -> None:
    bom = _made(yard.workspace)
    card = lineage.model_card(bom)
    parts = {part.title: part for part in card.parts}
    assert (card.model, card.complete, card.bom) == ("net@1", True, bom["serialNumber"])
    assert ("Seed", "7") in parts["In short"].rows
    assert parts["What it was measured at"].says == ["No evaluation is on record."]
    assert [row[:3] for row in parts["What it learned from"].rows] == [("snapshot", "blobs", "2")]
    # Of vendor-a's batch all was recalled.
    assert [row[:4] for row in parts["Who delivered it"].rows] == [
        ("vendor-a", "1", "40", "40"),
        ("vendor-b", "1", "40", "0"),
    ]
    told = _properties(bom["metadata"]["component"])["recall-of-what-it-learned"]
    assert told in parts["What is known against it"].says[0]


def test_a_card_escapes_what_a_source_wrote(yard: Yard) -> None:
    evil = "<script>x</script>|`*[a](javascript:x)\u202e\n# b"
    bom = _made(yard.workspace)
    component = bom["metadata"]["component"]
    component["properties"].append({"name": "lazaretto:training:run", "value": evil})
    component["modelCard"]["quantitativeAnalysis"] = {
        "performanceMetrics": [{"type": evil, "value": "0.5"}]
    }
    card = lineage.model_card(bom)
    page = lineage.card_html(card)
    assert not {"script", "a", "img"} & set(Markup(page).tags)
    text = lineage.card_markdown(card)
    assert "<script" not in text
    assert "\\[a\\]\\(javascript:x\\)" in text
    assert "\n# b" not in text
    rows = [line for line in text.splitlines() if line.startswith("| Run ")]
    assert len(rows) == 1


def _address(workspace: Workspace) -> str:
    return workspace.catalog.engine.url.render_as_string(hide_password=False)


def test_a_broken_bill_is_found_out() -> None:
    text = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "who": "me"}'
    assert "who" in str(lineage.check_bom(text))
