"""Engines on a real Ray cluster; `test_engine_on_ray.py` runs this file in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from killed_worker import Failing, Killed
from many import in_full
from ray_cluster import local_cluster
from yard import Yard, fresh_yard, make_policy

from lazaretto import stages
from lazaretto.engine import open_engine
from lazaretto.engine.on_ray import RayEngine
from lazaretto.engine.room import look_at_cluster
from lazaretto.errors import (
    ChangedFileError,
    ReferenceMismatchError,
    SystemFaultError,
    UsageError,
)
from lazaretto.policy import Policy
from lazaretto.reference._ahead import Encoding
from lazaretto.registry.fit_version import fit_version
from lazaretto.sanitize import sanitize, scoring
from lazaretto.stages import spread_screen
from lazaretto.stages.spread_contract import Checking
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.engine import Job
    from lazaretto.sanitize import Sanitization

ROWS = 20_000
"""So many that a canonical copy has two chunks."""
DEADLY = (Encoding, spread_screen.Scoring, scoring.Scoring)
"""Jobs of a fit, a screening and a sanitizing: a worker of each is killed."""


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
        columns={"record_id": "id", "label": "label", "groups": ["text"]},
        embed={"encoder": "hashing", "columns": ["text"], "options": {"buckets": 16}},
        screen={**make_policy().screen.model_dump(), "reference": "texts"},
        engine=engine,
    )


def _screened(yard: Yard, policy: Policy) -> tuple[str, pa.Table, dict[str, object]]:
    """Digest of the vectors, the scores, and what else must be the same."""
    trusted = _texts(900)
    _, reference = fit_version(yard.workspace, trusted, policy, name="texts")
    path = yard.deliver("day", _texts(ROWS, flips=1000))
    batch = stages.receive(yard.workspace, path, "vendor-a", policy=policy).id
    stages.validate(yard.workspace, batch, policy)
    embedded = stages.embed(yard.workspace, batch, policy).said
    said = stages.screen(yard.workspace, batch, policy).said
    assert embedded.vectors is not None
    store = yard.workspace.store
    assert not [path for path in store.sizes() if "/work-" in path]
    told = {
        "reference": reference.digest,
        "verdict": said.verdict,
        "held": said.held,
        "tests": {test.name: test.fired for test in said.tests},
        "drift": None if said.drift is None else (said.drift.rows, said.drift.moved),
    }
    return embedded.vectors.sha256, read_table(store, said.scores), told


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


def _sanitized(yard: Yard, policy: Policy) -> Sanitization:
    rng = np.random.default_rng(4)
    rows, clean = rng.normal(size=(400, 6)), rng.normal(size=(200, 6))
    rows[:20] += 4
    with open_engine(policy, yard.workspace.store, "sanitize/work-1") as engine:
        found = sanitize(
            {"first": rows, "last": rows[:, :4] * 2},
            np.arange(400) % 2,
            [f"r{number}" for number in range(400)],
            trusted=({"first": clean, "last": clean[:, :4] * 2}, np.arange(200) % 2),
            policy=policy,
            engine=engine,
        )
    assert not [path for path in yard.workspace.store.sizes() if "/work-" in path]
    return found


def test_ray_gives_what_this_process_gives_though_workers_die(
    cluster: None,
    fitted_reference: str,
    tmp_path: Path,
    sqlite_catalog: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Vectors, reference and sanitizing to the byte, scores to 1e-6, the same tests and drift."""
    engines = {"local": "local", "ray": {"name": "ray", "task_rows": 1, "memory_bytes": 2**20}}
    kills, whole = tmp_path / "kills", RayEngine.map
    kills.mkdir()
    # Kills of each piece, and of how many pieces: for each, Ray starts a worker that loads all.
    often, pieces = (3, 4) if in_full() else (1, 1)

    def deadly(self: RayEngine, job: Job, *given: Any, **options: Any) -> Any:
        if isinstance(job, DEADLY):
            job = Killed(job, str(kills), often, pieces)
        return whole(self, job, *given, **options)

    monkeypatch.setattr(RayEngine, "map", deadly)
    screenings, sanitizings = [], []
    for name, engine in engines.items():
        yard = fresh_yard(sqlite_catalog, tmp_path / name, fitted_reference)
        screenings.append(_screened(yard, _policy(engine)))
        sanitizings.append(_sanitized(yard, _policy(engine)))
    assert 0 < screenings[0][2]["held"] < ROWS  # type: ignore[operator]
    _alike(*screenings)
    assert sanitizings[0].n_held > 0
    assert sanitizings[0].records.equals(sanitizings[1].records)
    assert sanitizings[0].classes.equals(sanitizings[1].classes)
    assert len(list(kills.iterdir())) >= (20 if in_full() else len(DEADLY))


RULES = """\
columns:
  text: {type: text, regex: "[a-z ]+ [0-5]", unique: true}
  label: {min: 1, increasing: true, rates: {"1": 1}, severity: {min: warning}}
unique: [[id, text]]
records: ["label != 2 or id != 't5'"]
count: {max: 10}
"""


def test_a_contract_is_judged_on_ray_as_in_this_process_though_a_worker_dies(
    cluster: None,
    fitted_reference: str,
    tmp_path: Path,
    sqlite_catalog: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the byte, with mended values; and a node with another contract judges nothing."""
    kills, whole, jobs = tmp_path / "kills", RayEngine.map, list[Checking]()
    kills.mkdir()

    def deadly(self: RayEngine, job: Job, *given: Any, **options: Any) -> Any:
        assert isinstance(job, Checking)
        jobs.append(job)
        return whole(self, Killed(job, str(kills), 1, 1), *given, **options)

    monkeypatch.setattr(RayEngine, "map", deadly)
    (tmp_path / "rules.yaml").write_text(RULES)
    head = "version: 1\ndataset: d\ncolumns: {record_id: id, label: label}\n"
    head += "sources: {require_signature: false}\n"
    head += "contract: {rules: rules.yaml}\nembed: {encoder: hashing, columns: [text]}\n"
    head += "cleaning: {invisible: {columns: [text], action: fix}}\n"
    said, policy = [], tmp_path / "policy.yaml"
    rows = _texts(ROWS)
    texts = [
        f"{one}\u200b" if n % 5000 == 0 else one for n, one in enumerate(rows["text"].to_pylist())
    ]
    rows = rows.set_column(2, "text", pa.array(texts))
    for engine in ("local", "{name: ray, task_rows: 1, memory_bytes: 1048576}"):
        policy.write_text(f"{head}engine: {engine}\n")
        loaded = Policy.load(policy)
        yard = fresh_yard(sqlite_catalog, tmp_path / engine[:5], fitted_reference)
        batch = stages.receive(yard.workspace, yard.deliver("day", rows), "vendor-a", policy=loaded)
        found = stages.validate(yard.workspace, batch.id, loaded).said
        assert found.failures is not None
        assert found.flags is not None
        said.append(
            (
                found.rules,
                found.broken,
                found.failing_rows,
                found.failures.sha256,
                found.flags.sha256,
            )
        )
        assert not [path for path in yard.workspace.store.sizes() if "/work-" in path]
    assert said[0] == said[1]
    assert {"text.regex", "text.unique", "label.increasing"} <= {one.rule for one in said[0][0]}
    assert len(list(kills.iterdir())) == len(jobs) == 1
    other = replace(jobs[0], contract="0" * 64)
    with (
        open_engine(loaded, yard.workspace.store, "batches/b/work-4") as ray,
        pytest.raises(UsageError, match="another one on this worker"),
    ):
        list(whole(ray, other, other.here, lambda: [3]))  # type: ignore[arg-type]


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


def test_a_task_that_no_node_has_room_for_ends_with_what_is_lacking(
    cluster: None, sqlite_yard: Yard, tmp_path: Path
) -> None:
    """A cluster that was joined is waited for; here for no longer than the first look."""
    asked = {"name": "ray", "cpus": 64, "node_seconds": 0}
    job = Failing("mistake", str(tmp_path))
    import ray

    # What the doctor asks, in a process of its own.
    (node,) = look_at_cluster(ray.get_runtime_context().gcs_address)
    assert node["CPU"] == 2
    with (
        open_engine(_policy(asked), sqlite_yard.workspace.store, "batches/b/work-3") as engine,
        pytest.raises(SystemFaultError, match=r"asks for 64 processors; the largest of 1 node has"),
    ):
        list(engine.map(job, job.run, lambda: [3, 4]))
