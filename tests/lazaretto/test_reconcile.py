"""After a restore of catalog, store or both: tables say what the ledger says, nothing is twice."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable, write_deltalake
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import ChangedDatasetError, ChangedFileError, UsageError
from lazaretto.health import backup, check, reconcile, restore
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DatasetSetBack, RowsLost
from lazaretto.quarantine import review
from lazaretto.values import Action, LostPart

if TYPE_CHECKING:
    from lazaretto.health import Reconciled

pytestmark = pytest.mark.alike

MONDAY, TUESDAY = blobs(60, seed=5, prefix="m"), blobs(60, seed=6, prefix="t")


def _home(yard: Yard) -> Path:
    return Path(yard.workspace.store.uri("datasets/blobs"))


def _events(yard: Yard, kind: str) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in entries(connection, kinds=[kind])]


def _keep(yard: Yard, name: str = "catalog.backup") -> None:
    backup(yard.workspace.catalog, yard.folder / name)


def _bring_back(yard: Yard, name: str = "catalog.backup") -> None:
    workspace = yard.workspace
    url = workspace.catalog.engine.url.render_as_string(hide_password=False)
    restore(yard.folder / name, catalog_url=url, store=workspace.store.root)
    workspace.catalog.engine.dispose()


def _keep_store(yard: Yard) -> Path:
    kept = yard.folder / "store.backup"
    return Path(shutil.copytree(yard.workspace.store.root, kept))


def _bring_back_store(yard: Yard) -> None:
    shutil.rmtree(yard.workspace.store.root)
    shutil.copytree(yard.folder / "store.backup", yard.workspace.store.root)


def _settle(yard: Yard, *, accept_loss: bool = False) -> Reconciled:
    """Reconciles; told beforehand, settled afterwards."""
    told = reconcile(yard.workspace, apply=False)
    done = reconcile(yard.workspace, apply=True, accept_loss=accept_loss)
    assert (told.datasets, told.gone, told.unknown) == (done.datasets, done.gone, done.unknown)
    return done


def _sound(yard: Yard, *prefixes: str) -> None:
    """Everything agrees, and the dataset has these deliveries, each once."""
    assert reconcile(yard.workspace, apply=False).datasets == []
    assert check(yard.workspace, deep=True).findings == []
    taken = stages.snapshot(yard.workspace, "blobs")
    ids = yard.ids()
    assert taken.rows == len(ids)
    assert max(Counter(ids).values()) == 1
    assert {name[0] for name in ids} == set(prefixes)


def test_where_nothing_is_wrong_nothing_is_done(yard: Yard) -> None:
    yard.admit("monday", MONDAY)
    for apply in (False, True):
        found = reconcile(yard.workspace, apply=apply)
        assert found.settled
        assert (found.datasets, found.gone, found.unknown, found.seqs) == ([], [], [], [])


def test_a_catalog_older_than_the_store_admits_the_same_delivery_once(yard: Yard) -> None:
    yard.admit("monday", MONDAY)
    _keep(yard)
    later = yard.admit("tuesday", TUESDAY)
    _bring_back(yard)
    with pytest.raises(ChangedDatasetError, match="catalog reconcile"):
        stages.snapshot(yard.workspace, "blobs")
    done = _settle(yard)
    (plan,) = done.datasets
    assert (plan.recorded, plan.found, plan.agreed) == (1, 2, 1)
    assert "60 rows were written around the gate" in str(plan.problem)
    assert [one.batch for one in done.unknown] == [later.batch]
    (event,) = _events(yard, DatasetSetBack.kind)
    (aside,) = event.set_aside
    assert later.batch in yard.workspace.store.read(aside).decode()
    assert {name[0] for name in yard.ids()} == {"m"}
    stages.snapshot(yard.workspace, "blobs")
    again = yard.admit("tuesday", TUESDAY)
    assert (again.batch, again.version) == (later.batch, later.version)
    _sound(yard, "m", "t")
    assert yard.admit("tuesday", TUESDAY) == again


def test_a_catalog_from_before_the_first_admission(yard: Yard) -> None:
    _keep(yard)
    yard.admit("monday", MONDAY)
    yard.admit("tuesday", TUESDAY)
    _bring_back(yard)
    (plan,) = _settle(yard).datasets
    assert (plan.recorded, plan.found, plan.agreed) == (0, 2, 0)
    for name, rows in (("tuesday", TUESDAY), ("monday", MONDAY)):
        yard.admit(name, rows)
    _sound(yard, "m", "t")


def test_rows_around_the_gate_are_taken_out_and_kept(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    uri = yard.admit("monday", MONDAY).uri
    for _ in range(3):
        write_deltalake(uri, _two_rows(uri), mode="append")
    DeltaTable(uri).create_checkpoint()
    (plan,) = _settle(yard).datasets
    assert (plan.recorded, plan.found, plan.agreed) == (1, 4, 1)
    assert len(plan.set_aside) == 5  # three commits, a checkpoint and the hint where it is
    assert DeltaTable(uri).version() == 1
    _sound(yard, "m")


def _two_rows(uri: str) -> Any:
    return DeltaTable(uri).to_pyarrow_table().slice(0, 2)


@pytest.mark.parametrize("gone", ["newest commits", "whole log", "whole folder but its data"])
def test_a_table_that_lacks_commits_is_made_again_from_the_ledger(yard: Yard, gone: str) -> None:
    yard.admit("monday", MONDAY)
    batch = yard.admit("tuesday", TUESDAY).batch
    recall(yard.workspace, "blobs", ids=[f"{batch}#t7"], reason="found late")
    before = yard.dataset().sort_by("_lazaretto_record")
    log = _home(yard) / "_delta_log"
    if gone == "newest commits":
        for version in (2, 3):
            (log / f"{version:020}.json").unlink()
    else:
        shutil.rmtree(log)
    (plan,) = _settle(yard).datasets
    assert (plan.set_aside, plan.lost) == ([], [])
    assert plan.commits == ([2, 3] if gone == "newest commits" else [1, 2, 3])
    assert yard.dataset().sort_by("_lazaretto_record") == before
    assert yard.dataset(version=2).num_rows == 120
    _sound(yard, "m", "t")
    yard.admit("wednesday", blobs(60, seed=7, prefix="w"))
    _sound(yard, "m", "t", "w")


@pytest.mark.parametrize("damage", ["garbage", "another table"])
def test_a_log_that_is_another_is_kept_and_made_again(sqlite_yard: Yard, damage: str) -> None:
    yard = sqlite_yard
    yard.admit("monday", MONDAY)
    yard.admit("tuesday", TUESDAY)
    first = _home(yard) / "_delta_log" / f"{0:020}.json"
    if damage == "garbage":
        first.write_bytes(b"\x00 no json")
    else:
        rows = yard.dataset()
        shutil.rmtree(_home(yard) / "_delta_log")
        write_deltalake(str(yard.folder / "other"), rows)
        shutil.copytree(yard.folder / "other" / "_delta_log", _home(yard) / "_delta_log")
    (plan,) = _settle(yard).datasets
    assert plan.agreed == -1
    assert plan.set_aside
    _sound(yard, "m", "t")


def test_a_store_older_than_the_catalog_takes_the_same_delivery_again(yard: Yard) -> None:
    yard.admit("monday", MONDAY)
    _keep_store(yard)
    lost = yard.admit("tuesday", TUESDAY)
    _bring_back_store(yard)
    told = reconcile(yard.workspace, apply=True)
    assert not told.settled
    assert [one.batch for one in told.gone] == [lost.batch]
    (plan,) = told.datasets
    assert plan.lost == [LostPart(lost.batch, "cleared", 60)]
    assert plan.readmissible == [lost.batch]
    with pytest.raises(ChangedFileError):
        stages.snapshot(yard.workspace, "blobs")
    done = reconcile(yard.workspace, apply=True, accept_loss=True)
    assert [event.parts for event in _events(yard, RowsLost.kind)] == [plan.lost]
    assert done.lost
    stages.snapshot(yard.workspace, "blobs")
    assert {name[0] for name in yard.ids()} == {"m"}
    yard.receive("tuesday", TUESDAY)  # brings the stored copy back
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(yard.workspace, lost.batch, yard.policy)
    again = stages.admit(yard.workspace, lost.batch)
    assert (again.rows, again.version) == (60, 4)
    assert stages.admit(yard.workspace, lost.batch) == again
    assert sorted({name[0] for name in yard.ids()}) == ["m", "t"]
    assert max(Counter(yard.ids()).values()) == 1
    stages.snapshot(yard.workspace, "blobs")
    assert reconcile(yard.workspace, apply=False).datasets == []


def test_lost_files_of_a_batch_that_is_still_there_are_admitted_from_it(yard: Yard) -> None:
    lost = yard.admit("monday", MONDAY)
    yard.admit("tuesday", TUESDAY)
    taken = stages.snapshot(yard.workspace, "blobs", version=1)
    for file in taken.files:
        Path(yard.workspace.store.uri(file.file.path)).unlink()
    done = _settle(yard, accept_loss=True)
    assert done.gone == []
    assert {name[0] for name in yard.ids()} == {"t"}
    assert stages.admit(yard.workspace, lost.batch).version == 4
    _sound(yard, "m", "t")


def test_a_lost_publication_is_published_again(yard: Yard) -> None:
    judged = yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4))
    stages.admit(yard.workspace, judged.batch)
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    published = review.publish(yard.workspace, case)
    assert published is not None
    taken = stages.snapshot(yard.workspace, "blobs")
    (file,) = [file for file in taken.files if file.part == published.part]
    Path(yard.workspace.store.uri(file.file.path)).unlink()
    _settle(yard, accept_loss=True)
    assert len(yard.ids()) == 60 - published.rows
    again = review.publish(yard.workspace, case)
    assert again is not None
    assert (again.part, again.rows) == (published.part, published.rows)
    assert again.version == 4
    assert review.publish(yard.workspace, case) == again
    _sound(yard, "m")


def test_recalled_records_do_not_come_back_with_a_lost_batch(yard: Yard) -> None:
    admitted = yard.admit("monday", MONDAY)
    yard.admit("tuesday", TUESDAY)
    recall(yard.workspace, "blobs", ids=[f"{admitted.batch}#m7"], reason="trigger")
    for file in stages.snapshot(yard.workspace, "blobs").files:
        if file.batch == admitted.batch:
            Path(yard.workspace.store.uri(file.file.path)).unlink()
    (plan,) = _settle(yard, accept_loss=True).datasets
    assert plan.lost == [LostPart(admitted.batch, "cleared", 59)]
    assert plan.readmissible == []
    again = stages.admit(yard.workspace, admitted.batch)
    assert again.rows == 0
    assert again.recalled is not None
    _sound(yard, "t")


def test_a_loss_is_not_accepted_by_the_way(sqlite_yard: Yard) -> None:
    with pytest.raises(UsageError, match="--apply"):
        reconcile(sqlite_yard.workspace, apply=False, accept_loss=True)


def test_a_table_of_which_nothing_is_left_comes_back_with_its_deliveries(yard: Yard) -> None:
    admitted = yard.admit("monday", MONDAY)
    shutil.rmtree(_home(yard))
    (plan,) = _settle(yard, accept_loss=True).datasets
    assert (plan.found, plan.commits) == (-1, [1])
    assert yard.dataset().num_rows == 0
    assert stages.admit(yard.workspace, admitted.batch).version == 3
    _sound(yard, "m")


@pytest.mark.parametrize("first", ["catalog", "store"])
@pytest.mark.parametrize(
    "restored", [("catalog",), ("store",), ("catalog", "store"), ("store", "catalog")], ids="+".join
)
def test_in_whatever_order_both_were_copied_and_restored(
    yard: Yard, first: str, restored: tuple[str, ...]
) -> None:
    """Three deliveries, a copy of one of the two after the first, of the other after the second."""
    keep = {"catalog": _keep, "store": _keep_store}
    bring_back = {"catalog": _bring_back, "store": _bring_back_store}
    days = {"monday": MONDAY, "tuesday": TUESDAY, "wednesday": blobs(60, seed=7, prefix="w")}
    second = "store" if first == "catalog" else "catalog"
    for name, copied in zip(days, (first, second, None), strict=True):
        yard.admit(name, days[name])
        if copied is not None:
            keep[copied](yard)
    for what in restored:
        bring_back[what](yard)
    reconcile(yard.workspace, apply=True, accept_loss=True)
    stages.snapshot(yard.workspace, "blobs")
    for _ in range(2):
        for name, rows in days.items():
            yard.admit(name, rows)
    assert Counter(yard.ids()) == Counter(f"{day[0]}{n}" for day in days for n in range(60))
    stages.snapshot(yard.workspace, "blobs")
    left = reconcile(yard.workspace, apply=False)
    assert (left.datasets, left.gone, left.unknown) == ([], [], [])
    # What screening had written of a batch that was lost with the store is not made again.
    assert {finding.kind for finding in check(yard.workspace).findings} <= {"missing_files"}
