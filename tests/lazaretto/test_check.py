"""What a check of the catalog's state finds: cut-off work, rows around the gate, lost tables."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from yard import Yard, blobs

from lazaretto import health
from lazaretto.quarantine import publish as publish_module
from lazaretto.quarantine import review
from lazaretto.values import Action


class _Cut(Exception):  # noqa: N818  not an error: the power goes
    pass


def _cut(*_: object) -> None:
    raise _Cut


def test_a_sound_workspace_has_no_problem(yard: Yard) -> None:
    assert health.find_problems(yard.workspace) == []
    yard.admit("monday", blobs(60, seed=5))
    assert health.find_problems(yard.workspace) == []


def test_a_publication_that_was_cut_off_is_found_and_gone_when_done_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, flips=4)).case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    with monkeypatch.context() as patch:
        patch.setattr(publish_module, "admit_part", _cut)
        with pytest.raises(_Cut):
            review.publish(yard.workspace, case)
    (problem,) = health.find_problems(yard.workspace)
    assert problem.kind == "unfinished_publication"
    assert "goes on where it stopped" in problem.mend
    review.publish(yard.workspace, case)
    assert health.find_problems(yard.workspace) == []


def test_rows_around_the_gate_are_found(sqlite_yard: Yard) -> None:
    uri = sqlite_yard.admit("monday", blobs(60, seed=5)).uri
    rows = sqlite_yard.dataset().slice(0, 2)
    index = rows.schema.get_field_index("_lazaretto_batch")
    forged = rows.set_column(index, "_lazaretto_batch", pa.array(["x/y/z", "x/y/z"]))
    write_deltalake(uri, forged, mode="append")
    (problem,) = health.find_problems(sqlite_yard.workspace)
    assert problem.kind == "changed_dataset"
    assert "2 rows were written around the gate" in problem.what


def test_a_lost_dataset_is_found(sqlite_yard: Yard) -> None:
    shutil.rmtree(sqlite_yard.admit("monday", blobs(60, seed=5)).uri)
    (problem,) = health.find_problems(sqlite_yard.workspace)
    assert problem.kind == "changed_dataset"
    assert "Restore datasets/blobs from a backup" in problem.mend
