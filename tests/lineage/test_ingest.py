from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_history import DAY, START, History

from lazaretto import lineage
from lazaretto.errors import NotFoundError
from lazaretto.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from pathlib import Path

_URL = {"_producer": "https://example.org", "_schemaURL": "https://example.org/x.json"}


def _dataset(
    name: str,
    version: str | None = None,
    *,
    model: bool = False,
    change: str | None = None,
    namespace: str = "s3://lake",
) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if version is not None:
        facets["version"] = {**_URL, "datasetVersion": version}
    if model:
        facets["datasetType"] = {**_URL, "datasetType": "MODEL"}
    if change is not None:
        facets["lifecycleStateChange"] = {**_URL, "lifecycleStateChange": change}
    return {"namespace": namespace, "name": name, "facets": facets}


def _event(
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    *,
    day: float = 0,
    state: str = "COMPLETE",
    run: str | None = None,
) -> dict[str, Any]:
    return {
        "eventType": state,
        "eventTime": (START + day * DAY).isoformat(),
        "run": {"runId": run or str(uuid.uuid4()), "facets": {}},
        "job": {"namespace": "spark", "name": "job", "facets": {}},
        "inputs": inputs,
        "outputs": outputs,
        "producer": "https://example.org",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }


def _file(tmp_path: Path, *events: object) -> Path:
    path = tmp_path / "foreign.jsonl"
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return path


def _ours(workspace: Workspace) -> tuple[History, str]:
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.admit(batch)
    history.snapshot({batch: 90})
    return history, batch


def test_a_model_that_somebody_else_made_of_our_snapshot_is_found(
    workspace: Workspace, tmp_path: Path
) -> None:
    history, batch = _ours(workspace)
    snapshot = _dataset(f"{workspace.store.root}/datasets/digits", "1", namespace="file")
    features = _dataset("features", "v7")
    file = _file(
        tmp_path,
        _event([snapshot], [features], day=9999),
        _event([features], [_dataset("ranker", "3", model=True)], day=10000),
    )
    done = lineage.ingest(workspace, file)
    assert (done.runs, done.edges, done.skipped) == (2, 2, [])
    trace = lineage.trace_batch(workspace, batch)
    assert trace.model_ids == ["ranker@3"]
    assert trace.models[0].paths == [[batch, "digits@1", "features@v7", "ranker@3"]]
    assert trace.completeness.external_nodes == 2
    del history


def test_the_same_file_twice_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    file = _file(tmp_path, _event([_dataset("a", "1")], [_dataset("b", "1")]))
    assert lineage.ingest(workspace, file).edges == 1
    assert lineage.ingest(workspace, file).edges == 0


def test_our_own_events_rebuild_the_same_answers_elsewhere(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Events alone carry the graph: another site that ingests them misses no model.

    An event cannot say that a batch left: what builds on a snapshot that had it is counted, too.
    """
    history = History(workspace)
    batches = {}
    for day in range(6):
        batches[day] = history.receive("vendor-x", day)
        history.judge(batches[day])
        history.admit(batches[day])
        history.snapshot({batches[d]: 90 for d in range(max(0, day - 2), day + 1)})
        history.register("churn", str(day))
    history.recall({batches[0]: 5})
    lineage.flush(workspace)
    elsewhere = open_workspace(
        catalog_url=f"sqlite:///{tmp_path / 'other.db'}", store=tmp_path / "other"
    )
    done = lineage.ingest(elsewhere, workspace.store.uri("lineage/events.jsonl"))
    assert done.skipped == []
    window = (START + DAY, START + 2 * DAY)
    ours = lineage.trace_source(workspace, "vendor-x", *window)
    theirs = lineage.trace_source(elsewhere, "vendor-x", *window)
    assert theirs.batch_ids == ours.batch_ids == [batches[1]]
    assert ours.model_ids == ["churn@1", "churn@2", "churn@3"]
    assert theirs.model_ids == [*ours.model_ids, "churn@4"]
    assert theirs.batches[0].signature == "VERIFIED"
    elsewhere.catalog.engine.dispose()


def test_forged_events_cannot_change_what_the_ledger_tells(
    workspace: Workspace, tmp_path: Path
) -> None:
    history, batch = _ours(workspace)
    model = history.register("churn", "1")
    before = lineage.trace_model(workspace, "churn", "1").batch_ids
    snapshot = _dataset(f"{workspace.store.root}/datasets/digits", "1", namespace="file")
    ours = _dataset("churn", "1", model=True, namespace="mlflow://models:5000")
    innocent = _dataset("vendor-innocent", "b1")
    innocent["facets"]["lazaretto_source"] = {
        **_URL,
        "sourceId": "vendor-innocent",
        "signature": {"status": "VERIFIED"},
    }
    file = _file(
        tmp_path,
        _event([innocent], [snapshot], day=-1),
        _event([innocent], [ours], day=-1),
        _event([], [snapshot], day=-1),
    )
    done = lineage.ingest(workspace, file)
    assert (done.edges, done.rejected) == (0, 2)
    assert lineage.trace_model(workspace, "churn", "1").batch_ids == before == [batch]
    assert lineage.trace_source(workspace, "vendor-innocent").model_ids == []
    assert lineage.trace_source(workspace, "vendor-x").model_ids == [model]


def test_forged_events_that_come_before_the_ledger_lose_their_claims(
    workspace: Workspace, tmp_path: Path
) -> None:
    snapshot = _dataset(f"{workspace.store.root}/datasets/digits", "1", namespace="file")
    lineage.ingest(workspace, _file(tmp_path, _event([_dataset("lie", "1")], [snapshot])))
    history, batch = _ours(workspace)
    history.register("churn", "1")
    trace = lineage.trace_model(workspace, "churn", "1")
    assert [s.id for s in trace.snapshots] == ["digits@1"]
    assert trace.batch_ids == [batch]


def test_edges_cannot_run_back_in_time_or_in_circles(workspace: Workspace, tmp_path: Path) -> None:
    a, b = _dataset("a", "1"), _dataset("b", "1", model=True)
    file = _file(
        tmp_path,
        _event([a], [b], day=1),
        _event([b], [a], day=2),
        _event([_dataset("c", "1")], [a], day=3),
        _event([a], [a], day=4),
    )
    done = lineage.ingest(workspace, file)
    assert done.rejected == 2  # c is younger than a; a is not made of itself
    trace = lineage.trace_model(workspace, "b", "1")
    assert trace.model_ids == ["b@1"]


def test_inputs_of_all_events_of_a_run_count_and_failed_runs_do_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    run, failed = str(uuid.uuid4()), str(uuid.uuid4())
    model = _dataset("net", "1", model=True)
    file = _file(
        tmp_path,
        _event([_dataset("a", "1")], [], state="START", run=run),
        _event([_dataset("b", "1")], [], state="RUNNING", run=run),
        _event([], [model], run=run, day=1),
        _event([_dataset("bad", "1")], [model], state="START", run=failed, day=1),
        _event([_dataset("bad", "1")], [model], state="FAIL", run=failed, day=2),
    )
    lineage.ingest(workspace, file)
    trace = lineage.trace_model(workspace, "net", "1")
    assert {snapshot.id for snapshot in trace.snapshots} == {"a@1", "b@1"}


def test_reads_without_a_version_are_inferred_by_the_last_writes(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Appends add to what was there, an overwrite replaces it (Spline's rule)."""

    def write(day: int, source: str, change: str | None = None) -> dict[str, Any]:
        return _event([_dataset(source, "1")], [_dataset("t", change=change)], day=day)

    file = _file(
        tmp_path,
        write(1, "old"),
        write(2, "replaced", "OVERWRITE"),
        write(3, "appended"),
        _event([_dataset("t")], [_dataset("net", "1", model=True)], day=4),
        write(5, "too-late"),
        _event([_dataset("never-written")], [_dataset("net", "2", model=True)], day=6),
    )
    done = lineage.ingest(workspace, file)
    assert done.unversioned == 1
    trace = lineage.trace_model(workspace, "net", "1")
    sources = {s.name for s in trace.snapshots if s.version == "1"}
    assert sources == {"replaced", "appended"}
    assert trace.completeness.inferred_edges > 0
    assert not trace.completeness.complete


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"eventTime": "2026-05-01T00:00:00"}, "time zone"),
        ({"eventTime": 5}, "eventTime"),
        ({"run": {"runId": "x"}}, "UUID"),
        ({"run": []}, "runId"),
        ({"eventType": "DONE"}, "eventType"),
        ({"inputs": {}}, "lists"),
        ({"inputs": [{"namespace": "n", "name": "x"}] * 1001}, "at most 1000"),
        ({"inputs": [{"namespace": "n" * 513, "name": "x"}]}, "namespace"),
        ({"inputs": [{"namespace": "n", "name": "x\x00"}]}, "name"),
        ({"inputs": ["x"]}, "namespace"),
        ({"inputs": [{"namespace": "n", "name": "\ud800"}]}, "Unicode"),
        ({"outputs": [_dataset("x", "v" * 256)]}, "datasetVersion"),
    ],
)
def test_hostile_events_are_skipped_and_told(
    sqlite_workspace: Workspace, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    good = _event([_dataset("a", "1")], [_dataset("b", "1")])
    done = lineage.ingest(sqlite_workspace, _file(tmp_path, good | change, good))
    assert done.edges == 1
    [skipped] = done.skipped
    assert skipped.startswith("line 1: ")
    assert why in skipped


def test_a_partition_bomb_is_skipped(sqlite_workspace: Workspace, tmp_path: Path) -> None:
    bomb = _dataset("a")
    partitions = [{"dimensions": {}, "identifier": str(i)} for i in range(10_001)]
    condition = {"type": "partition", "partitions": partitions}
    bomb["inputFacets"] = {"subset": {**_URL, "inputCondition": condition}}
    done = lineage.ingest(sqlite_workspace, _file(tmp_path, _event([bomb], [_dataset("b", "1")])))
    assert done.edges == 0
    assert "10000 partitions" in done.skipped[0]


def test_runs_that_never_end_are_bounded(
    sqlite_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["lazaretto.lineage.graph.ingest"], "MAX_OPEN_RUNS", 5)
    events = [_event([], [], state="START") for _ in range(9)]
    assert len(lineage.ingest(sqlite_workspace, _file(tmp_path, *events)).skipped) == 4


def test_a_missing_file_is_named(sqlite_workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        lineage.ingest(sqlite_workspace, tmp_path / "nothing.jsonl")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["run", "runId", "facets", "inputs", "outputs", "namespace", "name", "version"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
_KEYS = ("eventType", "eventTime", "run", "inputs", "outputs")


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(change=st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=3))
def test_no_event_can_make_it_crash(
    sqlite_workspace: Workspace, tmp_path: Path, change: dict[str, Any]
) -> None:
    event = _event([_dataset("a", "1")], [_dataset("b", "1")]) | change
    file = _file(tmp_path, event)
    assert lineage.ingest(sqlite_workspace, file).events == 1
    lineage.check(file)


def _partitioned(name: str, side: str, count: int) -> dict[str, Any]:
    """A dataset of which an event names very many versions."""
    place = {"inputs": "inputCondition", "outputs": "outputCondition"}[side]
    partitions = [{"identifier": f"{name}{number}"} for number in range(count)]
    subset = {**_URL, place: {"type": "partition", "partitions": partitions}}
    return {
        **_dataset(name),
        {"inputs": "inputFacets", "outputs": "outputFacets"}[side]: {"subset": subset},
    }


def test_a_run_of_very_many_pairs_is_a_node_of_its_own(
    workspace: Workspace, tmp_path: Path
) -> None:
    history, batch = _ours(workspace)
    snapshot = _dataset(f"{workspace.store.root}/datasets/digits", "1", namespace="file")
    many = _event(
        [snapshot, _partitioned("a", "inputs", 150)],
        [_partitioned("b", "outputs", 150)],
        day=9999,
    )
    model = _event([_dataset("b", "b7")], [_dataset("net", "1", model=True)], day=10000)
    done = lineage.ingest(workspace, _file(tmp_path, many, model))
    assert (done.edges, done.rejected, done.skipped) == (1 + 150 + 150 + 1, 0, [])
    trace = lineage.trace_batch(workspace, batch)
    run = f"run {many['run']['runId']}"
    assert trace.models[0].paths == [[batch, "digits@1", run, "b@b7", "net@1"]]
    assert lineage.ingest(workspace, tmp_path / "foreign.jsonl").edges == 0
    back = lineage.trace_model(workspace, "net", "1")
    assert back.batch_ids == [batch]
    assert len(back.snapshots) == 1 + 1 + 150
    del history


def test_very_many_models_of_one_model_inherit_what_it_learned(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A run that read models alone is no data, whether it is a node or not."""
    teacher = _dataset("teacher", "1", model=True)
    students = [_dataset(f"student{n}", "1", model=True) for n in range(1000)]
    inputs = [teacher, *[_dataset(f"other{n}", "1", model=True) for n in range(10)]]
    file = _file(
        tmp_path,
        _event([_dataset("data", "1")], [teacher], day=1),
        _event(inputs, students, day=2),
    )
    lineage.ingest(workspace, file)
    found = {model.name: model for model in lineage.trace_model(workspace, "student3", "1").models}
    assert found["student3"].inherited
    assert not found["teacher"].inherited


def test_inputs_that_run_back_in_time_are_left_out_of_many_pairs_and_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    both, late = _dataset("both", "1"), _dataset("late", "1")
    run = str(uuid.uuid4())
    file = _file(
        tmp_path,
        _event([], [late], day=5),
        _event(
            [both, late, _partitioned("a", "inputs", 150)],
            [both, _partitioned("b", "outputs", 150)],
            run=run,
        ),
    )
    done = lineage.ingest(workspace, file)
    assert (done.edges, done.rejected) == (150 + 151, 2)
    assert done.skipped == [
        f"run {run}: 2 inputs are left out, each of which is an output, too, or younger than one"
    ]


def test_a_run_of_too_many_versions_is_skipped_with_a_reason(
    workspace: Workspace, tmp_path: Path
) -> None:
    run = str(uuid.uuid4())
    sides = ("a", "b", "c")
    file = _file(
        tmp_path,
        _event([_partitioned(name, "inputs", 7_000) for name in sides], []),
        *[
            _event([_partitioned(name, "inputs", 7_000)], [], state="RUNNING", run=run)
            for name in sides
        ],
        _event([{**_dataset("x"), "namespace": "urn:lazaretto:run"}], []),
        _event([_dataset("d", "1")], [_dataset("e", "1")]),
    )
    done = lineage.ingest(workspace, file)
    assert done.edges == 1
    assert done.skipped == [
        "line 1: a run of more than 20,000 versions of datasets",
        "line 4: a run of more than 20,000 versions of datasets",
        "line 5: no dataset is in the namespace urn:lazaretto:run",
    ]
