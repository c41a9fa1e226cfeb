"""Engines on a real Ray cluster; `test_engine_on_ray.py` runs this file in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from killed_worker import Counting, Failing
from ray_cluster import local_cluster
from yard import Yard, fresh_yard, make_policy

from lazaretto import stages
from lazaretto.drift import Profile
from lazaretto.engine import open_engine
from lazaretto.errors import ChangedFileError, ReferenceMismatchError, SystemFaultError
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.policy import Policy

ROWS = 20_000
"""So many that a canonical copy has two chunks."""


def _texts(count: int, flips: int = 0) -> pa.Table:
    words = ("the train is late", "goals and cups", "stocks fell")
    return pa.table(
        {
            "id": [f"t{number}" for number in range(count)],
            "label": [(number + (number < flips)) % 3 for number in range(count)],
            "text": [f"{words[number % 3]} {number % 7}" for number in range(count)],
        }
    )


def _policy(engine: object) -> Policy:
    return make_policy(
        columns={"record_id": "id", "label": "label"},
        embed={"encoder": "hashing", "columns": ["text"], "options": {"buckets": 16}},
        screen={**make_policy().screen.model_dump(), "reference": "texts"},
        engine=engine,
    )


def _screened(yard: Yard, policy: Policy) -> tuple[str, pa.Table, dict[str, object]]:
    """Digest of the vectors, the scores, and what drift says."""
    trusted = _texts(900)
    reference = Reference.fit(trusted, policy, name="texts")
    profile = Profile.fit(trusted, reference, policy)
    save_reference(yard.workspace, reference, profile=profile)
    path = yard.deliver("day", _texts(ROWS, flips=1000))
    batch = stages.receive(yard.workspace, path, "vendor-a", policy=policy).id
    stages.validate(yard.workspace, batch, policy)
    embedded = stages.embed(yard.workspace, batch, policy).said
    said = stages.screen(yard.workspace, batch, policy).said
    assert embedded.vectors is not None
    assert not [path for path in yard.workspace.store.list("batches") if "/work-" in path]
    told = {
        "verdict": said.verdict,
        "held": said.held,
        "tests": {test.name: test.fired for test in said.tests},
        "drift": None if said.drift is None else (said.drift.rows, said.drift.moved),
    }
    return embedded.vectors.sha256, read_table(yard.workspace.store, said.scores), told


def _alike(one: tuple[str, pa.Table, object], other: tuple[str, pa.Table, object]) -> None:
    assert one[0] == other[0]
    assert (
        one[1]
        .drop_columns(["score", "p_value"])
        .equals(other[1].drop_columns(["score", "p_value"]))
    )
    for name in ("score", "p_value"):
        np.testing.assert_allclose(one[1][name].to_numpy(), other[1][name].to_numpy(), atol=1e-6)
    assert one[2] == other[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster."""
    with local_cluster():
        yield


def test_ray_gives_what_this_process_gives(
    cluster: None, fitted_reference: str, tmp_path: Path, sqlite_catalog: str
) -> None:
    """Vectors to the byte, scores to 1e-6, the same records, tests and drift."""
    engines = {
        "local": "local",
        "ray": {"name": "ray", "task_rows": 1, "memory_bytes": 2**20},
    }
    found = [
        _screened(fresh_yard(sqlite_catalog, tmp_path / name, fitted_reference), _policy(engine))
        for name, engine in engines.items()
    ]
    assert 0 < found[0][2]["held"] < ROWS  # type: ignore[operator]
    _alike(*found)


def test_a_worker_that_is_killed_leaves_nothing_and_changes_nothing(
    cluster: None, sqlite_yard: Yard, tmp_path: Path
) -> None:
    policy = _policy({"name": "ray", "task_rows": 1})
    store = sqlite_yard.workspace.store
    store.replace("batches/b/kept", b"")

    def positions(killed: Path | None) -> list[int]:
        job = Counting(None if killed is None else str(killed))
        with open_engine(policy, store, "batches/b/work-1") as engine:
            outputs = [output for _, output in engine.map(job, job.run, lambda: [60, 50, 30])]
            return [n for o in outputs for t in o["positions"] for n in t["position"].to_pylist()]

    assert positions(tmp_path / "killed") == positions(None)
    assert (tmp_path / "killed").exists()
    assert store.list("batches") == ["batches/b/kept"]


def test_what_a_worker_cannot_do_is_told_as_this_process_would_tell_it(
    cluster: None, sqlite_yard: Yard, tmp_path: Path
) -> None:
    """And what may work a moment later is tried again."""
    store, policy = sqlite_yard.workspace.store, _policy({"name": "ray", "task_rows": 1})
    store.replace("batches/b/kept", b"")

    def rows(job: Failing) -> int:
        with open_engine(policy, store, "batches/b/work-2") as engine:
            outputs = list(engine.map(job, job.run, lambda: [3, 4]))
            return sum(table["n"][0].as_py() for _, o in outputs for table in o["rows"])

    with pytest.raises(ChangedFileError) as caught:
        rows(Failing("changed", str(tmp_path)))
    assert caught.value.path == "a/b"
    with pytest.raises(ReferenceMismatchError, match="another width"):
        rows(Failing("mismatch", str(tmp_path)))
    with pytest.raises(SystemFaultError, match=r"gave no result.*a mistake of ours"):
        rows(Failing("mistake", str(tmp_path)))
    assert rows(Failing("store", str(tmp_path))) == 7
    assert store.list("batches") == ["batches/b/kept"]
