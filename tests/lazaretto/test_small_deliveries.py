"""A feed of deliveries that are each too small: who waits, who is judged, and by what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.errors import ChangedFileError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened, StoredFileChanged
from lazaretto.registry.changes import compare_versions
from lazaretto.registry.fit_version import fit_version
from lazaretto.registry.references import find_reference
from lazaretto.storage import tables
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.alike

QUIET = {"tests": dict.fromkeys(("mmd", "class_spread", "near_duplicates"), "off")}


def _policy(**small: object) -> Mapping[str, object]:
    screen = {
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
        "batch": QUIET,
        "small_batches": small,
    }
    return {"screen": screen}


@pytest.fixture
def feed(yard: Yard) -> Yard:
    """A yard whose reference of 900 rows can judge batches from 41 records at 5 %."""
    return replace(yard, policy=make_policy(**_policy()))


@pytest.fixture
def sqlite_feed(sqlite_yard: Yard) -> Yard:
    return replace(sqlite_yard, policy=make_policy(**_policy()))


def _rows(number: int, count: int = 20, odd: int = 0) -> pa.Table:
    """A clean delivery; the first records are far from everything trusted, each another way."""
    rows = blobs(count, seed=100 + number, prefix=f"d{number}-")
    vectors = np.stack(rows["vector"].to_numpy())
    random = np.random.default_rng(number)
    vectors[:odd] = random.normal(size=(odd, 8)) * 40
    kind = rows.schema.field("vector").type
    return rows.set_column(2, "vector", pa.array(list(vectors), kind))


def _ingest(feed: Yard, number: int, source: str = "vendor-a", **options: int) -> stages.Ingestion:
    path = feed.deliver(f"{source}-{number}", _rows(number, **options))
    return stages.ingest(feed.workspace, path, source, feed.policy)


def _screened(feed: Yard, batch: str) -> BatchScreened:
    with feed.workspace.catalog.read() as connection:
        found = [
            entry.event
            for entry in entries(
                connection, subject=f"batch:{batch}", kinds=["batch_screened"], newest_first=True
            )
        ]
    assert isinstance(found[0], BatchScreened)
    return found[0]


def test_the_first_wait_for_review_and_the_others_are_judged_together(feed: Yard) -> None:
    done = [_ingest(feed, number) for number in range(6)]
    verdicts = [one.judgement.verdict for one in done]
    assert verdicts == [Verdict.ABSTAIN] * 2 + [Verdict.PASS] * 4
    assert [one.admission is not None for one in done] == [False] * 2 + [True] * 4
    first, third = done[0].judgement, done[2].judgement
    assert first.case is not None
    (note,) = [note for note in first.notes if "cannot judge" in note]
    assert "from 41 records at 5 %" in note
    assert "have 0 records so far" in note
    assert "have 20 records so far" in " ".join(done[1].judgement.notes)
    assert any(note.startswith("Judged together with 40 records of 2") for note in third.notes)
    said = _screened(feed, third.batch)
    assert said.pool is not None
    assert said.smallest == 41
    assert [one.batch for one in said.pool.members] == [done[1].judgement.batch, first.batch]
    assert said.pool.together == 2
    last = _screened(feed, done[5].judgement.batch)
    assert last.pool is not None
    assert (last.pool.together, len(last.pool.members)) == (2, 5)


def test_what_was_decided_stands_when_a_delivery_is_done_again(feed: Yard) -> None:
    done = [_ingest(feed, number) for number in range(4)]
    for number in (0, 2, 3):
        again = _ingest(feed, number)
        assert again.judgement == done[number].judgement
        assert again.seqs == done[number].seqs
    assert len(feed.ids()) == 40


def test_a_screening_done_again_before_the_gate_is_of_what_is_there_then(feed: Yard) -> None:
    _ingest(feed, 0)
    waiting = feed.receive("waiting", _rows(1)).id
    for stage in (stages.validate, stages.embed):
        stage(feed.workspace, waiting, feed.policy)
    first = stages.screen(feed.workspace, waiting, feed.policy)
    assert stages.screen(feed.workspace, waiting, feed.policy).seq == first.seq
    assert first.said.verdict is Verdict.ABSTAIN
    _ingest(feed, 2)
    second = stages.screen(feed.workspace, waiting, feed.policy)
    assert second.seq > first.seq
    assert second.said.verdict is Verdict.PASS
    assert stages.gate(feed.workspace, waiting, feed.policy).verdict is Verdict.PASS


def test_the_first_are_judged_on_request_once_there_are_enough(feed: Yard) -> None:
    done = [_ingest(feed, number) for number in range(3)]
    early = done[0].judgement.batch
    again = stages.rejudge(feed.workspace, early, feed.policy, reason="enough now")
    assert again.verdict is Verdict.PASS
    assert stages.admit(feed.workspace, early).rows == 20
    said = _screened(feed, early)
    assert said.pool is not None
    assert [one.batch for one in said.pool.members] == [
        done[1].judgement.batch,
        done[2].judgement.batch,
    ]


def test_split_poison_is_held_and_what_got_by_is_named(sqlite_feed: Yard) -> None:
    for number in range(4):
        _ingest(sqlite_feed, number)
    split = [_ingest(sqlite_feed, number, odd=1).judgement for number in range(4, 8)]
    assert [one.held for one in split] == [0, 0, 1, 1]
    assert split[2].verdict is Verdict.HOLD_RECORDS
    told = " ".join(split[2].notes)
    assert f"{split[0].batch}#d4-0" in told
    assert f"{split[1].batch}#d5-0" in told


def test_clean_rows_before_it_do_not_hide_poison(sqlite_feed: Yard) -> None:
    """Swamped with clean deliveries, small and large, a batch of poison is held all the same."""
    for number in range(8):
        _ingest(sqlite_feed, number, count=39)
    large = _ingest(sqlite_feed, 8, count=600).judgement
    assert large.verdict is Verdict.PASS
    assert _screened(sqlite_feed, large.batch).pool is None
    bad = _ingest(sqlite_feed, 9, odd=3).judgement
    assert bad.held >= 3
    pool = _screened(sqlite_feed, bad.batch).pool
    assert pool is not None
    assert large.batch not in [one.batch for one in pool.members]
    assert pool.together == 1


def test_only_the_same_source_within_the_window_counts(sqlite_feed: Yard) -> None:
    for number in range(3):
        _ingest(sqlite_feed, number)
    other = _ingest(sqlite_feed, 3, source="vendor-b").judgement
    assert other.verdict is Verdict.ABSTAIN
    assert _ingest(sqlite_feed, 4).judgement.verdict is Verdict.PASS
    few = replace(sqlite_feed, policy=make_policy(**_policy(batches=1)))
    register_policy(few.workspace, few.policy, reason="fewer")
    for number in (5, 6, 7):
        assert _ingest(few, number).judgement.verdict is Verdict.ABSTAIN
    alone = replace(sqlite_feed, policy=make_policy(**_policy(mode="alone")))
    register_policy(alone.workspace, alone.policy, reason="alone")
    for number in (8, 9, 10):
        judged = _ingest(alone, number).judgement
        assert judged.verdict is Verdict.ABSTAIN
        assert "small deliveries" not in " ".join(judged.notes)


def test_what_was_received_long_ago_does_not_count(sqlite_feed: Yard) -> None:
    workspace, policy, start = sqlite_feed.workspace, sqlite_feed.policy, datetime.now(UTC)
    verdicts = []
    for number, days in enumerate((0, 1, 40, 41, 42)):
        path = sqlite_feed.deliver(f"day-{days}", _rows(number))
        at = start + timedelta(days=days)
        batch = stages.receive(workspace, path, "vendor-a", policy=policy, now=at).id
        for stage in (stages.validate, stages.embed, stages.screen):
            stage(workspace, batch, policy)
        verdicts.append(stages.gate(workspace, batch, policy).verdict)
    assert verdicts == [Verdict.ABSTAIN] * 4 + [Verdict.PASS]


def test_another_reference_starts_anew_and_a_comparison_pools_as_well(sqlite_feed: Yard) -> None:
    for number in range(5):
        _ingest(sqlite_feed, number)
    workspace, policy = sqlite_feed.workspace, sqlite_feed.policy
    old = find_reference(workspace, "blobs")
    new, _ = fit_version(workspace, blobs(900, seed=2), policy, version="2", promote=False)
    changes = compare_versions(workspace, old, new, policy, last=3)
    assert [(one.old, one.new) for one in changes] == [(Verdict.PASS, Verdict.PASS)] * 3
    fit_version(workspace, blobs(900, seed=3), policy, version="3", promote=True)
    assert _ingest(sqlite_feed, 5).judgement.verdict is Verdict.ABSTAIN


def test_a_changed_file_of_a_companion_stops_the_screening(feed: Yard) -> None:
    first = _ingest(feed, 0).judgement.batch
    _ingest(feed, 1)
    scores = Path(feed.workspace.store.root) / _screened(feed, first).scores.path
    scores.write_bytes(scores.read_bytes()[:-1])
    with pytest.raises(ChangedFileError):
        _ingest(feed, 2)
    with feed.workspace.catalog.read() as connection:
        kinds = [StoredFileChanged.kind]
        assert [entry.event for entry in entries(connection, kinds=kinds)]


def test_a_batch_moved_to_another_source_in_the_catalog_is_no_companion(feed: Yard) -> None:
    from lazaretto.errors import ChangedStateError

    _ingest(feed, 0, source="vendor-b")
    with feed.workspace.catalog.engine.begin() as connection:
        connection.execute(sa.update(tables.batch).values(source="vendor-a"))
    with pytest.raises(ChangedStateError):
        _ingest(feed, 1)


def test_unusable_records_and_tiny_batches(sqlite_feed: Yard) -> None:
    """A batch of which nothing can be scored, and one that is judged alone at once."""
    rows = _rows(1, count=12)
    kind = rows.schema.field("vector").type
    nothing = rows.set_column(2, "vector", pa.array([[float("inf")] * 8] * 12, kind))
    path = sqlite_feed.deliver("nothing", nothing)
    done = stages.ingest(sqlite_feed.workspace, path, "vendor-a", sqlite_feed.policy)
    assert done.judgement.verdict is Verdict.HOLD_BATCH
    tiny = _ingest(sqlite_feed, 2, count=6).judgement
    assert tiny.verdict is Verdict.PASS
    said = _screened(sqlite_feed, tiny.batch)
    assert said.pool is not None
    assert said.pool.together == 0
