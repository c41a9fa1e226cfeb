"""The page "Sanitize a training set": its text model, its image model and its operator work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pages
import pyarrow.parquet as pq
import pytest
import yaml
from yard import blobs

if TYPE_CHECKING:
    from pathlib import Path

    from yard import Yard

PAGE = pages.ROOT / "docs/how-to/sanitize-a-training-set.md"
BLOCKS = pages.blocks(PAGE)


def code(start: str) -> str:
    """The block that begins with these words."""
    (found,) = [block.text for block in BLOCKS if block.text.startswith(start)]
    return found


def test_a_hugging_face_model_sanitizes_as_the_page_says(sqlite_yard: Yard, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    yard = sqlite_yard
    yard.admit("monday", blobs(200, seed=5))
    model = tmp_path / "models/reviews-7"
    model.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "record", "script", *"0123456789<>"]
    words += [f"##{digit}" for digit in range(10)]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(model)
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=len(words),
        num_labels=3,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(model)
    (tmp_path / "reviews.py").write_text(code("from transformers import"))
    pq.write_table(blobs(900, seed=1, prefix="t"), tmp_path / "trusted.parquet")
    policy = {**yard.policy.model_dump(mode="json"), "sanitize": {"false_quarantine_rate": 0.05}}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    line = code("lazaretto dataset sanitize reviews").replace("reviews --", "blobs --", 1)
    ((command, exit_code, printed),) = pages.run_lines(
        line,
        tmp_path,
        LAZARETTO_CATALOG_URL=yard.workspace.catalog.engine.url.render_as_string(False),
        LAZARETTO_STORE=yard.workspace.store.root,
        LAZARETTO_POLICY="policy.yaml",
        HF_HUB_OFFLINE="1",
    )
    assert exit_code in (0, 1), f"{command}\n{printed}"
    assert "calibrated by a table of 900 rows" in " ".join(printed.split())


def test_the_image_model_of_the_page_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm", exc_type=(ImportError, RuntimeError))
    import torch
    from safetensors.torch import save_file

    model = timm.create_model("resnet18", pretrained=False, num_classes=10)
    save_file(model.state_dict(), tmp_path / "resnet18.safetensors")
    monkeypatch.chdir(tmp_path)
    names = {"images": torch.rand(6, 3, 32, 32)}
    exec(code("import timm"), names)  # noqa: S102 the page's own code
    assert set(names["activations"]) == {"layer3", "layer4", "penultimate"}
    assert {len(rows) for rows in names["activations"].values()} == {6}


@pytest.mark.airflow
def test_the_operator_of_the_page_takes_these_arguments() -> None:
    import airflow_environment

    airflow_environment.use()
    from lazaretto.operators import SanitizeTrainingOperator

    names = {
        "SanitizeTrainingOperator": SanitizeTrainingOperator,
        "view": "{{ ti.xcom_pull('snapshot') }}",
        "weights": "weights.safetensors",
        "POLICY": "policy.yaml",
    }
    text = code("SanitizeTrainingOperator(")
    exec(f"task = {text}", names)  # noqa: S102 the page's own code
    for name, value in re.findall(r'^    (\w+)="([^"]*)",$', text, re.MULTILINE):
        assert getattr(names["task"], name) == value
