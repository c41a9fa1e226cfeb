"""Engines: whatever the cut and the place, the same comes out; killed workers leave nothing."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pages
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killed_worker import Counting, Failing
from many import examples
from ray_cluster import local_cluster
from typer.testing import CliRunner
from yard import Yard, blobs, fresh_yard, make_policy

from lazaretto import stages
from lazaretto.batch import Stretch, decode, open_canonical, stretches_of
from lazaretto.cli.app import app
from lazaretto.drift import Profile
from lazaretto.engine import LocalEngine, open_engine
from lazaretto.errors import (
    ChangedFileError,
    PolicyError,
    ReferenceMismatchError,
    SystemFaultError,
)
from lazaretto.health.examine_policy import policy_lines
from lazaretto.health.examined import State
from lazaretto.policy import Limits, Policy
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.screen import _piece, _sample, _score
from lazaretto.screen._piece import Piece
from lazaretto.stages.check_policy import check_policy
from lazaretto.storage.sidecars import read_stretch, read_table, write_parquet
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 20_000
"""So many that a canonical copy has two chunks."""


def _odd(count: int) -> pa.Table:
    """Records some of which are mislabelled, and some of which cannot be scored."""
    table = blobs(count, seed=8, flips=count // 10)
    vectors = table["vector"].to_pylist()
    for row in range(0, count, 17):
        vectors[row] = [float("nan")] * 8
    column = pa.array(vectors, pa.list_(pa.float32(), 8))
    return table.set_column(table.schema.get_field_index("vector"), "vector", column)


@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.integers(1, 299), max_size=6, unique=True), order=st.randoms())
def test_scores_are_the_same_whatever_the_cut_and_the_order(
    fitted_reference: str, monkeypatch: pytest.MonkeyPatch, cuts: list[int], order: object
) -> None:
    """What is kept of a batch is bounded here by less than it has, as in a large one."""
    monkeypatch.setattr(_sample, "SAMPLE_ROWS", 40)
    monkeypatch.setattr(_piece, "MOST", 15)
    monkeypatch.setattr(_score, "MOST", 15)
    reference, table = Reference.load(fitted_reference), _odd(300)
    screen = make_policy().screen.model_dump()
    policy = make_policy(
        columns={**make_policy().columns.model_dump(), "groups": ["from"]},
        screen={
            **screen,
            "detectors": {"mahalanobis": {}, "knn_label": {"k": 5, "apart": True}},
        },
    )
    groups = pa.array([f"g{n % 7}" if n % 5 else None for n in range(300)])
    table = table.append_column("from", groups)
    exclude = {f"r{row}" for row in range(3, 300, 23)}
    whole = _score.score_batch(table, reference, policy, exclude=exclude, seed=7)
    assert sum(map(len, whole.apart.values()))
    edges = [0, *sorted(cuts), 300]
    spans = list(pairwise(edges))
    order.shuffle(spans)  # type: ignore[attr-defined]
    pieces = {}
    for start, stop in spans:
        piece = _score.score_piece(
            table.slice(start, stop - start),
            reference,
            policy,
            exclude=exclude,
            embeddings=None,
            tap=None,
            offset=start,
            seed=7,
        )
        pieces[start] = Piece.of_tables({n: [t] for n, t in piece.tables().items()})
    found = _score.gathered([pieces[start] for start in edges[:-1]], reference, policy, seed=7)
    assert found.ids.to_pylist() == whole.ids.to_pylist()
    assert found.problems == whole.problems
    assert found.reasons == whole.reasons
    assert found.apart == whole.apart
    assert found.groups["from"].to_pylist() == whole.groups["from"].to_pylist()
    assert found.seed == whole.seed
    for name in ("score", "p_value", "detector_p"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-6)
    assert found.sample.position.tolist() == whole.sample.position.tolist()
    assert found.oddest.position.tolist() == whole.oddest.position.tolist()
    assert np.array_equal(found.sample.embedding, whole.sample.embedding)
    assert np.array_equal(found.oddest.label, whole.oddest.label)


def test_stretches_of_a_batch_have_its_ids_and_its_mended_values(tmp_path: Path) -> None:
    """Also where an id is made of content and position."""
    rows = pa.table({"text": ["same", "other"] * (ROWS // 2), "n": range(ROWS)})
    pq.write_table(rows.select(["text"]), tmp_path / "day.parquet")
    (tmp_path / "out").mkdir()
    decoded = decode(
        tmp_path / "day.parquet", tmp_path / "out", name="day", format="parquet", limits=Limits()
    )
    fixes = pa.table({"position": [0, ROWS - 1], "column": ["text"] * 2, "fixed": ["a", "b"]})
    with decoded.path.open("rb") as file:
        batch = open_canonical(file, rows=ROWS, name="day").fixed(fixes)
        extents = batch.extents()
        assert sum(extents) == ROWS
        parts = [batch.stretch(one) for one in stretches_of(extents, 1)]
        assert len(parts) > 1
        columns = make_policy(columns={}).columns
        for ids in (columns, columns.model_copy(update={"record_id": "text"})):
            whole = [(i.to_pylist(), c.to_pylist()) for i, c in batch.records(ids)]
            cut = [(i.to_pylist(), c.to_pylist()) for part in parts for i, c in part.records(ids)]
            assert cut == whole
        assert parts[-1].table()["text"][-1].as_py() == "b"


def test_a_side_car_is_read_in_stretches(tmp_path: Path) -> None:
    store, whole = Store.at(tmp_path), pa.table({"n": range(100)})
    file = write_parquet(
        store, "a.parquet", whole.schema, (whole.slice(n, 7) for n in range(0, 100, 7))
    )
    for first, rows in ((0, 100), (0, 7), (6, 2), (50, 33), (99, 1)):
        assert read_stretch(store, file, first, rows)["n"].to_pylist() == [
            *range(first, first + rows)
        ]


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


def test_an_engine_changes_nothing_that_a_policy_means() -> None:
    assert make_policy(engine="ray").says == make_policy().says
    assert make_policy(engine={"name": "ray", "cpus": 2.0}).reads(
        "screen", None
    ) == make_policy().reads("screen", None)
    assert Policy.model_validate(make_policy().model_dump()).engine_options.name == "local"


def test_without_ray_a_policy_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.engine import select

    monkeypatch.setattr(select, "find_spec", lambda name: None)
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\ndataset: d\ncolumns: {embedding: v}\nengine: ray\n")
    policy = Policy.load(path)
    with pytest.raises(
        PolicyError, match=r"policy.yaml:4: engine: .*pip install 'lazaretto\[ray\]'"
    ):
        select.check_engine(policy)
    with pytest.raises(PolicyError), open_engine(policy, Store.at(tmp_path), "work"):
        pass
    with pytest.raises(PolicyError, match=r"lazaretto\[ray\]"):
        check_policy(policy)
    found = [line for line in policy_lines(None, path) if line.subject == "engine"]
    assert [line.state for line in found] == [State.FAILURE]
    assert "pip install" in f"{found[0].found} {found[0].todo}"


def test_local_stretches_come_in_order() -> None:
    def here(stretch: Stretch | None) -> dict[str, list[pa.Table]]:
        return {"n": [pa.table({"n": [-1 if stretch is None else stretch.offset]})]}

    job = Counting(None)
    found = [one for one, _ in LocalEngine(5).map(job, here, lambda: [3, 3, 3])]
    assert [(one.offset, one.rows) for one in found if one] == [(0, 6), (6, 3)]
    ((whole, _),) = LocalEngine().map(job, here, lambda: [3, 3, 3])
    assert whole is None


def test_the_page_on_scaling_out_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    page = pages.ROOT / "docs/how-to/scale-out.md"
    shown = {block.title: block for block in pages.blocks(page) if block.title}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "ray://user:secret@head.internal:10001")
    for title in ("policy.yaml", "hints.yaml"):
        (tmp_path / title).write_text(shown[title].text)
        assert Policy.load(title).engine_options.name == "ray"
    environment = {"LAZARETTO_CATALOG_URL": f"sqlite:///{tmp_path}/none.db"}
    check, doctor = map(shlex.split, pages.shell_lines(shown["check"]))
    told = CliRunner().invoke(app, check[1:], env=environment)
    assert told.exit_code == 0, told.output
    told = CliRunner().invoke(app, [*doctor[1:], "--json"], env=environment)
    (line,) = [one for one in json.loads(told.stdout)["lines"] if one["subject"] == "engine"]
    assert line["state"] == "ok"
    assert "head.internal:10001" in line["found"]
    assert "secret" not in told.output
