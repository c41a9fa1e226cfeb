"""Several stretches at once in one process: the same comes out, and a failure ends the work."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Event, get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from killed_worker import Failing
from threadpoolctl import threadpool_info, threadpool_limits
from yard import blobs

from lazaretto import stages
from lazaretto.engine import LocalEngine
from lazaretto.errors import ChangedFileError, ReferenceMismatchError
from lazaretto.reference import Reference
from lazaretto.screen import _score, screen
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from yard import Yard

    from lazaretto.batch import Stretch
    from lazaretto.screen._piece import Piece

JOB = Failing("mistake", "")  # this process never opens it
EXTENTS = [16_384] * 5
PATIENCE = 60
"""Seconds until a thread that waits for another one gives up: then the test fails."""


def _library_threads() -> set[int]:
    return {int(one["num_threads"]) for one in threadpool_info()}


def test_stretches_are_worked_on_at_once_and_come_in_order() -> None:
    met, seen = Barrier(2), dict[int, set[int]]()

    def here(stretch: Stretch | None) -> dict[str, list[pa.Table]]:
        assert stretch is not None
        if stretch.number < 2:
            met.wait(PATIENCE)
        seen.setdefault(get_ident(), set()).update(_library_threads())
        return {"n": [pa.table({"n": [stretch.offset]})]}

    with threadpool_limits(2):
        done = LocalEngine().map(JOB, here, lambda: EXTENTS, side_by_side=True)
        found = [(one, output["n"]) for one, output in done]
        assert _library_threads() == {2}  # as before
    assert [one.number for one, _ in found if one] == [0, 1, 2, 3, 4]
    assert [table["n"][0].as_py() for _, (table, *_) in found] == [n * 16_384 for n in range(5)]
    assert len(seen) == 2
    assert set().union(*seen.values()) == {1}  # the libraries' threads are shared out


@pytest.mark.parametrize(("threads", "extents"), [(1, EXTENTS), (2, [16_384])])
def test_one_thread_or_one_stretch_is_the_whole_batch(threads: int, extents: list[int]) -> None:
    with threadpool_limits(threads):
        done = LocalEngine().map(
            JOB,
            lambda one: {"whole": [pa.table({"n": [one is None]})]},
            lambda: extents,
            side_by_side=True,
        )
        ((stretch, output),) = done
    assert stretch is None
    assert [table["n"][0].as_py() for table in output["whole"]] == [True]


def test_the_first_failure_is_told_and_later_stretches_are_not_begun() -> None:
    begun, failed = list[int](), Event()

    def here(stretch: Stretch | None) -> dict[str, list[pa.Table]]:
        assert stretch is not None
        begun.append(stretch.number)
        if stretch.number == 1:
            failed.set()
            raise ReferenceMismatchError("stretch 1")
        failed.wait(PATIENCE)
        return {"n": [pa.table({"n": [stretch.number]})]}

    with threadpool_limits(2):
        done = LocalEngine().map(JOB, here, lambda: EXTENTS * 4, side_by_side=True)
        with pytest.raises(ReferenceMismatchError, match="stretch 1"):
            list(done)
    assert set(begun) <= {0, 1, 2, 3}


def test_few_results_wait_for_who_reads_them() -> None:
    begun = list[int]()

    def here(stretch: Stretch | None) -> dict[str, list[pa.Table]]:
        assert stretch is not None
        begun.append(stretch.number)
        return {"n": [pa.table({"n": [stretch.number]})]}

    with threadpool_limits(2):
        for stretch, _ in LocalEngine().map(JOB, here, lambda: EXTENTS * 4, side_by_side=True):
            assert stretch is not None
            assert max(begun) <= stretch.number + 3


def test_a_batch_is_screened_by_three_threads_as_by_one(
    sqlite_yard: Yard, fitted_reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard, rows = sqlite_yard, blobs(40_000, seed=8, flips=400)
    used, files, scoring = set[int](), list[object](), _score.score_piece

    def watched(*given: Any, **named: Any) -> Piece:
        used.add(get_ident())
        files.append(given[0]._file)
        return scoring(*given, **named)

    monkeypatch.setattr(_score, "score_piece", watched)
    batch = yard.receive("monday", rows).id
    stages.validate(yard.workspace, batch, yard.policy)
    stages.embed(yard.workspace, batch, yard.policy)
    with threadpool_limits(3):
        said = stages.screen(yard.workspace, batch, yard.policy).said
    assert len(used) > 1
    assert len(set(map(id, files))) == len(files)  # two threads that share one read anything
    monkeypatch.undo()
    stored = read_table(yard.workspace.store, said.scores)
    found = screen(rows, Reference.load(fitted_reference), yard.policy).records
    assert stored["record_id"].equals(found["record_id"])
    np.testing.assert_allclose(stored["score"], found["score"], atol=1e-6)
    np.testing.assert_allclose(stored["p_value"], found["p_value"], atol=1e-6)
    assert len(set(stored["p_value"].to_pylist())) > 100


def test_changed_bytes_are_refused_whichever_thread_reads_them(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batch = yard.receive("monday", blobs(40_000, seed=8)).id
    stages.validate(yard.workspace, batch, yard.policy)
    stages.embed(yard.workspace, batch, yard.policy)
    (stored,) = Path(yard.workspace.store.root).rglob("data-*.arrow")
    data = bytearray(stored.read_bytes())
    data[-200_000] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(data)
    with threadpool_limits(3), pytest.raises(ChangedFileError, match="Nothing of it was used"):
        stages.screen(yard.workspace, batch, yard.policy)
