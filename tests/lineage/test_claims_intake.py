"""Taking in events: what is kept, what is refused, what it may cost, and what is not believed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from foreign_events import dataset, event, model, partitions, write_lines
from foreign_site import Said, Site, may_be
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_history import DAY, START, History
from listening import web
from many import examples

from lazaretto import lineage
from lazaretto.errors import NotFoundError
from lazaretto.ledger import events
from lazaretto.storage.tables import lineage_claim, lineage_link
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

A, B, NET = dataset("a", 1), dataset("b", 1), model("net", 1)


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """One vendor's batch is in version 1 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver()
    return site


def _count(workspace: Workspace, table: sa.Table) -> int:
    with workspace.catalog.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_the_same_event_twice_is_one_claim(site: Site) -> None:
    """In one file, in another one, and with what does not count said in other words."""
    one = event([site.table(1)], [NET])
    first = site.feed(one, one, event([A], [B]))
    assert (first.events, first.new, first.runs, first.edges, first.ours) == (3, 2, 2, 4, 0)
    again = dict(reversed(one.items())) | {"schemaURL": "https://example.org/other.json"}
    second = site.feed(again, one)
    assert (second.events, second.new, second.runs, second.edges) == (2, 0, 0, 0)
    assert _count(site.workspace, lineage_claim) == 2
    assert site.source() == Said(["net@1"])


def test_events_that_are_sent_here_are_kept_with_who_sent_them(site: Site) -> None:
    bad = event([], []) | {"eventType": "DONE"}
    taken = lineage.take(site.workspace, [event([site.table(1)], [NET]), bad], taken_from="ci")
    assert (taken.events, taken.new) == (2, 1)
    assert taken.skipped == ["line 2: not a run event with an eventType"]
    with site.workspace.catalog.read() as connection:
        assert connection.scalar(sa.select(lineage_claim.c.taken_from)) == "ci"
    assert site.source() == Said(["net@1"])


def test_forged_events_change_nothing_that_the_ledger_tells(site: Site) -> None:
    site.history.register("churn", "1")
    source = {"sourceId": "innocent", "signature": {"status": "VERIFIED"}}
    innocent = dataset("innocent", "b1", lazaretto_source=source)
    churn = model("churn", 1)
    done = site.feed(
        event([innocent], [site.table(1)]),
        event([], [site.table(1)]),
        event([innocent], [site.batch("vendor")]),
        event([], [site.table(None, lifecycleStateChange={"lifecycleStateChange": "DROP"})]),
        event([innocent], [churn]),
    )
    assert done.ours == 4
    assert site.source() == Said(["churn@1"])
    # What others tell of a model adds to it: it may be true, and hides nothing.
    own = lineage.trace_model(site.workspace, "churn", "1")
    assert sorted(own.batch_ids) == ["b1", site.batches["vendor"]]
    assert {batch.id: batch.used_rows for batch in own.batches} == {
        "b1": None,
        site.batches["vendor"]: 90,
    }
    assert lineage.trace_source(site.workspace, "innocent").model_ids == ["churn@1"]


def test_forged_events_that_come_before_the_ledger_change_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    site = Site(workspace, tmp_path)
    site.feed(event([dataset("lie", 1)], [site.table(1)]), event([site.table(1)], [NET]))
    site.deliver()
    site.history.register("churn", "1")
    assert site.source() == Said(["churn@1", "net@1"])
    trace = lineage.trace_model(workspace, "churn", "1")
    assert (trace.batch_ids, trace.complete) == ([site.batches["vendor"]], True)


def test_what_is_its_own_input_comes_to_an_end(site: Site) -> None:
    site.feed(event([A], [B]), event([B], [A]), event([A, site.table(1)], [A, NET]))
    assert site.source() == Said(["net@1"])


def test_our_own_events_rebuild_the_same_answers_elsewhere(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Events alone carry the graph: another site that takes them in misses no model."""
    history = History(workspace)
    batches = [history.receive("vendor-x", day) for day in range(6)]
    for day, batch in enumerate(batches):
        history.judge(batch)
        history.admit(batch)
        if day >= 3:
            history.recall({batches[day - 3]: 90})
        history.snapshot({batches[d]: 90 for d in range(max(0, day - 2), day + 1)})
        history.register("churn", str(day))
    lineage.flush(workspace)
    elsewhere = open_workspace(
        catalog_url=f"sqlite:///{tmp_path / 'other.db'}", store=tmp_path / "other"
    )
    done = lineage.ingest(elsewhere, workspace.store.uri("lineage/events.jsonl"))
    assert done.skipped == []
    for by in ("collected", "received"):
        window = (START + DAY, START + 4 * DAY)
        ours = lineage.trace_source(workspace, "vendor-x", *window, by=by)
        theirs = lineage.trace_source(elsewhere, "vendor-x", *window, by=by)
        assert theirs.batch_ids == ours.batch_ids
        assert set(ours.model_ids) <= {*theirs.model_ids, *(each.id for each in theirs.unknown)}
        assert {batch.signature for batch in theirs.batches} == {"CLAIMED"}
    elsewhere.catalog.engine.dispose()


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
        ({"outputs": [dataset("x", "v" * 256)]}, "datasetVersion"),
        ({"outputs": [dataset("x", 1, "urn:lazaretto:run")]}, "urn:lazaretto:"),
    ],
)
def test_hostile_events_are_skipped_and_told(
    sqlite_workspace: Workspace, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    good = event([A], [B])
    file = write_lines(tmp_path / "events.jsonl", good | change, good)
    done = lineage.ingest(sqlite_workspace, file)
    assert (done.events, done.new, done.edges) == (2, 1, 2)
    [skipped] = done.skipped
    assert skipped.startswith("line 1: ")
    assert why in skipped


def test_a_missing_file_is_named(sqlite_workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        lineage.ingest(sqlite_workspace, tmp_path / "nothing.jsonl")


def test_a_run_of_very_many_pairs_costs_no_more_than_its_bytes(site: Site) -> None:
    """Forty thousand pairs are some hundred links, not their product."""
    names = [f"p{number}" for number in range(200)]
    bomb = event(
        [partitions(dataset("clicks"), "input", *names), site.table(1)],
        [partitions(dataset("features"), "output", *names)],
    )
    done = site.feed(bomb, event([partitions(dataset("features"), "input", "p7")], [NET], at=60))
    assert (done.edges, done.skipped) == (401 + 2, [])
    assert _count(site.workspace, lineage_link) < 4 * 401
    assert site.source() == Said(["net@1"])
    assert site.feed(bomb).new == 0


def test_too_many_partitions_and_versions_are_refused(site: Site) -> None:
    many = [f"p{number}" for number in range(10_001)]
    sides = [partitions(dataset(n), "input", *many[1:]) for n in "abcdefghijk"]
    done = site.feed(
        event([partitions(dataset("a"), "input", *many)], [B]), event(sides, []), event([A], [B])
    )
    assert done.new == 1
    assert done.skipped == [
        "line 1: a subset of more than 10000 partitions",
        "line 2: an event of more than 100,000 versions of datasets",
    ]


def test_runs_that_never_end_are_kept_as_what_they_are(site: Site) -> None:
    site.feed(*(event([], [], state="START") for _ in range(2_000)))
    lost = str(uuid.uuid4())
    site.feed(event([site.table(1)], [], state="START", run=lost, job="j"))
    assert site.source() == may_be(f"run j ({lost})")


def test_a_name_of_an_event_is_never_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The gate's credentials sign for nobody's bucket: a traced record asks our own files alone."""
    with web() as seen:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{seen.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "of-the-gate",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        }.items():
            monkeypatch.setenv(name, value)
        table = dataset("a/table", 1, "s3://somebody-elses-bucket")
        site.feed(event([site.batch("vendor")], [table]), event([table], [NET]))
        trace = lineage.trace_record(site.workspace, f"{site.batches['vendor']}#r1")
        assert trace.model_ids == ["net@1"]
        assert seen.requests == []


def test_a_key_that_was_revoked_before_the_delivery_is_told(site: Site) -> None:
    site.history.register("net", "1")
    assert lineage.trace_source(site.workspace, "vendor").batches[0].signature == "VERIFIED"
    site.history.write(events.KeyRevoked("vendor", "k1", START + 30 * DAY, "lost"))
    assert lineage.trace_source(site.workspace, "vendor").batches[0].signature == "VERIFIED"
    site.history.write(events.KeyRevoked("vendor", "k1", START - DAY, "stolen"))
    trace = lineage.trace_source(site.workspace, "vendor")
    assert trace.batches[0].signature == "REVOKED_KEY"
    assert trace.completeness.unsigned == [site.batches["vendor"]]


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
_KEYS = ("eventType", "eventTime", "run", "job", "producer", "inputs", "outputs")
_FACETS = ("version", "symlinks", "lifecycleStateChange", "lazaretto_source", "lazaretto_artifact")


@settings(
    max_examples=examples(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    change=st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=3),
    facets=st.dictionaries(st.sampled_from(_FACETS), _JSON, max_size=2),
)
def test_no_event_can_make_it_crash(
    sqlite_workspace: Workspace, tmp_path: Path, change: dict[str, Any], facets: dict[str, Any]
) -> None:
    written = A | {"facets": facets}
    file = write_lines(tmp_path / "events.jsonl", event([A], [B, written]) | change)
    assert lineage.ingest(sqlite_workspace, file).events == 1
    lineage.check(file)
