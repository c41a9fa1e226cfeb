"""Evaluations: what is measured is what happened, and the report is the one on record."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner
from yard import Yard, blobs

from lazaretto import models, stages
from lazaretto.authority.policies import register_policy
from lazaretto.batch import file_digest
from lazaretto.cli.app import app
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import ModelEvaluated
from lazaretto.models import Asked, ModelSource
from lazaretto.models.answers import Answers, of_function
from lazaretto.models.measure import calibration, groups, worst
from lazaretto.models.report import read_report
from lazaretto.models.stress import corrupted
from lazaretto.quarantine import review
from lazaretto.sources.keys import keygen, load_public_key
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.models import Evaluated


def network() -> nn.Sequential:
    """A network that gives each blob of the yard its class."""
    layer = nn.Linear(8, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[torch.arange(3), torch.arange(3)] = 1.0
        layer.bias.zero_()
    return nn.Sequential(layer)


def load(weights: str) -> nn.Module:
    """What a user's module has: it reads safetensors."""
    net = network()
    net.load_state_dict(load_file(weights))
    return net


@pytest.fixture
def net(sqlite_yard: Yard) -> Path:
    """The weights of ``net@1``, which learned from one delivery."""
    yard = sqlite_yard
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    weights = yard.folder / "net.safetensors"
    save_file(network().state_dict(), weights)
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version, artifact=weights)
    return weights


def rows_with_slices(folder: Path) -> Path:
    """Test rows with a column of slices: in one of them every third label is wrong."""
    count = 120
    rows = blobs(count, seed=9, prefix="t")
    region = ["north" if number % 4 else "south" for number in range(count)]
    labels = [
        (label + 1) % 3 if place == "south" and number % 12 == 0 else label
        for number, (label, place) in enumerate(zip(rows["label"].to_pylist(), region, strict=True))
    ]
    rows = rows.set_column(1, "label", pa.array(labels)).append_column("region", pa.array(region))
    path = folder / "test.parquet"
    pq.write_table(rows, path)
    return path


def measured(yard: Yard, source: ModelSource, **changes: Any) -> Evaluated:
    return models.evaluate_file(
        yard.workspace, "net", "1", rows_with_slices(yard.folder), source, asked=Asked(**changes)
    )


def test_figures_are_what_the_model_does(sqlite_yard: Yard, net: Path) -> None:
    source = ModelSource(weights=net, load=load)
    done = measured(sqlite_yard, source, slices=["region", "none"], epsilon=4.0)
    figures = done.report.figures
    assert figures["accuracy"] == pytest.approx(110 / 120)
    assert figures["slice_accuracy"] == pytest.approx(20 / 30)
    assert [(g.name, g.rows, g.right) for g in done.report.slices] == [
        ("region=north", 90, 90),
        ("region=south", 30, 20),
    ]
    assert "slices by 'none' are not measured" in done.report.notes[0]
    assert figures["corrupted_accuracy"] <= figures["accuracy"]
    assert set(done.report.corruptions) == {"noise", "missing values"}
    assert done.report.attacks["pgd"] <= done.report.attacks["fgsm"] < figures["accuracy"]
    assert 0 <= figures["calibration_error"] <= 1
    assert (done.report.how, done.report.rows) == ("torch", 120)


def test_the_report_on_record_is_signed_and_is_what_was_measured(
    sqlite_yard: Yard, net: Path
) -> None:
    yard = sqlite_yard
    private, public = keygen()
    done = models.evaluate_file(
        yard.workspace,
        "net",
        "1",
        path := rows_with_slices(yard.folder),
        ModelSource(weights=net, load=load),
        key=private,
    )
    with yard.workspace.catalog.read() as connection:
        event = entry(connection, done.seq).event
    assert isinstance(event, ModelEvaluated)
    assert (event.test_set, event.artifact_digest) == (file_digest(path), file_digest(net))
    assert event.figures == done.report.figures
    kept = read_report(yard.workspace.store, event.report)
    assert kept["figures"] == done.report.figures
    assert event.envelope is not None
    sealed = json.loads(yard.workspace.store.read(event.envelope))
    said = json.loads(base64.b64decode(sealed["payload"]))
    assert said["subject"] == [{"name": "net@1", "digest": {"sha256": event.report.sha256}}]
    assert sealed["signatures"][0]["keyid"] == load_public_key(public.decode()).keyid


def test_onnx_a_function_and_predictions_give_the_same_figures(
    sqlite_yard: Yard, net: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    yard = sqlite_yard
    path = rows_with_slices(yard.folder)
    by_torch = measured(yard, ModelSource(weights=net, load=load)).report.figures
    weight = network()[0].weight.detach().numpy().T
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "net",
        [onnx.helper.make_tensor_value_info("x", kind, ["n", 8])],
        [onnx.helper.make_tensor_value_info("y", kind, ["n", 3])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(weight), "w")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    made.ir_version = 8
    other = yard.folder / "net.onnx"
    other.write_bytes(made.SerializeToString())
    with pytest.raises(UsageError, match="not the weights on record"):
        measured(yard, ModelSource(weights=other))
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "2", "blobs", taken.version, artifact=other)
    by_onnx = models.evaluate_file(
        yard.workspace, "net", "2", path, ModelSource(weights=other)
    ).report
    assert (by_onnx.how, by_onnx.figures) == ("onnx", pytest.approx(by_torch, abs=1e-6))

    def argmax(rows: pa.Table) -> Any:
        return np.stack(rows["vector"].to_numpy(zero_copy_only=False))[:, :3].argmax(1)

    function = measured(yard, ModelSource(load=lambda _: argmax)).report
    assert function.figures["accuracy"] == by_torch["accuracy"]
    assert "calibration_error" not in function.figures
    answers = yard.folder / "answers.parquet"
    pq.write_table(pa.table({"prediction": argmax(pq.read_table(path))}), answers)
    told = measured(yard, ModelSource(predictions=answers)).report
    assert (told.how, told.figures["accuracy"]) == ("predictions", by_torch["accuracy"])
    assert "corrupted_accuracy" not in told.figures


def test_what_cannot_be_asked_is_refused(sqlite_yard: Yard, net: Path) -> None:
    yard = sqlite_yard
    with pytest.raises(UsageError, match="say where the model is"):
        measured(yard, ModelSource())
    with pytest.raises(UsageError, match="neither ONNX nor safetensors"):
        measured(yard, ModelSource(weights=_file(yard, "net.pt")))
    with pytest.raises(UsageError, match="gave a str"):
        measured(yard, ModelSource(weights=net, load=lambda _: "net"))
    with pytest.raises(UsageError, match="gave 1 answers to 120 rows"):
        measured(yard, ModelSource(load=lambda _: lambda _rows: ["1"]))
    with pytest.raises(NotFoundError, match="cannot be read"):
        models.evaluate_file(
            yard.workspace, "net", "1", yard.folder / "none.parquet", ModelSource(weights=net)
        )


def test_canaries_come_from_a_file_and_from_rejected_poison(sqlite_yard: Yard, net: Path) -> None:
    yard = sqlite_yard
    judged = yard.judge("tuesday", blobs(90, seed=6, prefix="u", flips=9))
    review.decide(yard.workspace, str(judged.case), Action.REJECT, all=True, reason="flipped")
    canaries = blobs(10, seed=1, prefix="c")
    source = ModelSource(weights=net, load=load)
    report = measured(yard, source, canaries=canaries).report
    assert (report.figures["canaries"], report.canaries) == (1.0, 10)
    assert sum(one.rows for one in report.canary_classes) == 10
    labels = {str(label) for label in canaries["label"].to_pylist()}
    assert [one.name for one in report.canary_classes] == sorted(labels)
    assert all(one.accuracy == 1 for one in report.canary_classes)
    assert report.triggers >= 9
    assert report.figures["trigger_success"] < 0.2  # this network never learned the flips
    named = measured(yard, source, cases=[str(judged.case)]).report
    assert named.triggers == report.triggers
    with pytest.raises(NotFoundError, match="no case"):
        measured(yard, source, cases=["c-none"])


def test_a_version_is_compared_with_the_one_in_use_on_the_same_rows(
    sqlite_yard: Yard, net: Path
) -> None:
    yard = sqlite_yard
    source = ModelSource(weights=net, load=load)
    assert measured(yard, source).report.compared_with is None
    models.promote(yard.workspace, "net", "1")
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "2", "blobs", taken.version)
    path = rows_with_slices(yard.folder)
    half = replace(source, load=lambda _: lambda rows: [0] * rows.num_rows, weights=None)
    report = models.evaluate_file(yard.workspace, "net", "2", path, half).report
    assert report.compared_with == "1"
    assert report.figures["agreement"] == pytest.approx(1 / 3)


def test_by_the_command_line_and_promoted_by_what_it_shows(
    sqlite_yard: Yard, net: Path, sqlite_catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = sqlite_yard
    (yard.folder / "app_net.py").write_text(Path(__file__).read_text())
    monkeypatch.chdir(yard.folder)
    policy = yard.policy.model_copy(
        update={"model": yard.policy.model.model_validate({"evidence": {"accuracy": 0.9}})}
    )
    register_policy(yard.workspace, policy, reason="measured first")
    place = {
        "LAZARETTO_CATALOG_URL": sqlite_catalog,
        "LAZARETTO_STORE": yard.workspace.store.root,
        "COLUMNS": "100",
    }
    words = ["evaluate", "net@1", "--on", str(rows_with_slices(yard.folder)), "--weights", str(net)]
    words += ["--load-model", "app_net:load", "--slice-by", "region", "--epsilon", "0.5"]
    result = CliRunner().invoke(app, ["model", *words, "--json"], env=place)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["report"]["figures"]["accuracy"] > 0.9
    shown = CliRunner().invoke(app, ["model", *words], env=place)
    assert "slice region=south (30 rows)" in shown.stdout
    assert CliRunner().invoke(app, ["model", "promote", "net@1"], env=place).exit_code == 0


def test_temperature_scaling_mends_an_overconfident_model() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 2_000)
    right = draw.random(2_000) < 0.8
    said = np.where(right, truth, 1 - truth)
    scores = np.full((2_000, 2), 0.01)
    scores[np.arange(2_000), said] = 0.99
    answers = Answers([str(one) for one in said], scores, ["0", "1"])
    found = calibration(answers, [str(one) for one in truth])
    assert found is not None
    assert found.error == pytest.approx(0.19, abs=0.02)
    assert found.temperature is not None
    assert found.temperature > 2
    assert found.error_with_temperature is not None
    assert found.error_with_temperature < 0.04


def test_small_groups_are_shown_and_are_never_the_worst() -> None:
    answers = of_function(lambda rows: rows["label"], []).answer(blobs(30, seed=1))
    truth = [one or "" for one in answers.labels]
    found = groups(answers, ["x", *truth[1:]], ["tiny", *["wide"] * 29])
    assert [(one.name, one.accuracy) for one in found] == [("tiny", 0.0), ("wide", 1.0)]
    least = worst(found)
    assert least is not None
    assert least.name == "wide"


def test_damage_is_the_same_every_time_and_fits_the_columns() -> None:
    rows = blobs(20, seed=1).set_column(3, "text", pa.array(["some words are here"] * 20))
    first = dict(corrupted(rows, ["vector", "text"], (1, 2, 4)))
    again = dict(corrupted(rows, ["vector", "text"], (1, 2, 4)))
    assert list(first) == ["noise", "missing values", "blur", "typos", "unexpected tokens"]
    assert all(first[name] == again[name] for name in first)
    assert all(one.schema == rows.schema for one in first.values())
    assert first["typos"]["text"] != rows["text"]
    for text in first["unexpected tokens"]["text"].to_pylist():
        words = text.split(" ")
        kept = [word for word in words if not word.startswith(("@", "https://"))]
        assert len(words) > len(kept)
        assert kept == ["some", "words", "are", "here"]


def test_numbers_of_a_table_are_damaged_in_their_range_and_their_type() -> None:
    most = 2**31 - 1
    rows = pa.table(
        {
            "age": pa.array([*range(20, 60), None], pa.int32()),
            "spent": [float("nan"), *np.linspace(10, 11, 40).tolist()],
            "large": pa.array([most - n for n in range(41)], pa.int32()),
            "empty": pa.array([None] * 41, pa.float32()),
        }
    )
    made = dict(corrupted(rows, rows.schema.names))
    assert list(made) == ["noise", "missing values"]
    assert all(one.schema == rows.schema for one in made.values())
    noisy = made["noise"]
    assert noisy["age"] != rows["age"]
    assert noisy["age"].null_count == 1
    assert 20 <= min(noisy["age"].to_pylist()[:40]) <= max(noisy["age"].to_pylist()[:40]) <= 59
    assert np.isnan(noisy["spent"][0].as_py())
    spent = noisy["spent"].to_pylist()[1:]
    assert 10 - 1e-3 <= min(spent) <= max(spent) <= 11 + 1e-3
    assert noisy["empty"].null_count == 41
    missing = made["missing values"]["age"].to_pylist()[:40]
    assert 0 < missing.count(0) < 20
    assert all(now in (0, before) for now, before in zip(missing, range(20, 60), strict=True))


def _file(yard: Yard, name: str) -> Path:
    path = yard.folder / name
    path.write_bytes(b"x")
    return path
