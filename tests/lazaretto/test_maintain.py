"""Small files put together, old ones deleted: every snapshot stays what it was."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from many import some
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import incidents, stages
from lazaretto.authority.policies import register_policy
from lazaretto.cli.app import app
from lazaretto.dataset import compact as compaction
from lazaretto.dataset.compact import compact, find_small
from lazaretto.dataset.files import read_rows
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import open_dataset
from lazaretto.errors import ChangedFileError, NotFoundError, SystemFaultError
from lazaretto.health import check, maintain, rebuild, reconcile
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DatasetPruned
from lazaretto.values import DataFile, Question, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.stages import Snapshot

pytestmark = pytest.mark.alike
LATE = datetime.now(UTC) + timedelta(days=31)


@pytest.fixture
def kept(yard: Yard) -> Yard:
    """A yard whose policy lets data files go after 30 days."""
    return replace(yard, policy=make_policy(retention={"replaced_days": 30}))


def _days(yard: Yard, names: str = "abc") -> list[str]:
    return [
        yard.admit(name, blobs(30, seed=number, prefix=name)).batch
        for number, name in enumerate(names, 7)
    ]


def _paths(yard: Yard, version: int | None = None) -> set[str]:
    return {file.file.path for file in open_dataset(yard.workspace, "blobs", version).files}


def _there(yard: Yard) -> set[str]:
    return {
        name for name in yard.workspace.store.list("datasets/blobs") if "_delta_log" not in name
    }


def _sound(yard: Yard) -> None:
    found = check(yard.workspace, deep=True)
    assert found.findings == []
    assert not rebuild(yard.workspace, write=False).needed


def test_small_files_become_one_and_every_batch_keeps_its_rows(yard: Yard) -> None:
    days = _days(yard)
    before, ids = stages.snapshot(yard.workspace, "blobs"), yard.ids()
    assert len(before.files) == 3

    done = maintain(yard.workspace, "blobs")

    (made,) = done.compactions
    assert (made.version, made.before, made.after, made.rows) == (4, 3, 1, len(ids))
    after = stages.snapshot(yard.workspace, "blobs")
    assert after.members == before.members
    assert yard.ids() == ids
    assert len(_paths(yard)) == 1
    for file in after.files:
        of = {row for chunk in read_rows(yard.workspace.store, [file], columns=["id"])
              for row in chunk.column(0).to_pylist()}  # fmt: skip
        assert {name[0] for name in of} == {"abc"[days.index(file.batch)]}
    view = stages.snapshot(yard.workspace, "blobs", exclude=[days[1]])
    assert set(view.table()["_lazaretto_batch"].to_pylist()) == {days[0], days[2]}
    assert stages.open_snapshot(yard.workspace, "blobs", "3").table().num_rows == len(ids)
    assert maintain(yard.workspace, "blobs").compactions == []
    log = Path(yard.workspace.store.root, "datasets/blobs/_delta_log")
    assert (log / f"{4:020}.checkpoint.parquet").exists()
    _sound(yard)


def test_a_recall_takes_one_batch_out_of_a_file_of_several(yard: Yard) -> None:
    days = _days(yard)
    compact(yard.workspace, "blobs")
    assert recall(yard.workspace, "blobs", ids=[f"{days[0]}#a4"], reason="late").records == 1
    recall(yard.workspace, "blobs", batch=days[1], reason="the vendor was compromised")
    left = yard.ids()
    assert {name[0] for name in left} == {"a", "c"}
    assert "a4" not in left
    assert {file.batch for file in open_dataset(yard.workspace, "blobs").files} == {
        days[0],
        days[2],
    }
    assert len(_paths(yard)) == 1
    _sound(yard)


def test_a_lost_file_of_several_batches_is_given_up_and_each_is_admitted_again(yard: Yard) -> None:
    days = _days(yard, "ab")
    ids = yard.ids()
    compact(yard.workspace, "blobs")
    (path,) = _paths(yard)
    Path(yard.workspace.store.uri(path)).unlink()
    reconcile(yard.workspace, apply=True, accept_loss=True)
    assert yard.ids() == []
    for batch in days:
        stages.admit(yard.workspace, batch)
    assert yard.ids() == ids
    _sound(yard)


def test_what_was_changed_in_the_store_gets_into_no_new_file(yard: Yard) -> None:
    _days(yard, "ab")
    victim = Path(yard.workspace.store.uri(min(_paths(yard))))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(ChangedFileError):
        compact(yard.workspace, "blobs")
    assert open_dataset(yard.workspace, "blobs").version == 2


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Does something between the moment when files are put together and when that is recorded."""

    def arrange(act: Callable[[], Any]) -> None:
        real = compaction.write_together

        def write(*args: Any) -> Any:
            files = real(*args)
            act()
            return files

        monkeypatch.setattr(compaction, "write_together", write)

    return arrange


def test_who_admits_meanwhile_is_not_in_the_way(
    yard: Yard, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    _days(yard, "ab")
    meanwhile(lambda: yard.admit("c", blobs(30, seed=9, prefix="c")))
    (made,) = compact(yard.workspace, "blobs")
    assert (made.version, made.before) == (4, 2)
    assert {name[0] for name in yard.ids()} == {"a", "b", "c"}
    assert len(_paths(yard)) == 2


def test_what_is_recalled_meanwhile_does_not_come_back(
    yard: Yard, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    days = _days(yard, "ab")
    meanwhile(lambda: recall(yard.workspace, "blobs", ids=[f"{days[0]}#a4"], reason="late"))
    assert compact(yard.workspace, "blobs") == []
    assert "a4" not in yard.ids()


def test_files_that_only_old_versions_have_go_when_the_policy_says_so(kept: Yard) -> None:
    days = _days(kept)
    register_policy(kept.workspace, kept.policy, reason="retention")
    taken = stages.snapshot(kept.workspace, "blobs", version=2)
    maintain(kept.workspace, "blobs")
    early = maintain(kept.workspace, "blobs", apply=True)
    assert (early.due, early.waiting, early.needed, early.settled) == ([], 1, 2, True)

    told = maintain(kept.workspace, "blobs", now=LATE)
    alone = _paths(kept, 3) - _paths(kept, 2)
    assert {one.path for one in told.due} == alone
    assert (told.deleted, told.settled) == (False, False)
    assert alone <= _there(kept)

    done = maintain(kept.workspace, "blobs", apply=True, now=LATE)
    assert done.deleted
    assert not alone & _there(kept)
    assert stages.snapshot(kept.workspace, "blobs", version=2).digest == taken.digest
    assert {file.batch for file in taken.files} == {days[0], days[1]}
    with pytest.raises(NotFoundError, match=r"version 3 of .* is no longer kept"):
        stages.snapshot(kept.workspace, "blobs", version=3)
    assert maintain(kept.workspace, "blobs", apply=True, now=LATE).due == []
    _sound(kept)


def test_without_a_policy_that_says_so_nothing_is_deleted(yard: Yard) -> None:
    _days(yard, "ab")
    maintain(yard.workspace, "blobs")
    done = maintain(yard.workspace, "blobs", apply=True, now=LATE + timedelta(days=10_000))
    assert (done.due, done.waiting, done.days) == ([], 2, None)


def test_an_open_incident_keeps_everything(kept: Yard) -> None:
    _days(kept, "ab")
    register_policy(kept.workspace, kept.policy, reason="retention")
    maintain(kept.workspace, "blobs")
    opened = incidents.open_incident(
        kept.workspace, Question("source", "vendor-a"), reason="an open bucket"
    )
    before = _there(kept)
    done = maintain(kept.workspace, "blobs", apply=True, now=LATE)
    assert (done.deleted, done.kept) == (False, f"incident {opened.id} is open")
    assert len(done.due) == 2
    assert _there(kept) == before
    incidents.close(kept.workspace, opened.id, "nothing was in it")
    assert maintain(kept.workspace, "blobs", apply=True, now=LATE).deleted


def test_a_snapshot_that_is_taken_meanwhile_stops_the_deletion(
    kept: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    _days(kept, "ab")
    register_policy(kept.workspace, kept.policy, reason="retention")
    maintain(kept.workspace, "blobs")
    module: Any = __import__("sys").modules["lazaretto.health.maintain"]
    real = module.find_unused

    def find(*args: Any) -> Any:
        plan = real(*args)
        stages.snapshot(kept.workspace, "blobs", version=2)
        return plan

    monkeypatch.setattr(module, "find_unused", find)
    with pytest.raises(SystemFaultError, match="nothing was deleted"):
        maintain(kept.workspace, "blobs", apply=True, now=LATE)
    assert _paths(kept, 2) <= _there(kept)


def test_a_deletion_that_was_cut_off_goes_on(kept: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    _days(kept, "ab")
    register_policy(kept.workspace, kept.policy, reason="retention")
    maintain(kept.workspace, "blobs")
    old = _paths(kept, 2)
    with monkeypatch.context() as patched:
        patched.setattr(type(kept.workspace.store), "delete", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            maintain(kept.workspace, "blobs", apply=True, now=LATE)
    (finding,) = check(kept.workspace).findings
    assert "dataset maintain" in finding.mend
    again = maintain(kept.workspace, "blobs", now=LATE)
    assert (set(again.again), again.settled) == (old, False)
    maintain(kept.workspace, "blobs", apply=True, now=LATE)
    assert not old & _there(kept)
    with kept.workspace.catalog.read() as connection:
        assert len(list(entries(connection, kinds=[DatasetPruned.kind]))) == 1
    _sound(kept)


def _cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def _history(yard: Yard, seed: int) -> None:
    """Admits, recalls, takes snapshots and maintains in any order; every snapshot stays."""
    chance = random.Random(seed)  # noqa: S311
    taken: dict[int, tuple[Snapshot, list[str]]] = {}
    batches: list[str] = []
    expected: set[str] = set()
    register_policy(yard.workspace, yard.policy, reason="retention")
    for step in range(14):
        act = chance.choice(["admit", "admit", "recall", "snapshot", "maintain", "delete"])
        if act == "admit" or not batches:
            name = f"s{step}-"
            done = yard.admit(name, blobs(chance.randint(6, 40), seed=step, prefix=name))
            batches.append(done.batch)
            expected |= {one for one in yard.ids() if one.startswith(name)}
        elif act == "recall" and expected:
            one = chance.choice(sorted(expected))
            batch = next(f.batch for f in open_dataset(yard.workspace, "blobs").files
                         if one in _ids(yard, f))  # fmt: skip
            recall(yard.workspace, "blobs", ids=[f"{batch}#{one}"], reason="found late")
            expected.discard(one)
        elif act == "snapshot":
            new = stages.snapshot(yard.workspace, "blobs")
            taken[new.version] = new, sorted(expected)
        elif act in ("maintain", "delete"):
            late = LATE if act == "delete" else None
            maintain(yard.workspace, "blobs", apply=act == "delete", now=late)
        assert yard.ids() == sorted(expected)
    maintain(yard.workspace, "blobs", apply=True, now=LATE)
    for version, (before, ids) in taken.items():
        now = stages.snapshot(yard.workspace, "blobs", version=version)
        assert (now.digest, now.members) == (before.digest, before.members)
        assert sorted(before.table()["_lazaretto_record"].to_pylist()) == ids
        read = DeltaTable(before.uri, version=version).to_pyarrow_table()
        assert sorted(read["_lazaretto_record"].to_pylist()) == ids
    _sound(yard)


def _ids(yard: Yard, file: DataFile) -> list[str]:
    chunks = read_rows(yard.workspace.store, [file], columns=["id"])
    return [one for chunk in chunks for one in chunk.column(0).to_pylist()]


@pytest.mark.parametrize("seed", some(range(24), 24))
def test_whatever_is_done_in_whatever_order_every_snapshot_stays_what_it_was(
    kept: Yard, seed: int
) -> None:
    _history(kept, seed)


def _file(name: str, size: int, batch: str = "v/1", start: int | None = None) -> DataFile:
    return DataFile(batch, "cleared", 10, StoredFile(name, size, "0" * 64), start)


def test_which_files_are_put_together() -> None:
    def groups(*files: DataFile) -> list[set[str]]:
        return [{f.file.path for member in one for f in member} for one in find_small(files, 1000)]

    small = [_file(f"f{number}", 10, f"v/{number}") for number in range(5)]
    assert groups(*small) == [{f"f{number}" for number in range(5)}]
    assert groups(small[0]) == []
    # Large enough; and one that is more than twice as large as the smaller ones together.
    assert groups(*small[:2], _file("large", 500, "v/l")) == [{"f0", "f1"}]
    assert groups(*small[:2], _file("larger", 300, "v/l")) == [{"f0", "f1"}]
    # No file becomes larger than it should be.
    assert len(groups(*(_file(f"m{number}", 400, f"v/{number}") for number in range(4)))) == 2
    # What holds several batches stays together, and so do the files of one.
    stretches = [_file("both", 20, "v/a", 0), _file("both", 20, "v/b", 10)]
    assert groups(*stretches) == []
    assert groups(*stretches, small[0]) == [{"both", "f0"}]
    assert groups(_file("one", 400, "v/a"), _file("two", 400, "v/a"), *small) == [
        {f"f{number}" for number in range(5)}
    ]


def test_the_command_says_what_is_due(kept: Yard) -> None:
    _days(kept, "ab")
    workspace = kept.workspace
    environment = {
        "LAZARETTO_CATALOG_URL": workspace.catalog.engine.url.render_as_string(False),
        "LAZARETTO_STORE": workspace.store.root,
    }
    register_policy(workspace, kept.policy, reason="retention")
    done = CliRunner().invoke(app, ["dataset", "maintain", "blobs", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [(one["before"], one["after"]) for one in told["compactions"]] == [(2, 1)]
    shown = CliRunner().invoke(app, ["dataset", "log", "blobs"], env=environment).stdout
    assert "COMPACT" in shown
    assert CliRunner().invoke(app, ["dataset", "maintain", "none"], env=environment).exit_code == 2
