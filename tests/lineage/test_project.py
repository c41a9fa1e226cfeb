from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledger_history import JANE, START, History, one_of_each
from openlineage.client.serde import Serde

from lazaretto import lineage, values
from lazaretto.ledger import events
from lazaretto.ledger.chain import Entry, entries
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.parent import Parent

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace


@pytest.fixture
def history(sqlite_workspace: Workspace) -> History:
    written = History(sqlite_workspace)
    one_of_each(written)
    return written


def _entries(workspace: Workspace) -> list[Entry]:
    with workspace.catalog.read() as connection:
        return list(entries(connection))


def _events(history: History, parent: Parent | None = None) -> list[dict[str, Any]]:
    workspace = history.workspace
    found = []
    for entry in _entries(workspace):
        projection = lineage.project(entry, workspace.namespace, workspace.store.root)
        found += [
            json.loads(Serde.to_json(event)) for event in lineage.run_events(projection, parent)
        ]
    return found


def _of(history: History, kind: str) -> dict[str, Any]:
    """The last event of the first entry of a kind."""
    index = next(i for i, e in enumerate(_entries(history.workspace)) if e.kind == kind)
    return _events(history)[2 * index + 1]


def test_every_kind_of_event_has_a_projection(history: History) -> None:
    written = {entry.kind for entry in _entries(history.workspace)}
    assert written == {cls.kind for cls in events.Event.__subclasses__()}
    assert len(_events(history)) == 2 * len(_entries(history.workspace))


def test_a_model_version_that_is_registered_again_has_one_run_and_is_made_once(
    history: History,
) -> None:
    """OpenLineage adds up what a run's events say: a second run would be a second version."""
    workspace = history.workspace
    first = next(e for e in _entries(workspace) if e.kind == events.ModelRegistered.kind)
    assert isinstance(first.event, events.ModelRegistered)
    more = values.ModelInput(values.InputKind.TABLE, "s3://lake", "more", None)
    again = replace(first.event, dataset=None, snapshot=None, rows=0, inputs=[more])
    history.write(again, replace(again, registry="mlflow://elsewhere:5000"))
    assert lineage.flush(workspace) == len(_entries(workspace))
    file = Path(workspace.store.root) / "lineage" / "events.jsonl"
    told = [json.loads(line) for line in file.read_text().splitlines()]
    run = naming.run_id(first)
    of_run = [event for event in told if event["run"]["runId"] == run]
    states = [event["eventType"] for event in of_run]
    assert states == ["START", "COMPLETE", *["OTHER"] * (len(states) - 2)]
    assert [one["name"] for one in of_run[-1]["inputs"]] == ["more"]
    assert of_run[-1]["outputs"] == []
    makers = {
        event["run"]["runId"]
        for event in told
        for made in event["outputs"]
        if (made["name"], made["facets"].get("version", {}).get("datasetVersion"))
        == (first.event.model, first.event.version)
    }
    assert len(makers) == 2  # one in each registry
    assert [problem for event in told for problem in lineage.check_event(event, strict=True)] == []


def test_every_event_is_valid_by_the_official_schemas_and_its_facets(history: History) -> None:
    root = Parent("airflow", "dag", "0190a0a0-0000-7000-8000-000000000000")
    parent = Parent("airflow", "dag.task", "0190a0a0-0000-7000-8000-000000000001", root)
    found = [*_events(history), *_events(history, parent)]
    told = found[-1]["run"]["facets"]["parent"]["root"]
    assert (told["run"]["runId"], told["job"]["name"]) == (root.run, root.job)
    assert [problem for e in found for problem in lineage.check_event(e, strict=True)] == []


def test_no_secret_of_a_uri_reaches_an_event(history: History) -> None:
    text = json.dumps(_events(history))
    for secret in ("hunter2", "s3cr3t", "u:p@", "X-Amz-Signature"):
        assert secret not in text


def test_a_replay_gives_the_same_events(history: History) -> None:
    assert _events(history) == _events(history)
    runs = [event["run"]["runId"] for event in _events(history)]
    assert runs[::2] == runs[1::2]
    assert len(set(runs)) == len(runs) // 2


def test_run_ids_differ_between_ledgers_of_the_same_history(history: History) -> None:
    [first, *_] = _entries(history.workspace)
    other = replace(first, hash="00" * 32)
    assert naming.run_id(first) != naming.run_id(other)


def test_a_refused_delivery_is_a_failed_run_that_wrote_nothing(history: History) -> None:
    event = _of(history, "delivery_refused")
    assert event["eventType"] == "FAIL"
    assert event["outputs"] == []
    assert event["run"]["facets"]["errorMessage"]["message"].startswith("unknown_key: ")
    [dataset] = event["inputs"]
    assert (dataset["namespace"], dataset["name"]) == ("https://files.example", "drop")
    assert dataset["facets"]["lazaretto_source"]["signature"]["status"] == "UNKNOWN_KEY"


def test_a_batch_is_a_version_of_a_stable_dataset(history: History) -> None:
    event = _of(history, "batch_received")
    [output] = event["outputs"]
    root = history.workspace.store.root
    batch = "vendor-a/0000000000000001"
    assert (output["namespace"], output["name"]) == ("file", f"{root}/batches/vendor-a")
    facets = output["facets"]
    assert facets["version"]["datasetVersion"] == batch
    assert facets["lazaretto_artifact"]["artifactId"] == batch
    assert facets["lazaretto_source"]["collectedFrom"] == START.isoformat()
    assert [field["name"] for field in facets["schema"]["fields"]] == ["id", "pixels"]
    [partition] = output["outputFacets"]["subset"]["outputCondition"]["partitions"]
    assert partition["identifier"] == batch
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 100


def test_detectors_and_tests_are_told_as_the_test_facet(history: History) -> None:
    tests = {t["name"]: t for t in _of(history, "batch_screened")["run"]["facets"]["test"]["tests"]}
    assert tests["detector:mahalanobis"]["status"] == "fail"
    assert tests["detector:mahalanobis"]["severity"] == "error"
    assert tests["detector:knn_label"]["severity"] == "warn"
    assert tests["mmd"]["status"] == "pass"
    assert tests["share"]["status"] == "skip"


def test_contract_rules_are_assertions_on_the_batch(history: History) -> None:
    [dataset] = _of(history, "batch_validated")["inputs"]
    found = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(a["assertion"], a["success"]) for a in found] == [
        ("pixel.range", False),
        ("record_id.unique", True),
        ("batch", False),
    ]


def test_a_snapshot_names_every_batch_once_per_source(sqlite_workspace: Workspace) -> None:
    history = History(sqlite_workspace)
    batches = {history.receive(s, d): 10 for s in ("vendor-a", "vendor-b") for d in range(3)}
    history.admit(next(iter(batches)))
    history.snapshot(batches)
    event = _of(history, "snapshot_taken")
    told = [
        partition["identifier"]
        for dataset in event["inputs"]
        for partition in dataset["inputFacets"]["subset"]["inputCondition"]["partitions"]
    ]
    assert sorted(told) == sorted(batches)
    assert len({dataset["name"] for dataset in event["inputs"]}) == len(event["inputs"]) == 2
    members = event["outputs"][0]["facets"]["lazaretto_artifact"]["members"]
    assert members["complete"] is True
    assert members["count"] == 6


def test_a_model_is_a_version_of_a_dataset_of_its_registry(history: History) -> None:
    event = _of(history, "model_registered")
    [output] = event["outputs"]
    assert (output["namespace"], output["name"]) == ("mlflow://models:5000", "digits-net")
    assert output["facets"]["datasetType"]["datasetType"] == "MODEL"
    [consumed] = event["run"]["facets"]["lazaretto_training"]["consumed"]
    assert consumed["version"] == "1"
    assert consumed["role"] == "TRAIN"


def test_a_recall_does_not_read_the_batches_it_takes_back(history: History) -> None:
    event = _of(history, "records_recalled")
    assert not any("batches/" in dataset["name"] for dataset in event["inputs"])
    assert event["run"]["facets"]["lazaretto_decision"]["actor"]["id"] == JANE.id


def test_a_model_names_all_that_it_learned_from_and_each_role(history: History) -> None:
    found = [
        event
        for event in _events(history)[1::2]
        if event["job"]["name"].startswith("lazaretto.train.")
    ]
    root = history.workspace.store.root
    named = [
        [
            (one["name"].removeprefix(root), one.get("version"), one["role"])
            for one in event["run"]["facets"]["lazaretto_training"]["consumed"]
        ]
        for event in found
    ]
    assert named == [
        [("/datasets/digits", "1", "TRAIN")],
        [  # what a later entry adds to the same version
            ("prices", "7", "EVAL"),
            ("names", None, "TRAIN"),
            ("bert", "1", "FINETUNE"),
            ("/datasets/digits", "1-5e1c0a9b2f3d4e5f", "TRAIN"),
        ],
        [
            ("/datasets/digits", "2", "TRAIN"),
            ("/datasets/digits", "1", "EVAL"),
            ("features", None, "TRAIN"),
            ("digits-net", "1", "TRAIN"),
        ],
        [("digits-net", "2", "TRAIN")],
    ]
    for event in found:
        read = [
            (dataset["name"], dataset["facets"].get("version", {}).get("datasetVersion"))
            for dataset in event["inputs"]
        ]
        told = event["run"]["facets"]["lazaretto_training"]["consumed"]
        assert read == [(one["name"], one.get("version")) for one in told]


def test_an_export_replaces_the_file_with_one_version(history: History) -> None:
    event = _of(history, "dataset_exported")
    [read], [written] = event["inputs"], event["outputs"]
    assert read["facets"]["version"]["datasetVersion"] == "1"
    assert (written["namespace"], written["name"]) == ("file", "/exports/digits.parquet")
    assert written["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "OVERWRITE"


def test_one_job_writes_each_version_of_a_model(history: History) -> None:
    writers: dict[tuple[str, str], set[str]] = {}
    for event in _events(history):
        for output in event["outputs"]:
            if output["facets"]["datasetType"]["datasetType"] == "MODEL":
                version = output["facets"]["version"]["datasetVersion"]
                writers.setdefault((output["name"], version), set()).add(event["run"]["runId"])
    assert {key: len(runs) for key, runs in writers.items()} == {
        ("digits-net", "1"): 2,  # an entry of its own tells what it learned from besides
        ("digits-net", "2"): 1,
        ("student", "1"): 1,
    }


def test_ledger_positions_have_no_gap(history: History) -> None:
    seqs = [e["run"]["facets"]["lazaretto_integrity"]["seq"] for e in _events(history)[1::2]]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/in/a.csv", ("file", "/data/in/a.csv")),
        ("file:///data/in/", ("file", "/data/in")),
        ("s3://bucket/a/b", ("s3://bucket", "a/b")),
        ("s3a://key:secret@bucket/a", ("s3://bucket", "a")),
        ("abfss://box@acc.dfs.core.windows.net/a", ("abfss://box@acc.dfs.core.windows.net", "a")),
        ("https://u:p@host:8443/a/b?sig=1#x", ("https://host:8443", "a/b")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("http://[", ("http://_", "/")),
        ("s3://bu~cket/a", ("s3://bu_cket", "a")),
        ("s3://key:se/cret@bucket/a", ("s3://_", "/")),
        ("simplecache::ftp://u:secret@host/a", ("file", "simplecache::\N{HORIZONTAL ELLIPSIS}")),
    ],
)
def test_names_follow_the_specification_and_hold_no_secret(
    uri: str, expected: tuple[str, str]
) -> None:
    assert naming.dataset_name(uri) == expected


def test_hostile_names_make_harmless_jobs() -> None:
    assert naming.job("receive", "../../x y\n<script>") == "lazaretto.receive..._.._x_y__script_"
