"""Engines: whatever the cut and the place, the same comes out; killed workers leave nothing."""

from __future__ import annotations

import json
import random
import shlex
import uuid
from contextlib import nullcontext
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pages
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cut_engine import CutEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from killed_worker import Failing
from many import examples, in_full
from typer.testing import CliRunner
from yard import blobs, make_policy

from lazaretto.batch import Stretch, as_chunks, decode, open_canonical, stretches_of
from lazaretto.cli.app import app
from lazaretto.embed import load_encoder, reader
from lazaretto.engine import LocalEngine, open_engine, select
from lazaretto.engine import on_ray as on_ray_module
from lazaretto.engine.on_ray import RayEngine
from lazaretto.engine.room import Patience, lacking
from lazaretto.engine.worker import Done, Task, work
from lazaretto.errors import PolicyError, ReferenceMismatchError, SystemFaultError
from lazaretto.health.examine_policy import policy_lines
from lazaretto.health.examined import State
from lazaretto.policy import Limits, Policy
from lazaretto.policy.engine import EngineOptions
from lazaretto.reference import Reference, _ahead
from lazaretto.reference._ahead import encoded_by
from lazaretto.sanitize import sanitize
from lazaretto.sanitize.scores import Scores
from lazaretto.screen import _piece, _sample, _score
from lazaretto.screen._piece import Piece
from lazaretto.stages.check_policy import check_policy
from lazaretto.stages.policy_replay import replay_policy
from lazaretto.storage.sidecars import put_chunks, read_stretch, write_parquet
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from yard import Yard

    from lazaretto.engine import Engine
    from lazaretto.sanitize import Sanitization

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


def _texts_policy(**embed: object) -> Policy:
    return make_policy(
        columns={"record_id": "id", "label": "label"},
        embed={"encoder": "hashing", "columns": ["text"], "options": {"buckets": 16}, **embed},
    )


def _trusted(count: int) -> pa.Table:
    words = ("the train is late", "goals and cups", "stocks fell")
    return pa.table(
        {
            "id": [f"t{number}" for number in range(count)],
            "label": [str(number % 3) if number % 19 else None for number in range(count)],
            "text": [f"{words[number % 3]} {number % 7}" for number in range(count)],
        }
    )


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=st.randoms())
def test_trusted_rows_have_the_same_vectors_whatever_the_cut_and_the_order(
    monkeypatch: pytest.MonkeyPatch, order: random.Random
) -> None:
    monkeypatch.setattr(_ahead, "CHUNK_ROWS", 64)
    policy, trusted = _texts_policy(), _trusted(300)
    engine = CutEngine(Store.at(f"memory://{uuid.uuid4().hex}"), order)
    encoder = load_encoder(policy)
    ahead = encoded_by(engine, trusted, policy, encoder, None)
    assert (ahead.name, ahead.digest, ahead.weights) == (
        encoder.name,
        encoder.digest,
        encoder.weights,
    )
    for chunk in as_chunks(trusted, size=64):
        assert ahead.encode(chunk).tobytes() == encoder.encode(chunk).tobytes()
    assert encoded_by(LocalEngine(), trusted, policy, encoder, None) is encoder


@pytest.mark.parametrize("encoder", ["hashing", "tabular"])
def test_a_reference_is_the_same_to_the_byte_wherever_its_rows_were_encoded(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it fits its encoder, whose state workers need."""
    monkeypatch.setattr(_ahead, "CHUNK_ROWS", 64)
    monkeypatch.setattr(reader, "CHUNK_ROWS", 64)
    trusted = _trusted(200).append_column("n", pa.array(np.arange(200) % 23))
    policy = _texts_policy()
    if encoder == "tabular":
        policy = _texts_policy(encoder=encoder, options={}, columns=["n"], model="reference")
    whole = Reference.fit(trusted, policy, name="texts")
    assert (whole.encoder_state is not None) is (encoder == "tabular")
    engine = CutEngine(Store.at("memory://cut"), random.Random(3))  # noqa: S311
    cut = Reference.fit(trusted, policy, name="texts", engine=engine)
    assert cut.digest == whole.digest
    assert cut.files() == whole.files()


def test_a_worker_with_other_weights_encodes_nothing(tmp_path: Path) -> None:
    store, policy = Store.at(tmp_path), _texts_policy()
    rows = put_chunks(store, "rows.parquet", [_trusted(30)])
    job = _ahead.Encoding(rows, policy, "another", None)
    with pytest.raises(ReferenceMismatchError, match="other weights"):
        job.open(store)


def _sanitized(engine: Engine | None, *, trusted: bool) -> Sanitization:
    rng = np.random.default_rng(4)
    rows, clean = rng.normal(size=(60, 4)).astype(np.float32), rng.normal(size=(50, 4))
    rows[:5] += 4
    rows[7] = np.nan
    known = {"first": clean, "last": clean[:, :2]}, np.arange(50) % 2
    return sanitize(
        {"first": rows, "last": rows[:, :2]},
        np.arange(60) % 3,
        [f"r{number}" for number in range(60)],
        trusted=known if trusted else None,
        repeats=2,
        engine=engine,
    )


@pytest.mark.parametrize("trusted", [True, False])
def test_sanitizing_is_the_same_to_the_byte_in_whatever_order_rows_are_scored(
    trusted: bool,
) -> None:
    whole = _sanitized(None, trusted=trusted)
    assert whole.n_held > 0
    for seed in range(20 if in_full() else 2):
        store = Store.at(f"memory://{uuid.uuid4().hex}")
        engine = CutEngine(store, random.Random(seed))  # noqa: S311
        found = _sanitized(engine, trusted=trusted)
        assert found.records.equals(whole.records)
        assert found.classes.equals(whole.classes)


def test_scores_in_tables_say_the_same() -> None:
    values = np.array([1, np.nan], np.float32)
    for scores in (
        Scores(values, None, view="split", detail={2: "a: b", 0: "c"}),
        Scores(values, values[:0], agreement=np.array([0.5]), skipped="too few rows"),
    ):
        np.testing.assert_equal(asdict(Scores.of_tables(_chunked(scores))), asdict(scores))


def _chunked(scores: Scores) -> dict[str, list[pa.Table]]:
    """As a file gives it back: none where there is no row."""
    return {
        name: [table.slice(row, 1) for row in range(table.num_rows)]
        for name, table in scores.tables().items()
    }


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

    job = Failing("mistake", "")
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
    assert line["state"] == "failure"  # nobody has such a cluster
    assert "no Ray cluster answers at ray://head.internal:10001" in line["found"]
    assert "secret" not in told.output


def test_who_asks_for_more_than_any_node_has_is_told_what_the_largest_has() -> None:
    """At once where nothing is waited for; a node that comes in time is all that it takes."""
    small, large = {"CPU": 2.0, "memory": 2.0**31}, {"CPU": 8.0, "memory": 2.0**34}
    options = EngineOptions(name="ray", cpus=4, memory_bytes=2**33, node_seconds=60)
    assert lacking(options, [small, large]) is None
    said = "a task asks for 4 processors, 8 GiB of memory; the largest of 2 nodes has 2 processors"
    assert said in str(lacking(options, [small, {"CPU": 1.0}]))
    # Two nodes have together what no single one has.
    assert lacking(options, [{"CPU": 4.0}, {"memory": 2.0**33}]) is not None
    patience = Patience(options)
    assert patience.look([small], now=0) == patience.look([small], now=59)
    assert patience.look([small, large], now=61) is None
    assert patience.look([small], now=62) is not None
    with pytest.raises(SystemFaultError, match=r"after 60 s: .*asks for 4 processors.*has 2"):
        patience.look([small], now=122)


def test_doctor_says_that_no_cluster_of_this_machine_has_room(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    path = tmp_path / "policy.yaml"
    head = "version: 1\ndataset: d\ncolumns: {embedding: v}\n"
    path.write_text(f"{head}engine: {{name: ray, cpus: 9000}}\n")
    (line,) = [line for line in policy_lines(None, path) if line.subject == "engine"]
    assert line.state is State.FAILURE
    assert "asks for 9000 processors; the largest of 1 node has" in line.found
    assert "GPU" not in line.found
    assert "engine.cpus" in str(line.todo)


def test_workers_judge_past_batches_again_in_a_trial_that_leaves_nothing(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nodes see the real store alone; here one process does what each of them would."""
    yard, tried = sqlite_yard, list[str]()
    yard.judge("day", blobs(300, seed=3, flips=20))
    screen = {**make_policy().screen.model_dump(), "false_quarantine_rate": 0.2}
    lax, on_ray = make_policy(screen=screen), make_policy(screen=screen, engine="ray")

    def done(
        engine: RayEngine, task: Task, stretches: Sequence[Stretch]
    ) -> Iterator[tuple[Stretch, Done]]:
        tried.append(task.store)
        for one in stretches:
            answer = work(task, one)
            assert isinstance(answer, Done), answer
            yield one, answer

    monkeypatch.setattr(RayEngine, "_done", done)
    monkeypatch.setattr(on_ray_module, "joined", lambda *given: nullcontext(RayEngine(*given)))
    monkeypatch.setattr(select, "find_spec", lambda _: True)
    here, before = replay_policy(yard.workspace, lax), yard.workspace.store.sizes()
    there = replay_policy(yard.workspace, on_ray)
    assert there.batches == here.batches
    assert here.batches[0].after.held
    root = yard.workspace.store.root
    assert tried
    assert all(one.startswith(f"{root}/work-trial-") for one in tried)
    assert yard.workspace.store.sizes() == before
    assert not list(Path(root).glob("work-trial-*"))
