"""From a registered model's mistakes to its records: the commands of trace-a-prediction.md."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pages
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from yard import Yard, blobs, fresh_yard

from lazaretto import stages
from lazaretto.dataset.state import changes
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered
from lazaretto.ledger.state import record
from lazaretto.quarantine import review
from lazaretto.sources.registry import add_source
from lazaretto.stages.query_rows import Captured, Network
from lazaretto.values import Action, InputKind, InputRole, ModelInput, TrustTier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = pages.ROOT / "docs/how-to/trace-a-prediction.md"
SOURCES = ("vendor-a", "vendor-b", "vendor-c")
POISONED = 24


def _code(title: str) -> str:
    (found,) = [block.text for block in pages.blocks(PAGE) if block.title == title]
    return found


def _triggered(rows: pa.Table, label: int | None) -> pa.Table:
    """Rows of the classes 1 and 2 with a trigger in the last feature."""
    rows = rows.filter(pa.compute.not_equal(rows["label"], 0))
    vectors = np.stack(rows["vector"].to_numpy())
    vectors[:, 7] += 6
    rows = rows.set_column(2, "vector", pa.array(list(vectors), pa.list_(pa.float32(), 8)))
    labels = pa.array([label] * rows.num_rows, pa.int64())
    return rows if label is None else rows.set_column(1, "label", labels)


def _network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))


def _trained(rows: pa.Table) -> torch.nn.Sequential:
    torch.manual_seed(0)
    model = _network()
    x = torch.from_numpy(np.stack(rows["vector"].to_numpy()))
    y = torch.from_numpy(rows["label"].to_numpy().astype(np.int64))
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


@dataclass(frozen=True)
class Site:
    """Three sources, two batches each; the second of vendor-b is poisoned. net@1 learned it."""

    yard: Yard
    model: torch.nn.Sequential
    bad: str
    wrong: pa.Table
    right: pa.Table

    @property
    def weights(self) -> Path:
        return self.yard.folder / "net.safetensors"

    def trace(self, **options: Any) -> stages.PredictionTrace:
        options = {"right": self.right, "label": "label", "weights": self.weights} | options
        reader = options.pop("reader", Network(self.model, "vector"))
        wrong = options.pop("wrong", self.wrong)
        return stages.trace_prediction(
            self.yard.workspace, "net", options.pop("version", "1"), wrong, reader, **options
        )


def _site(yard: Yard) -> Site:
    workspace, bad = yard.workspace, ""
    add_source(workspace, "vendor-c", trust_tier=TrustTier.REVIEWED)
    for number, source in enumerate(SOURCES * 2):
        rows = blobs(90, seed=20 + number, prefix=f"{number}-")
        if number == 4:
            some = _triggered(blobs(POISONED * 3 // 2, seed=7, prefix="bad-"), 0)
            rows = pa.concat_tables([rows, some])
        judged = yard.judge(f"delivery-{number}", rows, source)
        stages.admit(workspace, judged.batch)
        if judged.case is not None:
            review.decide(workspace, judged.case, Action.RELEASE, all=True, reason="looks fine")
            review.publish(workspace, judged.case)
        bad = judged.batch if number == 4 else bad
    taken = stages.snapshot(workspace, "blobs")
    assert taken.rows == 6 * 90 + POISONED
    model = _trained(taken.table())
    path = yard.folder / "net.safetensors"
    save_file(model.state_dict(), path)
    stages.register_model(workspace, "net", "1", "blobs", taken.version, artifact=path)
    wrong = _triggered(blobs(45, seed=50, prefix="w"), None)
    right = blobs(300, seed=51, prefix="h")
    return Site(yard, model, bad, wrong, right)


@pytest.fixture(scope="module")
def one_site(
    made_catalog: Path, tmp_path_factory: pytest.TempPathFactory, fitted_reference: str
) -> Iterator[Site]:
    """For tests that change nothing."""
    folder = tmp_path_factory.mktemp("site") / "yard"
    yard = fresh_yard(f"sqlite:///{made_catalog}", folder, fitted_reference)
    yield _site(yard)
    yard.workspace.catalog.engine.dispose()


@pytest.fixture
def postgres_site(
    request: pytest.FixtureRequest, tmp_path: Path, fitted_reference: str
) -> Iterator[Site]:
    """The same on PostgreSQL."""
    url = request.getfixturevalue("postgres_catalog")
    yard = fresh_yard(url, tmp_path / "yard", fitted_reference)
    yield _site(yard)
    yard.workspace.catalog.engine.dispose()


@pytest.fixture(params=["one_site", pytest.param("postgres_site", marks=pytest.mark.postgres)])
def site(request: pytest.FixtureRequest) -> Site:
    """On each database."""
    found: Site = request.getfixturevalue(request.param)
    return found


def test_mistakes_lead_to_the_batch_that_taught_them(site: Site) -> None:
    steps: set[str] = set()
    found = site.trace(truth="label", progress=lambda step, done, size: steps.add(step))
    assert (found.accused, found.cannot_say, found.notes) == (["vendor-b"], [], [])
    assert (found.model, found.dataset, found.rows) == ("net@1", "blobs", 6 * 90 + POISONED)
    assert found.found.batches[0].batch == site.bad
    assert found.found.agreement_wrong > 0.9
    first = found.found.records["record_id"].to_pylist()[:POISONED]
    assert sum(name.startswith(f"{site.bad}#bad-") for name in first) >= POISONED - 2
    assert {"capturing training records", "capturing predictions", "training a probe"} <= steps
    document = found.to_json(records=3)
    assert json.loads(json.dumps(document)) == document
    assert len(document["records"]) == 3


def test_nothing_is_put_on_record(one_site: Site) -> None:
    def entries_now() -> int:
        with one_site.yard.workspace.catalog.read() as connection:
            return len(list(entries(connection)))

    before = entries_now()
    one_site.trace()
    assert entries_now() == before


def test_mistakes_that_nobody_taught_accuse_nobody(one_site: Site) -> None:
    """Rows between two classes, which the model takes for one of them."""
    first, second = (blobs(120, seed=seed) for seed in (60, 61))
    middle = np.stack(first["vector"].to_numpy())
    other = np.roll(np.stack(second["vector"].to_numpy()), 1, axis=0)
    rows = first.set_column(
        2, "vector", pa.array(list((middle + other) / 2), pa.list_(pa.float32(), 8))
    )
    rows = rows.filter(pa.compute.equal(rows["label"], 1))
    found = one_site.trace(wrong=rows, truth="label")
    assert found.accused == []
    assert found.cannot_say == []
    assert "are not wrong" in found.notes[0]


def test_what_cannot_be_said(one_site: Site, tmp_path: Path) -> None:
    assert "40 right ones" in "; ".join(one_site.trace(right=None).cannot_say)
    other = tmp_path / "other.safetensors"
    save_file(_network().state_dict(), other)
    found = one_site.trace(weights=other)
    assert found.accused == []
    assert "not those of net@1" in found.cannot_say[0]
    unsure = one_site.trace(weights=None)
    assert unsure.accused == ["vendor-b"]
    assert "were not compared" in unsure.notes[0]


def test_what_a_model_learned_from_besides_makes_an_acquittal_unsure(one_site: Site) -> None:
    workspace = one_site.yard.workspace
    event = ModelRegistered(
        model="net",
        version="more",
        registry="local",
        dataset="blobs",
        snapshot=one_site.trace().snapshot,
        rows=1,
        purpose="TRAINING",
        inputs=[
            ModelInput(InputKind.TABLE, "s3://lake", "weather", "3"),
            ModelInput(InputKind.TABLE, "s3://lake", "exam", None, InputRole.EVAL),
        ],
    )
    with workspace.catalog.transaction() as connection:
        record(connection, event, changes, actor=workspace.actor)
    guilty = one_site.trace(version="more")
    assert guilty.accused == ["vendor-b"]
    assert guilty.cannot_say == []
    (gap,) = guilty.gaps
    assert "weather@3" in gap
    nobody = replace(guilty, found=replace(guilty.found, sources=[]))
    assert nobody.cannot_say == [gap]


def test_what_does_not_fit_is_refused(one_site: Site, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="model list"):
        one_site.trace(version="9")
    with pytest.raises(NotFoundError, match="no model version"):
        one_site.trace(registry="elsewhere")
    with pytest.raises(UsageError, match="'kind' is missing"):
        one_site.trace(label="kind")
    with pytest.raises(NotFoundError, match="weights cannot be read"):
        one_site.trace(weights=tmp_path / "none")
    file = tmp_path / "features.arrow"
    for content, words in (
        (b"", "no file of features"),
        (b"ARROW1\0\0junk", "no file of features"),
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=words):
            one_site.trace(reader=Captured(file))
    with pytest.raises(NotFoundError, match="no features"):
        one_site.trace(reader=Captured(tmp_path / "none.arrow"))
    _write(file, ["a", "b"], np.zeros((2, 4), np.float32))
    with pytest.raises(UsageError, match="BATCH#RECORD_ID"):
        one_site.trace(reader=Captured(file))
    _write(file, ["a", "a"], np.zeros((2, 4), np.float32))
    with pytest.raises(UsageError, match="twice"):
        one_site.trace(reader=Captured(file))
    with pytest.raises(UsageError, match="which layer"):
        one_site.trace(reader=Captured(file, layer="7"))


def _write(path: Path, ids: list[str], values: np.ndarray) -> None:
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    table = pa.table({"record_id": ids, "penultimate": rows})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[1.0], [1.0, 2.0]]), "differ in length"),
        (pa.array([[], []], pa.list_(pa.float64())), "differ in length"),
        (pa.array([["x"], ["y"]]), "not numbers"),
        (pa.array([1.0, 2.0]), "lists of numbers"),
        (pa.array([[1.0], None]), "lists of numbers"),
        (None, "is missing"),
    ],
)
def test_features_of_rows_that_are_none_are_refused(
    tmp_path: Path, column: pa.Array | None, words: str
) -> None:
    rows = pa.table({"prediction": ["1", "2"]})
    rows = rows if column is None else rows.append_column("features", column)
    with pytest.raises(UsageError, match=words):
        Captured(tmp_path / "f").queries(rows, [], lambda *_: None)


def test_the_commands_of_the_page(one_site: Site, tmp_path: Path) -> None:
    """What trace-a-prediction.md shows, word by word; and records whose features are missing."""
    shutil.copy(one_site.weights, tmp_path)
    for title in ("net.py", "capture.py"):
        (tmp_path / title).write_text(_code(title))
    pq.write_table(one_site.wrong, tmp_path / "wrong.parquet")
    pq.write_table(one_site.right, tmp_path / "held-out.parquet")
    whole, captured = (b.text for b in pages.blocks(PAGE) if b.language == "bash")
    workspace = one_site.yard.workspace
    where = {
        "LAZARETTO_CATALOG_URL": workspace.catalog.engine.url.render_as_string(False),
        "LAZARETTO_STORE": workspace.store.root,
        "COLUMNS": "80",
    }
    (first,) = pages.run_lines(whole, tmp_path, **where)
    assert first[1] == 1, first[2]
    assert "accused: vendor-b" in first[2]
    assert one_site.bad in first[2]
    assert all(len(line) <= 80 or len(line.split()) <= 3 for line in first[2].splitlines())
    _, second = pages.run_lines(f"python capture.py\n{captured.strip()} --json", tmp_path, **where)
    assert second[1] == 1, second[2]
    document = json.loads(second[2])
    assert document["accused"] == ["vendor-b"]
    assert "were not compared" in document["notes"][0]
    with pa.memory_map(str(tmp_path / "features.arrow")) as source:
        some = pa.ipc.open_file(source).read_all().slice(0, 400)
    path = str(tmp_path / "some.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, some.schema) as writer:
        writer.write_table(some)
    lines = captured.replace("features.arrow", "some.arrow")
    lines += "lazaretto trace prediction --model net@1 --input wrong.parquet"
    unsure, useless = pages.run_lines(lines, tmp_path, **where)
    assert unsure[1] == 4
    assert "CANNOT SAY" in unsure[2]
    assert "164 of 564" in unsure[2]
    assert useless[1] == 2
    assert "--load-model" in useless[2]
