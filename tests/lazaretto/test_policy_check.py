"""`policy check` names what `reference fit` and `ingest` would refuse, with the line it is on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.detect.registry import NEED_LABELS, detector_names, make_detector

HEAD = "version: 1\ndataset: toy\ncolumns: {record_id: id, label: label, embedding: vector}\n"
NO_LABEL = "version: 1\ndataset: toy\ncolumns: {record_id: id, embedding: vector}\n"


def check(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "policy.yaml"
    path.write_text(text)
    told = CliRunner().invoke(
        app,
        ["policy", "check", str(path), "--json"],
        env={"LAZARETTO_CATALOG_URL": f"sqlite:///{folder}/none.db"},
    )
    said = json.loads(told.stdout)
    return told.exit_code, "" if told.exit_code == 0 else said["error"]["message"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("embed: {encoder: tabluar}", 4, "did you mean 'tabular'"),
        ("embed:\n  encoder: Hashing\n  columns: [text]", 5, "unknown encoder 'Hashing'"),
        ("embed:\n  encoder: tabular\n  columns: [a]", 4, "embed.model: is missing"),
        ("embed:\n  encoder: tabular\n  model: no.json", 6, "there is no file"),
        ("embed:\n  encoder: hashing\n  model: no.safetensors\n  columns: [a]", 6, "there is no"),
        ("embed:\n  encoder: hashing\n  model: reference", 4, "embed.columns"),
        ("embed:\n  encoder: image\n  columns: []", 6, "embed.columns"),
        ("embed:\n  encoder: image\n  columns: [a]\n  model: resnet", 7, "has no model"),
        ("embed:\n  encoder: torch\n  columns: [a]\n  model: resnet", 7, "package.module:name"),
        ("embed:\n  encoder: torch\n  columns: [a]\n  model: json:no_such", 7, "cannot import"),
        ("embed:\n  encoder: torch\n  columns: [a, b]\n  model: json:dumps", 6, "one column"),
        ("embed:\n  encoder: sentence-transformers\n  columns: [a]\n  model: ./no", 7, "no folder"),
        ("embed:\n  encoder: hashing\n  columns: [a, a]", 6, "is there twice"),
        ("embed:\n  encoder: column\n  columns: [a]", 6, "is not used by encoder 'column'"),
        ("embed:\n  encoder: hashing\n  columns: [a]\n  options:\n    bukets: 9", 8,
         "unknown option 'bukets' of encoder 'hashing' (did you mean 'buckets'?); it has buckets"),
        ("embed:\n  encoder: hashing\n  columns: [a]\n  options: {device: cpu}", 7, "it has buck"),
        ("embed:\n  encoder: hashing\n  columns: [a]\n  options: {buckets: many}", 7, "not 'many'"),
        ("embed:\n  encoder: hashing\n  columns: [a]\n  options: {ngrams: [5, 3]}", 7, "[shortest"),
        ("embed:\n  encoder: hashing\n  columns: [a]\n  options: {dimensions: 8}", 7, "of no use"),
        ("embed: {options: {size: 3}}", 4, "it has replay"),
        ("screen:\n  detectors:\n    mahalanobis: {}\n    knn_labl: {}", 7, "did you mean"),
        ("screen:\n  detectors:\n    mahalanobis: {}\n    knn_label: {kk: 3}", 7, "kk"),
        ("contract: no.py:Record", None, "no file"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    code, said = check(tmp_path, HEAD + text + "\n")
    assert code == 2
    assert message in said
    if line is not None:
        assert said.startswith(f"{tmp_path}/policy.yaml:{line}: ")


@pytest.mark.parametrize("name", sorted(NEED_LABELS))
def test_a_detector_of_labels_needs_a_label(tmp_path: Path, name: str) -> None:
    text = f"screen:\n  detectors:\n    mahalanobis: {{}}\n    {name}: {{mode: MODE}}\n"
    for mode in ("enforce", "shadow"):
        code, said = check(tmp_path, NO_LABEL + text.replace("MODE", mode))
        assert code == 2
        assert f"policy.yaml:7: screen.detectors.{name}: " in said
        assert "columns.label" in said
    assert check(tmp_path, NO_LABEL + text.replace("MODE", "off"))[0] == 0
    assert check(tmp_path, HEAD + text.replace("MODE", "enforce"))[0] == 0


def test_the_default_detectors_do_without_a_label(tmp_path: Path) -> None:
    """Nobody asked for those by name: they are left out where there is no label."""
    assert check(tmp_path, NO_LABEL)[0] == 0


def test_which_detectors_need_a_label_is_known_without_loading_them() -> None:
    needing = {name for name in detector_names() if "label" in make_detector(name).requires}
    assert needing == NEED_LABELS


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "embed: {encoder: hash}\nscreen: {detectors: {knn_label: {}, densty: {}}}\n"
    code, said = check(tmp_path, NO_LABEL + text)
    assert code == 2
    assert [line.split(": ")[1] for line in said.splitlines()] == [
        "embed.encoder",
        "screen.detectors.knn_label",
        "screen.detectors.densty",
    ]


def test_files_and_modules_are_looked_for_in_the_policys_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    import lazaretto as lz
    from lazaretto.embed import load_encoder
    from lazaretto.embed.tabular import fit_tabular

    monkeypatch.chdir(Path("/"))
    fitted = fit_tabular(pa.table({"a": [1.0, 2.0]}), ["a"])
    (tmp_path / "models").mkdir()
    fitted.save(tmp_path / "models/t.json")
    text = HEAD + "embed: {encoder: tabular, model: models/t.json}\n"
    assert check(tmp_path, text)[0] == 0
    assert load_encoder(lz.Policy.load(tmp_path / "policy.yaml")).digest == fitted.digest
    (tmp_path / "ours_of_this_test.py").write_text("from torch.nn import Identity\n")
    text = (
        HEAD + "embed: {encoder: torch, model: 'ours_of_this_test:Identity', columns: [vector]}\n"
    )
    assert check(tmp_path, text)[0] == 0
    assert load_encoder(lz.Policy.load(tmp_path / "policy.yaml")).name.endswith(":Identity")


@pytest.mark.parametrize("named", ["", "screen: {reference: toy}"])
def test_a_reference_of_the_datasets_name_may_still_be_fitted(
    tmp_path: Path, sqlite_catalog: str, named: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "version: 1\ndataset: toy\ncolumns: {record_id: id, label: y, embedding: x}\n" + named
    )
    there = ["--catalog", sqlite_catalog, "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, ["policy", "check", str(file), *there])
    assert done.exit_code == 0, done.output
    assert "not yet: no reference 'toy' is stored" in " ".join(done.output.split())
