"""What a check of the catalog's state finds: cut-off work, rows around the gate, lost tables."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from yard import Yard, blobs

from lazaretto import health, stages
from lazaretto.dataset import admission
from lazaretto.dataset import recall as recall_module
from lazaretto.dataset.recall import recall

if TYPE_CHECKING:
    from collections.abc import Callable


class _Cut(Exception):  # noqa: N818  not an error: the power goes
    pass


def _cut(*_: object) -> None:
    raise _Cut


def test_a_sound_workspace_has_no_problem(yard: Yard) -> None:
    assert health.find_problems(yard.workspace) == []
    yard.admit("monday", blobs(60, seed=5))
    assert health.find_problems(yard.workspace) == []


def test_work_that_was_cut_off_is_found_and_gone_when_done_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = yard.judge("monday", blobs(60, seed=5)).batch

    def out() -> object:
        return recall(yard.workspace, "blobs", ids=[f"{batch}#r0"], reason="x")

    def into() -> object:
        return stages.admit(yard.workspace, batch)

    steps: list[tuple[Callable[[], object], object, str]] = [
        (into, admission, "unfinished_admission"),
        (out, recall_module, "unfinished_recall"),
    ]
    for act, module, kind in steps:
        with monkeypatch.context() as patch:
            patch.setattr(module, "commit_once", _cut)
            with pytest.raises(_Cut):
                act()
        (problem,) = health.find_problems(yard.workspace)
        assert problem.kind == kind
        assert "goes on where it stopped" in problem.mend
        act()
        assert health.find_problems(yard.workspace) == []


def test_rows_around_the_gate_are_found(sqlite_yard: Yard) -> None:
    uri = sqlite_yard.admit("monday", blobs(60, seed=5)).uri
    rows = sqlite_yard.dataset().slice(0, 2)
    index = rows.schema.get_field_index("_lazaretto_batch")
    forged = rows.set_column(index, "_lazaretto_batch", pa.array(["x/y/z", "x/y/z"]))
    write_deltalake(uri, forged, mode="append")
    (problem,) = health.find_problems(sqlite_yard.workspace)
    assert problem.kind == "strangers"
    assert "2 rows of blobs" in problem.what


def test_a_lost_dataset_is_found(sqlite_yard: Yard) -> None:
    shutil.rmtree(sqlite_yard.admit("monday", blobs(60, seed=5)).uri)
    (problem,) = health.find_problems(sqlite_yard.workspace)
    assert problem.kind == "lost_dataset"
