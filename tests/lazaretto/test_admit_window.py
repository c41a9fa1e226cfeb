"""`admit.window`: small batches that are ready enter with one version, and stay what they are."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pages
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from many import in_full, some
from yard import Yard, blobs, make_policy

from lazaretto import lineage, stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset import group
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import open_dataset
from lazaretto.errors import AdmissionRefusedError, ChangedStateError
from lazaretto.health import check, maintain, rebuild, reconcile
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted
from lazaretto.ledger.verify import verify
from lazaretto.policy import Policy
from lazaretto.quarantine import review
from lazaretto.sources.registry import revoke_source
from lazaretto.storage import tables
from lazaretto.values import Action, Member

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.alike
WINDOW = {"window": {"seconds": 3600, "batches": 4}}
in_time = pytest.mark.skipif(not in_full(), reason="it takes longer: LAZARETTO_LONG=1")


@pytest.fixture
def open_yard(yard: Yard) -> Yard:
    """A yard whose policy takes others along, with a dataset that has its first batch."""
    yard = replace(yard, policy=make_policy(admit=WINDOW))
    yard.admit("first", blobs(30, seed=3, prefix="first"))
    return yard


def _judged(yard: Yard, names: str = "abc", **more: Any) -> list[str]:
    return [
        yard.judge(name, blobs(30, seed=number, prefix=name), **more).batch
        for number, name in enumerate(names, 7)
    ]


def _admitted(yard: Yard) -> list[BatchAdmitted]:
    with yard.workspace.catalog.read() as connection:
        found = [one.event for one in entries(connection, kinds=[BatchAdmitted.kind])]
    return [event for event in found if isinstance(event, BatchAdmitted)]


def _sound(yard: Yard) -> None:
    assert verify(yard.workspace).ok
    assert reconcile(yard.workspace, apply=False).datasets == []
    assert check(yard.workspace, deep=True).findings == []
    assert max(Counter(yard.ids()).values()) == 1


def test_who_admits_first_takes_along_what_is_ready(open_yard: Yard) -> None:
    yard = open_yard
    batches = _judged(yard)
    mine = stages.admit(yard.workspace, batches[1])
    events = _admitted(yard)[1:]
    assert [event.batch for event in events] == [batches[1], batches[0], batches[2]]
    assert [(e.version, e.place, e.together) for e in events] == [(2, 1, 3), (2, 2, 3), (2, 3, 3)]
    others = [stages.admit(yard.workspace, batch) for batch in batches]
    assert others[1] == mine
    assert [(one.batch, one.version, one.rows) for one in others] == [(b, 2, 30) for b in batches]
    assert len({seq for one in others for seq in one.seqs}) == 3
    assert len(_admitted(yard)) == 4  # nothing came of asking again
    opened = open_dataset(yard.workspace, "blobs")
    assert (opened.version, len({file.file.path for file in opened.files})) == (2, 2)
    table = DeltaTable(opened.uri)
    assert all(table.transaction_version(f"lazaretto:{b}:cleared") == 1 for b in batches)
    assert yard.ids(1) == sorted(f"first{number}" for number in range(30))
    _sound(yard)


def test_each_batch_of_a_version_is_traced_recalled_and_counted_by_itself(open_yard: Yard) -> None:
    yard = open_yard
    a, b, c = _judged(yard)
    stages.admit(yard.workspace, a)
    (last,) = _judged(yard, "z")
    stages.admit(yard.workspace, last)
    workspace = yard.workspace
    for version in (1, 2, 3):
        stages.snapshot(workspace, "blobs", version=version)
        stages.register_model(workspace, "net", str(version), "blobs", version)
    taken = stages.snapshot(workspace, "blobs", version=2)
    first = next(member.batch for member in taken.members if member.batch not in (a, b, c))
    assert taken.members == sorted((Member(x, 30) for x in (first, a, b, c)), key=lambda m: m.batch)
    for batch, models in ((first, "123"), (a, "23"), (b, "23"), (c, "23"), (last, "3")):
        trace = lineage.trace_batch(workspace, batch)
        assert [model.version for model in trace.models] == list(models)
        assert [one.id for one in trace.batches] == [batch]
    back = lineage.trace_model(workspace, "net", "2")
    assert {one.id for one in back.batches} == {first, a, b, c}
    done = recall(workspace, "blobs", batch=b, reason="the trigger is in it")
    assert (done.records, done.members, done.models) == (30, [Member(b, 30)], ["net@2", "net@3"])
    assert {name[0] for name in yard.ids()} == {"f", "a", "c", "z"}
    assert stages.admit(workspace, b).recalled == done.id
    assert stages.admit(workspace, c).rows == 30
    assert stages.snapshot(workspace, "blobs", version=2) == taken
    _sound(yard)


@in_time
def test_a_version_of_several_is_compacted_pruned_and_rebuilt_as_any(open_yard: Yard) -> None:
    yard = open_yard
    batches = _judged(yard)
    stages.admit(yard.workspace, batches[0])
    keep = make_policy(admit=WINDOW, retention={"replaced_days": 30})
    register_policy(yard.workspace, keep, reason="less to keep")
    late = datetime.now(UTC) + timedelta(days=31)
    maintain(yard.workspace, "blobs", apply=True, now=late)
    opened = open_dataset(yard.workspace, "blobs")
    assert len({file.file.path for file in opened.files}) == 1
    assert Counter({f.batch: f.rows for f in opened.files})[batches[2]] == 30
    before = yard.ids()
    rebuild(yard.workspace, write=True)
    assert yard.ids() == before
    assert len(before) == 120
    _sound(yard)


def test_held_records_of_one_of_them_are_released_later(open_yard: Yard) -> None:
    yard = open_yard
    (a,) = _judged(yard, "a")
    held = yard.judge("h", blobs(60, seed=5, prefix="h", flips=4))
    assert held.held == 4
    stages.admit(yard.workspace, a)
    assert not {f"h{n}" for n in range(4)} & set(yard.ids())
    assert stages.admit(yard.workspace, held.batch).rows == 56
    case = str(held.case)
    review.decide(yard.workspace, case, Action.RELEASE, ids=["h0", "h1"], reason="fine")
    _judged(yard, "k")  # ready, and not taken along by a person who publishes
    assert review.publish(yard.workspace, case).version == 3
    assert {f"h{n}" for n in range(4)} & set(yard.ids()) == {"h0", "h1"}
    assert "k0" not in yard.ids()
    _sound(yard)


@in_time
def test_those_who_admit_at_once_admit_each_batch_once(open_yard: Yard) -> None:
    yard = open_yard
    batches = _judged(yard, "abcdef")
    with ThreadPoolExecutor(len(batches)) as pool:
        done = list(pool.map(lambda batch: stages.admit(yard.workspace, batch), batches))
    assert [one.batch for one in done] == batches
    assert {one.rows for one in done} == {30}
    assert len(yard.ids()) == 7 * 30
    assert all(event.together <= 4 for event in _admitted(yard))
    _sound(yard)


def test_the_page_shows_a_window_and_the_default_is_none(tmp_path: Path) -> None:
    shown = pages.blocks(pages.ROOT / "docs/how-to/scale-out.md")
    (tmp_path / "window.yaml").write_text(next(b.text for b in shown if b.title == "window.yaml"))
    policy = Policy.load(tmp_path / "window.yaml")
    assert policy.admit.window.batches == 20
    assert '"admit"' in policy.says
    assert make_policy().admit.window.batches == 1
    assert '"admit"' not in make_policy().says  # it came later: older policies mean the same


@in_time
def test_without_a_window_each_batch_is_a_version(yard: Yard) -> None:
    yard.admit("first", blobs(30, seed=3, prefix="first"))
    a, b = _judged(yard, "ab")
    assert [stages.admit(yard.workspace, one).version for one in (b, a)] == [2, 3]
    assert {event.together for event in _admitted(yard)} == {1}


ALONE: dict[str, Callable[[], dict[str, Any]]] = {
    "quota": lambda: {"sources": {"require_signature": False, "quota": {"max_share": 0.9}}},
    "no copies": lambda: {
        "cleaning": {"exact_duplicates": {"columns": ["text"], "action": "hold", "across": True}}
    },
}


@pytest.mark.parametrize("name", some(list(ALONE), 2))
def test_what_depends_on_what_others_admit_goes_alone(yard: Yard, name: str) -> None:
    yard = replace(yard, policy=make_policy(admit=WINDOW, **ALONE[name]()))
    rows = [blobs(30, seed=n, prefix=p) for n, p in enumerate("fab", 7)]
    rows = [
        one.set_column(3, "text", pa.array([f"{n} of {p}" for n in range(30)]))
        for one, p in zip(rows, "fab", strict=True)
    ]
    yard.admit("f", rows[0])
    a, b = yard.judge("a", rows[1]).batch, yard.judge("b", rows[2]).batch
    assert [stages.admit(yard.workspace, one).version for one in (b, a)] == [2, 3]


@in_time
def test_the_first_batch_of_a_dataset_goes_alone(yard: Yard) -> None:
    yard = replace(yard, policy=make_policy(admit=WINDOW))
    a, b, c = _judged(yard)
    assert [stages.admit(yard.workspace, one).version for one in (b, a, c)] == [1, 2, 2]


@in_time
def test_what_needs_another_column_goes_alone(yard: Yard) -> None:
    evolve = {"add_columns": True, "extra_columns": "keep"}
    yard = replace(yard, policy=make_policy(admit=WINDOW, evolve=evolve))
    yard.admit("first", blobs(30, seed=3, prefix="first"))
    more = blobs(30, seed=4, prefix="w").append_column("price", pa.array([1.0] * 30))
    wide = yard.judge("w", more).batch
    (a,) = _judged(yard, "a")
    assert stages.admit(yard.workspace, a).version == 2
    assert len(_admitted(yard)) == 2
    assert stages.admit(yard.workspace, wide).rows == 30
    assert len(yard.ids()) == 90


def test_what_was_judged_before_the_window_waits_for_its_own_admission(
    open_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = open_yard
    a, b = _judged(yard, "ab")
    later = datetime.now(UTC) + timedelta(seconds=3700)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return later.astimezone(tz)

    monkeypatch.setattr("lazaretto.stages.admit_with.datetime", Later)
    assert [stages.admit(yard.workspace, one).version for one in (a, b)] == [2, 3]


def test_what_may_not_enter_is_left_out_and_told_by_itself(open_yard: Yard) -> None:
    yard = open_yard
    revoked = yard.judge("r", blobs(30, seed=5, prefix="r"), source="vendor-b").batch
    a, b, c = _judged(yard)
    revoke_source(yard.workspace, "vendor-b", reason="stolen")
    with yard.workspace.catalog.read() as connection:
        stored = (
            connection.execute(tables.batch.select().where(tables.batch.c.id == c)).one().stored_uri
        )
    path = Path(yard.workspace.store.uri(stored))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes(40))
    assert stages.admit(yard.workspace, a).version == 2
    assert [event.batch for event in _admitted(yard)[1:]] == [a, b]
    with pytest.raises(AdmissionRefusedError):
        stages.admit(yard.workspace, revoked)
    path.write_bytes(whole)
    assert stages.admit(yard.workspace, c).version == 3
    _sound(yard)


def test_one_that_is_refused_meanwhile_is_left_out(
    open_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source is revoked when the file is written already."""
    yard = open_yard
    bad = yard.judge("r", blobs(30, seed=5, prefix="r"), source="vendor-b").batch
    a, b = _judged(yard, "ab")
    real, written = group.write_together, []

    def write(*args: Any) -> Any:
        files = real(*args)
        if not written:
            revoke_source(yard.workspace, "vendor-b", reason="stolen")
        written.append([file.batch for file in files])
        return files

    monkeypatch.setattr(group, "write_together", write)
    assert stages.admit(yard.workspace, a).version == 2
    assert written == [[a, bad, b], [a, b]]
    assert [event.batch for event in _admitted(yard)[1:]] == [a, b]
    _sound(yard)


@in_time
def test_one_that_is_admitted_meanwhile_is_not_twice(
    open_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where nobody takes turns: another process admits one of the group by itself."""
    yard = open_yard
    a, b, c = _judged(yard)
    real, done = group.write_together, []

    def write(*args: Any) -> Any:
        files = real(*args)
        if not done:
            done.append(b)
            with monkeypatch.context() as alone:
                alone.setattr("lazaretto.stages.admit_with._ready", lambda *_: [])
                stages.admit(yard.workspace, b)
        return files

    monkeypatch.setattr(group, "write_together", write)
    assert stages.admit(yard.workspace, a).version == 3
    assert [event.batch for event in _admitted(yard)[1:]] == [b, a, c]
    _sound(yard)


@in_time
def test_a_lost_log_is_made_again_with_all_batches_of_a_version(open_yard: Yard) -> None:
    yard = open_yard
    stages.admit(yard.workspace, _judged(yard)[0])
    before = yard.ids()
    home = Path(yard.workspace.store.uri("datasets/blobs"))
    shutil.rmtree(home / "_delta_log")
    assert reconcile(yard.workspace, apply=False).datasets[0].commits == [1, 2]
    reconcile(yard.workspace, apply=True)
    assert yard.ids() == before
    _sound(yard)


def test_a_file_of_several_that_is_lost_is_lost_for_each_and_each_comes_back(
    open_yard: Yard,
) -> None:
    yard = open_yard
    batches = _judged(yard)
    stages.admit(yard.workspace, batches[0])
    (file,) = {one.file.path for event in _admitted(yard)[1:] for one in event.files}
    Path(yard.workspace.store.uri(file)).unlink()
    done = reconcile(yard.workspace, apply=True, accept_loss=True)
    assert sorted(part.batch for part in done.datasets[0].lost) == sorted(batches)
    assert len(yard.ids()) == 30
    assert {stages.admit(yard.workspace, batch).rows for batch in batches} == {30}
    assert len(yard.ids()) == 120
    _sound(yard)


def test_a_batch_that_is_taken_out_of_a_version_by_hand_is_missed(open_yard: Yard) -> None:
    yard = open_yard
    stages.admit(yard.workspace, _judged(yard)[0])
    for event in _admitted(yard)[1:]:
        mine = tables.admission.c.batch == event.batch
        with yard.workspace.catalog.transaction() as connection:
            row = connection.execute(tables.admission.select().where(mine)).one()
            connection.execute(tables.admission.delete().where(mine))
        with pytest.raises(ChangedStateError):
            stages.snapshot(yard.workspace, "blobs")
        assert check(yard.workspace, deep=True).findings
        with yard.workspace.catalog.transaction() as connection:
            connection.execute(tables.admission.insert().values(row._asdict()))
    _sound(yard)
