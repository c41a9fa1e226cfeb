"""Small files put together, old ones deleted: every snapshot stays what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yard import blobs

from lazaretto import stages
from lazaretto.dataset.compact import compact
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import check_dataset, open_dataset
from lazaretto.health import check

if TYPE_CHECKING:
    from yard import Yard

pytestmark = pytest.mark.alike


def test_small_files_become_one_and_every_batch_keeps_its_rows(yard: Yard) -> None:
    days = [yard.admit(day, blobs(30, seed=n, prefix=day)).batch for n, day in enumerate("abc", 7)]
    before, ids = stages.snapshot(yard.workspace, "blobs"), yard.ids()
    assert len(before.files) == 3

    (done,) = compact(yard.workspace, "blobs")

    assert (done.version, done.before, done.after, done.rows) == (4, 3, 1, len(ids))
    after = stages.snapshot(yard.workspace, "blobs")
    assert yard.ids() == ids
    assert after.members == before.members
    assert len({file.file.path for file in after.files}) == 1
    view = stages.snapshot(yard.workspace, "blobs", exclude=[days[1]])
    assert set(view.table()["_lazaretto_batch"].to_pylist()) == {days[0], days[2]}
    assert stages.open_snapshot(yard.workspace, "blobs", "3").table().num_rows == len(ids)
    assert compact(yard.workspace, "blobs") == []
    check_dataset(yard.workspace, "blobs")
    assert check(yard.workspace, deep=True).findings == []


def test_a_recall_takes_one_batch_out_of_a_file_of_several(yard: Yard) -> None:
    days = [yard.admit(day, blobs(30, seed=n, prefix=day)).batch for n, day in enumerate("abc", 7)]
    compact(yard.workspace, "blobs")
    recall(yard.workspace, "blobs", batch=days[1], reason="the vendor was compromised")
    recall(yard.workspace, "blobs", ids=[f"{days[0]}#a4"], reason="found late")
    assert all(not name.startswith("b") and name != "a4" for name in yard.ids())
    assert {file.batch for file in open_dataset(yard.workspace, "blobs").files} == {
        days[0],
        days[2],
    }
    assert check(yard.workspace, deep=True).findings == []
