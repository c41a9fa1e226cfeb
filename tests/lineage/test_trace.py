from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from ledger_history import DAY, JANE, POLICY, START, History

from lazaretto import lineage
from lazaretto.dataset.files import write_rows
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger import events
from lazaretto.ledger.chain import entries, newest
from lazaretto.lineage.graph import index
from lazaretto.sources.registry import add_source
from lazaretto.storage import tables
from lazaretto.storage.tables import lineage_edge, lineage_node, projection
from lazaretto.storage.workspace import Workspace, open_workspace
from lazaretto.values import DataFile, Signature, SignatureStatus, TrustTier

pytestmark = pytest.mark.alike


def _week(workspace: Workspace) -> tuple[History, dict[int, str]]:
    """Vendor-x delivers for six days; each day a model learns from the last three days.

    What is older is taken back first, and so is what vendor-a delivered the day before.
    """
    history = History(workspace)
    batches: dict[int, str] = {}
    others: dict[int, str] = {}
    for day in range(6):
        others[day] = history.receive("vendor-a", day)
        history.admit(others[day])
        batches[day] = history.receive("vendor-x", day)
        history.judge(batches[day])
        history.admit(batches[day])
        old = [others[day - 1]] if day else []
        old += [batches[day - 3]] if day >= 3 else []
        if old:
            history.recall(dict.fromkeys(old, 90))
        window = {batches[d]: 90 for d in range(max(0, day - 2), day + 1)}
        history.snapshot(window | {others[day]: 90})
        history.register("churn", str(day + 1))
    # A model of the other source alone.
    history.snapshot({others[0]: 90}, version=1)
    history.register("ltv", "1", snapshot=1)
    return history, batches


def test_the_window_restricts_the_source_hop_only(workspace: Workspace) -> None:
    """A model trained after the window, from batches collected within it, is found."""
    _, batches = _week(workspace)
    window = (START + DAY, START + 2 * DAY)
    trace = lineage.trace_source(workspace, "vendor-x", *window)
    assert trace.batch_ids == [batches[1]]
    assert trace.model_ids == ["churn@2", "churn@3", "churn@4"]
    assert trace.complete
    # They all arrive two days after the day of which they are.
    assert trace.completeness.only_collected == [batches[1]]
    assert trace.completeness.only_received == []
    assert len(trace.completeness.caveats()) == 1
    whole = lineage.trace_source(workspace, "vendor-x")
    assert whole.batch_ids == list(batches.values())
    assert whole.completeness.caveats() == []


def test_the_window_is_half_open_and_knows_time_zones(workspace: Workspace) -> None:
    _, batches = _week(workspace)
    second = timedelta(seconds=1)
    tokyo = timezone(timedelta(hours=9))

    def found(since: datetime | None, until: datetime | None, by: str = "collected") -> list[str]:
        return lineage.trace_source(workspace, "vendor-x", since, until, by=by).batch_ids

    assert found(START + 2 * DAY, START + 3 * DAY) == [batches[2]]
    assert found(START + 2 * DAY - second, START + 3 * DAY + second) == [
        batches[1],
        batches[2],
        batches[3],
    ]
    assert found((START + 2 * DAY).astimezone(tokyo), START + 3 * DAY) == [batches[2]]
    assert found(START + 4 * DAY, None) == [batches[4], batches[5]]
    assert found(None, START + DAY) == [batches[0]]
    assert found(None, None) == list(batches.values())
    # Each arrives two days after its interval began.
    assert found(START + 2 * DAY, START + 3 * DAY, "received") == [batches[0]]
    assert found(START + 2 * DAY, START + 2 * DAY + second, "received") == [batches[0]]
    assert found(START + 2 * DAY + second, START + 3 * DAY, "received") == []
    assert found(None, START + 2 * DAY, "received") == []
    assert found(START + 2 * DAY, START + 3 * DAY, "either") == [batches[0], batches[2]]


def test_a_batch_is_matched_by_what_it_says_and_by_when_it_came(workspace: Workspace) -> None:
    """What asks for one of the two tells of the other all the same."""
    history = History(workspace)
    both = history.receive("vendor-x", 0, received=START + DAY - timedelta(hours=1))
    late = history.receive("vendor-x", 0, received=START + 5 * DAY)
    old = history.receive("vendor-x", -9, received=START + timedelta(hours=1))
    undated = history.receive("vendor-x", 0, collected=False, received=START)
    window = (START, START + DAY)

    def found(by: str) -> dict[str, str]:
        trace = lineage.trace_source(workspace, "vendor-x", *window, by=by)
        matched = {batch.id: batch.matched for batch in trace.batches}
        told = trace.completeness
        assert told.without_interval == [undated]
        assert set(told.only_received) == matched.keys() & {old}
        assert set(told.only_collected) == matched.keys() & {late}
        return matched

    received = {both: "both", old: "received", undated: "received"}
    assert found("received") == received
    assert found("collected") == {both: "both", late: "collected", undated: "received"}
    assert found("either") == received | {late: "collected"}
    with pytest.raises(UsageError, match="not by 'sent'"):
        lineage.trace_source(workspace, "vendor-x", by="sent")


def test_paths_lead_from_a_batch_to_the_model(workspace: Workspace) -> None:
    _, batches = _week(workspace)
    window = (START, START + 2 * DAY)
    trace = lineage.trace_source(workspace, "vendor-x", *window, by="collected", paths=2)
    [model] = [m for m in trace.models if m.id == "churn@2"]
    assert len(model.paths) == 2
    assert {path[0] for path in model.paths} == {batches[0], batches[1]}
    assert all(path[1:] == ["digits@5", "churn@2"] for path in model.paths)
    assert (model.tainted_rows, model.rows) == (180, 1000)
    assert model.registry == "mlflow://models:5000"


def test_a_batch_without_a_collected_interval_counts_by_receipt(workspace: Workspace) -> None:
    history = History(workspace)
    inside = history.receive("vendor-x", 0, collected=False, received=START + DAY)
    later = history.receive("vendor-x", 0, collected=False, received=START + 5 * DAY)
    history.receive("vendor-x", 0, collected=False, received=START - DAY)
    trace = lineage.trace_source(workspace, "vendor-x", START, START + 2 * DAY)
    assert trace.batch_ids == [inside]
    assert trace.batches[0].matched == "received"
    assert trace.completeness.without_interval == [inside]
    assert trace.completeness.unplaced == [later]
    assert not trace.completeness.complete


def test_a_batch_that_claims_to_be_older_than_the_window_is_pointed_at(
    workspace: Workspace,
) -> None:
    """Whoever has the source's key can sign any interval."""
    history = History(workspace)
    backdated = history.receive("vendor-x", 0, received=START + 10 * DAY)
    history.admit(backdated)
    history.register("churn", "1")
    window = (START + 9 * DAY, START + 12 * DAY)
    trace = lineage.trace_source(workspace, "vendor-x", *window)
    assert (trace.batch_ids, trace.model_ids) == ([backdated], ["churn@1"])
    assert trace.batches[0].matched == "received"
    assert trace.completeness.only_received == [backdated]
    assert any("collected outside" in text for text in trace.completeness.caveats())
    said = lineage.trace_source(workspace, "vendor-x", *window, by="collected")
    assert (said.batch_ids, said.complete) == ([], False)


def test_a_window_without_any_batch_says_where_they_are(workspace: Workspace) -> None:
    _week(workspace)
    trace = lineage.trace_source(workspace, "vendor-x", START + 400 * DAY, None)
    assert (trace.batches, trace.models, trace.complete, trace.clear) == ([], [], False, False)
    assert trace.completeness.elsewhere is not None
    assert "6 batches arrived between 2026-05-03 00:00 and 2026-05-08" in (
        trace.completeness.elsewhere
    )
    assert trace.completeness.caveats()[0] == trace.completeness.elsewhere
    add_source(workspace, "quiet", trust_tier=TrustTier.REVIEWED)
    quiet = lineage.trace_source(workspace, "quiet", START, None)
    assert "nothing at all" in str(quiet.completeness.elsewhere)


def test_unsigned_batches_are_named(workspace: Workspace) -> None:
    history = History(workspace)
    batch = history.receive("vendor-x", signature=Signature(SignatureStatus.UNSIGNED))
    history.receive("vendor-x", 1)
    trace = lineage.trace_source(workspace, "vendor-x")
    assert trace.completeness.unsigned == [batch]


def test_a_version_that_nobody_froze_holds_what_was_admitted_till_then(
    workspace: Workspace,
) -> None:
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.admit(batch)
    history.snapshot({batch: 90})
    history.register("frozen", "1")
    other = history.receive("vendor-a")
    history.admit(other)
    history.register("loose", "1")
    history.recall({batch: 90})
    history.register("later", "1")
    trace = lineage.trace_source(workspace, "vendor-x")
    assert trace.model_ids == ["frozen@1", "loose@1"]
    assert (trace.unknown, trace.complete) == ([], True)
    assert lineage.trace_source(workspace, "vendor-a").model_ids == ["loose@1", "later@1"]
    both = lineage.trace_model(workspace, "loose", "1")
    assert {b.id: b.used_rows for b in both.batches} == {batch: 90, other: 90}
    assert both.complete
    left = lineage.trace_model(workspace, "later", "1")
    assert (left.batch_ids, left.complete) == ([other], True)


def test_a_recalled_batch_is_no_longer_in_later_models(workspace: Workspace) -> None:
    history = History(workspace)
    bad, good = history.receive("vendor-x"), history.receive("vendor-a")
    history.admit(bad)
    history.admit(good)
    history.snapshot({bad: 90, good: 90})
    model = history.register("churn", "1")
    history.recall({bad: 90}, (model,))
    history.snapshot({good: 90})
    history.register("churn", "2")
    trace = lineage.trace_source(workspace, "vendor-x")
    assert trace.model_ids == ["churn@1"]
    assert trace.batches[0].recalled_rows == 90
    [recall] = trace.recalls
    assert (recall.batches, recall.models, recall.actor) == ({bad: 90}, ["churn@1"], JANE.id)
    [step] = trace.retrain
    assert (step.affected, step.retrain, step.last_clean) == (["1"], False, "2")


def test_the_plan_names_what_to_retrain_and_where_to_roll_back(workspace: Workspace) -> None:
    history = History(workspace)
    batches = [history.receive("vendor-x", day) for day in range(6)]
    for number, batch in enumerate(batches, start=1):
        history.admit(batch)
        history.register("churn", str(number))
    trace = lineage.trace_source(workspace, "vendor-x", START + 3 * DAY, None, by="collected")
    [step] = trace.retrain
    assert (step.model, step.affected, step.newest) == ("churn", ["4", "5", "6"], "6")
    assert step.retrain
    assert step.last_clean == "3"
    assert step.exclude == batches[3:]


def test_nobody_is_sent_back_to_what_an_earlier_recall_condemned(workspace: Workspace) -> None:
    """Version 1 learned from what was taken back; 2 did not, and 3 is what is asked about."""
    history = History(workspace)
    bad, good, later = (history.receive(f"vendor-{x}") for x in "xya")
    history.admit(bad)
    history.register("churn", "1")
    history.recall({bad: 90})
    history.admit(good)
    history.register("churn", "2")
    history.admit(later)
    history.register("churn", "3")
    [step] = lineage.trace_source(workspace, "vendor-a").retrain
    assert (step.affected, step.last_clean) == (["3"], "2")
    [step] = lineage.trace_source(workspace, "vendor-y").retrain
    assert (step.affected, step.last_clean) == (["2", "3"], None)


def test_who_let_it_through_under_which_policy(workspace: Workspace) -> None:
    history = History(workspace)
    batch, other = history.receive("vendor-x"), history.receive("vendor-a")
    history.judge(other)
    history.judge(batch)
    history.admit(batch)
    history.decide(batch)
    history.admit(batch, 3, part="publication-1", case="case-1")
    trace = lineage.trace_batch(workspace, batch)
    assert [(d.what, d.actor, d.records) for d in trace.decisions] == [
        ("HOLD_RECORDS", "policy:digits", 10),
        ("ADMIT", "policy:digits", 90),
        ("RELEASE", JANE.id, 3),
        ("PUBLISH", JANE.id, 3),
    ]
    assert trace.decisions[0].policy_sha256 == POLICY.sha256
    assert all(decision.batch == batch for decision in trace.decisions)


def test_a_held_batch_reaches_nothing(workspace: Workspace) -> None:
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.judge(batch, held=100)
    trace = lineage.trace_batch(workspace, batch)
    assert (trace.model_ids, trace.snapshots, trace.retrain) == ([], [], [])
    assert trace.batches[0].used_rows is None


def test_a_model_is_traced_back_to_sources(workspace: Workspace) -> None:
    _, batches = _week(workspace)
    trace = lineage.trace_model(workspace, "churn", "3")
    assert trace.model_ids == ["churn@3"]
    assert [b for b in trace.batch_ids if "vendor-x" in b] == [batches[0], batches[1], batches[2]]
    assert [(s.source, s.batches, s.used_rows) for s in trace.sources] == [
        ("vendor-x", 3, 270),
        ("vendor-a", 1, 90),
    ]
    assert trace.models[0].paths
    assert all(path[-1] == "churn@3" for path in trace.models[0].paths)
    assert trace.retrain == []


def test_data_used_for_evaluation_alone_is_told_apart(workspace: Workspace) -> None:
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.admit(batch)
    history.snapshot({batch: 90})
    history.register("churn", "1", purpose="eval")
    trace = lineage.trace_batch(workspace, batch)
    assert (trace.models, trace.retrain) == ([], [])
    assert [(model.id, model.roles) for model in trace.evaluated] == [("churn@1", ["EVAL"])]
    assert (trace.complete, trace.clear) == (True, False)
    history.register("churn", "2")
    after = lineage.trace_batch(workspace, batch)
    assert after.model_ids == ["churn@2"]
    assert [model.id for model in after.evaluated] == ["churn@1"]


def test_questions_that_make_no_sense_are_refused(workspace: Workspace) -> None:
    _week(workspace)
    with pytest.raises(NotFoundError, match="vendor-q"):
        lineage.trace_source(workspace, "vendor-q")
    with pytest.raises(UsageError, match="time zone"):
        lineage.trace_source(workspace, "vendor-x", datetime(2026, 5, 1))
    with pytest.raises(UsageError, match="empty"):
        lineage.trace_source(workspace, "vendor-x", START, START)
    with pytest.raises(NotFoundError, match="no batch"):
        lineage.trace_batch(workspace, "vendor-x/none")
    with pytest.raises(NotFoundError, match="there is: churn@6, churn@5"):
        lineage.trace_model(workspace, "churn", "99")
    with pytest.raises(UsageError, match="not a record"):
        lineage.trace_record(workspace, "vendor-x/none")


def test_a_registered_source_without_batches_has_an_empty_trace(workspace: Workspace) -> None:
    add_source(workspace, "quiet", trust_tier=TrustTier.REVIEWED)
    trace = lineage.trace_source(workspace, "quiet")
    assert (trace.batches, trace.models) == ([], [])
    assert trace.completeness.complete
    assert trace.clear


def _files(workspace: Workspace, batch: str, records: list[str]) -> list[DataFile]:
    """Data files of the dataset with these records of a batch."""
    schema = pa.schema([("_lazaretto_record", pa.string())])
    rows = pa.RecordBatch.from_pydict({"_lazaretto_record": records}, schema)
    return write_rows(
        workspace.store, "digits", " ".join(records), batch, "cleared", schema, [rows]
    )


def _snapshot(history: History, version: int, files: list[DataFile]) -> None:
    """A snapshot on record, and the row by which it is found."""
    rows = sum(file.rows for file in files)
    history.snapshot({file.batch: file.rows for file in files}, version, files)
    with history.workspace.catalog.transaction() as connection:
        found = newest(connection, "dataset:digits", ["snapshot_taken"])
        assert found is not None
        assert isinstance(found.event, events.SnapshotTaken)
        if connection.scalar(sa.select(tables.dataset.c.name)) is None:
            connection.execute(tables.dataset.insert().values(name="digits", created_at=START))
        connection.execute(
            tables.snapshot.insert().values(
                dataset="digits", version=version, rows=rows, digest=found.event.digest, at=START,
                seq=found.seq, entry=found.hash,
            )
        )  # fmt: skip


def test_a_record_is_followed_only_where_it_really_is(workspace: Workspace) -> None:
    """The data files themselves are asked: one version holds the record, the next does not."""
    history = History(workspace)
    batch = history.receive("vendor-x")
    versions = {1: _files(workspace, batch, ["r1", "r2"]), 2: _files(workspace, batch, ["r2"])}
    history.admit(batch, 2)
    for version, files in versions.items():
        if version == 2:
            history.recall({batch: 1})
        _snapshot(history, version, files)
        history.register("churn", str(version), snapshot=version)
    other = history.receive("vendor-a")
    history.admit(other, 1)
    history.admit(batch, 1, part="publication-1")  # a version whose row is not there
    history.register("lost", "1")
    trace = lineage.trace_record(workspace, f"{batch}#r1")
    assert trace.model_ids == ["churn@1", "lost@1"]
    assert trace.record is not None
    assert trace.record.present_in == ["digits@1"]
    assert trace.record.unchecked == ["digits@4"]
    assert not trace.completeness.complete
    assert not trace.record.held
    both = lineage.trace_record(workspace, f"{batch}#r2")
    assert both.model_ids == ["churn@1", "churn@2", "lost@1"]
    Path(workspace.store.uri(versions[2][0].file.path)).write_bytes(b"PAR1")
    changed = lineage.trace_record(workspace, f"{batch}#r1")
    assert changed.model_ids == ["churn@1", "churn@2", "lost@1"]
    assert changed.record is not None
    assert changed.record.unchecked == ["digits@2", "digits@4"]


def test_a_record_is_in_snapshots_that_build_on_one_that_holds_it(workspace: Workspace) -> None:
    """What a snapshot does not name is as it was in the one before, and so are its records."""
    history = History(workspace)
    batches = [history.receive("vendor-x", day) for day in range(38)]
    files = {batch: _files(workspace, batch, ["r1", f"own {batch}"]) for batch in batches}
    files[batches[0]] = _files(workspace, batches[0], ["r1", "r2"])
    for number, batch in enumerate(batches, start=1):
        history.admit(batch, 2)
        if number in (1, 35, 36, 38):  # nobody froze version 37, but it holds what 36 held
            _snapshot(history, number, [f for known in batches[:number] for f in files[known]])
        if number >= 35:
            history.register("churn", str(number), snapshot=number)
    files[batches[0]] = _files(workspace, batches[0], ["r2"])
    history.recall({batches[0]: 1})
    _snapshot(history, 39, [file for batch in batches for file in files[batch]])
    history.register("churn", "39")
    assert [taken.event.since for taken in history.taken.values()] == [None, 1, 35, None, 38]
    trace = lineage.trace_record(workspace, f"{batches[0]}#r1")
    assert trace.record is not None
    assert trace.record.present_in == [f"digits@{number}" for number in range(1, 39)]
    assert trace.model_ids == [f"churn@{number}" for number in range(35, 39)]
    assert trace.completeness.complete
    # The version that changed the batch cannot be read: it and what builds on it may hold it.
    Path(workspace.store.uri(files[batches[0]][0].file.path)).write_bytes(b"PAR1")
    trace = lineage.trace_record(workspace, f"{batches[0]}#r1")
    assert trace.record is not None
    assert trace.record.unchecked == ["digits@39"]
    assert trace.model_ids[-1] == "churn@39"


def test_a_record_that_its_batch_does_not_have_is_not_found(workspace: Workspace) -> None:
    """Its versions were read, and the delivered copy is asked at last."""
    history = History(workspace)
    batch = history.receive("vendor-x")
    history.admit(batch, 1)
    _snapshot(history, 1, _files(workspace, batch, ["r1"]))
    history.register("churn", "1")
    trace = lineage.trace_record(workspace, f"{batch}#typo")
    # The copy of this history is not there: whether it has such a record cannot be told.
    assert trace.record is not None
    assert any("whether this one" in text for text in trace.record.unchecked)
    assert (trace.model_ids, trace.complete) == ([], False)


def test_an_incident_goes_on_record(workspace: Workspace) -> None:
    _, batches = _week(workspace)
    trace = lineage.trace_source(workspace, "vendor-x", START + DAY, START + 2 * DAY)
    seq = lineage.record_incident(workspace, trace)
    with workspace.catalog.read() as connection:
        [entry] = entries(connection, after=seq - 1)
    assert isinstance(entry.event, events.IncidentTraced)
    assert entry.event.batches == [batches[1]]
    assert entry.event.models == ["churn@2", "churn@3", "churn@4"]
    assert entry.event.since == START + DAY
    with pytest.raises(UsageError, match="no incident"):
        lineage.record_incident(workspace, lineage.trace_model(workspace, "churn", "1"))


def test_the_answer_is_json(workspace: Workspace) -> None:
    _week(workspace)
    trace = lineage.trace_source(workspace, "vendor-x", START, START + DAY)
    told = json.loads(json.dumps(trace.to_json()))
    assert told["question"]["since"] == "2026-05-01T00:00:00Z"
    assert [model["id"] for model in told["models"]] == trace.model_ids
    assert told["completeness"]["caveats"] == trace.completeness.caveats()
    assert (told["unknown"], told["evaluated"]) == ([], [])
    assert datetime.fromisoformat(told["at"]).astimezone(UTC) == trace.at


def _dump(workspace: Workspace) -> tuple[list[object], list[object]]:
    with workspace.catalog.read() as connection:
        names = {
            row.id: (row.namespace, row.name, row.version)
            for row in connection.execute(sa.select(lineage_node))
        }
        nodes = [
            tuple(row)[1:] for row in connection.execute(sa.select(lineage_node).order_by("id"))
        ]
        edges = sorted(
            (names[row.src], names[row.dst], row.run, row.role, row.rows)
            for row in connection.execute(sa.select(lineage_edge))
        )
    return nodes, list(edges)


def test_indexing_again_from_the_beginning_changes_nothing(workspace: Workspace) -> None:
    """The index can be rebuilt, and a process killed before its cursor moved does no harm."""
    history, _ = _week(workspace)
    assert lineage.catch_up(workspace) == len(history.seqs)
    assert lineage.catch_up(workspace) == 0
    before = _dump(workspace)
    with workspace.catalog.transaction() as connection:
        connection.execute(
            projection.update().where(projection.c.name == index.CURSOR).values(seq=0)
        )
    assert lineage.catch_up(workspace) == len(history.seqs)
    assert _dump(workspace) == before


def test_a_store_opened_by_another_path_has_the_same_batches(
    sqlite_workspace: Workspace, sqlite_catalog: str, tmp_path: Path
) -> None:
    history = History(sqlite_workspace)
    batch = history.receive("vendor-x")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "store", target_is_directory=True)
    moved = open_workspace(catalog_url=sqlite_catalog, store=tmp_path / "elsewhere")
    history.admit(batch)
    history.snapshot({batch: 90})
    history.register("churn", "1")
    assert lineage.trace_source(moved, "vendor-x").model_ids == ["churn@1"]
    assert lineage.trace_source(moved, "vendor-x").batches[0].signature == "VERIFIED"


def test_a_large_graph_gives_the_right_answer(sqlite_workspace: Workspace) -> None:
    """500 batches in 501 versions, 125,000 times; told as differences, and 500 models."""
    history = History(sqlite_workspace)
    with history.at_once():
        batches = [history.receive(f"vendor-{day % 4}", day) for day in range(500)]
        for version, batch in enumerate(batches, start=1):
            # Batch 100 is in the versions 101 to 150 alone.
            if version == 151:
                history.recall({batches[100]: 90})
            history.admit(batch)
            history.register("churn", str(version))
    with sqlite_workspace.catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(lineage_edge)) == 0
    window = (START + 100 * DAY, START + 101 * DAY)
    trace = lineage.trace_source(sqlite_workspace, "vendor-0", *window, by="collected")
    with sqlite_workspace.catalog.read() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(lineage_edge))
    assert count is not None
    assert count < 1_500
    assert trace.batch_ids == [batches[100]]
    assert trace.model_ids == [f"churn@{version}" for version in range(101, 151)]
    assert trace.retrain[0].last_clean == "500"
