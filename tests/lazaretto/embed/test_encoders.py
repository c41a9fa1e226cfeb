from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch
from embed_policies import policy
from safetensors.torch import save_file

import lazaretto as lz
from lazaretto.embed import load_encoder
from lazaretto.embed.hashing import HashingEncoder, fit_hashing
from lazaretto.embed.tabular import fit_tabular, load_tabular
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from pathlib import Path


GOOD = ["great film", "loved every minute", "a wonderful story", "superb acting and music"]
BAD = ["awful film", "hated every minute", "a dreadful story", "terrible acting and noise"]


def reviews(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=rows)
    texts = [
        " ".join(rng.choice(GOOD if label else BAD, 2)) + f" {rng.integers(100)}"
        for label in labels
    ]
    return pa.table({"id": [f"r{i}" for i in range(rows)], "label": labels, "text": texts})


def test_hashed_texts_screen_flipped_labels_without_any_model() -> None:
    chosen = policy({"encoder": "hashing", "columns": ["text"], "options": {"buckets": 128}})
    reference = lz.Reference.fit(reviews(400, 0), chosen)
    batch = reviews(100, 1)
    labels = batch["label"].to_numpy().copy()
    labels[:15] = 1 - labels[:15]
    held = lz.screen(batch.set_column(1, "label", pa.array(labels)), reference, chosen)
    mask = held.records["held"].to_numpy()
    assert mask[:15].mean() > 0.9
    assert mask[15:].mean() < 0.05


def test_a_fitted_projection_is_kept_and_identified(tmp_path: Path) -> None:
    texts = reviews(200, 0)["text"].to_pylist()
    fitted = fit_hashing(texts, ["text"], dimensions=16, buckets=256)
    fitted.save(tmp_path / "svd.safetensors")
    loaded = load_encoder(
        policy(
            {
                "encoder": "hashing",
                "columns": ["text"],
                "model": str(tmp_path / "svd.safetensors"),
            }
        )
    )
    chunk = reviews(10, 2).to_batches()[0]
    assert loaded.digest == fitted.digest != HashingEncoder(("text",), 256).digest
    assert loaded.dimensions == 16
    np.testing.assert_array_equal(loaded.encode(chunk), fitted.encode(chunk))
    np.testing.assert_allclose(np.linalg.norm(loaded.encode(chunk), axis=1), 1, rtol=1e-5)


def people(rows: int = 300) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "age": pa.array(rng.normal(40, 10, rows)),
            "city": rng.choice(["A", "B"], rows),
            "member": rng.random(rows) < 0.5,
        }
    )


def test_tables_are_scaled_one_hot_and_know_nulls_and_strangers(tmp_path: Path) -> None:
    encoder = fit_tabular(people(), ["age", "city", "member"])
    odd = pa.record_batch(
        {
            "age": pa.array([40.0, None, 1e9]),
            "city": ["A", "Z", None],
            "member": [True, False, None],
        }
    )
    rows = encoder.encode(odd)
    assert rows.shape == (3, encoder.dimensions) == (3, 7)
    assert rows[0, 0] == pytest.approx(0, abs=0.1)
    assert rows[1, 1] == 1
    assert rows[2, 0] == 10
    assert rows[:, 4:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    encoder.save(tmp_path / "t.json")
    assert load_tabular(str(tmp_path / "t.json")) == encoder
    assert load_tabular(str(tmp_path / "t.json")).digest == encoder.digest


def test_quantile_scaling_tames_long_tails() -> None:
    rng = np.random.default_rng(1)
    long = pa.table({"x": rng.pareto(0.5, 1000)})
    rows = fit_tabular(long, ["x"], scaling="quantile").encode(long.to_batches()[0])
    assert abs(rows[:, 0].mean()) < 0.05
    assert rows[:, 0].std() == pytest.approx(1, abs=0.1)


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))


def test_a_torch_module_encodes_and_its_weights_are_its_identity(tmp_path: Path) -> None:
    spec = {"encoder": "torch", "model": f"{__name__}:net", "columns": ["x"]}
    shaped = policy({**spec, "options": {"shape": [2, 2], "scale": 0.5}})
    encoder = load_encoder(shaped)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    x[2, 1] = np.nan
    chunk = pa.record_batch({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 4)})
    rows = encoder.encode(chunk)
    expected = net()(torch.from_numpy(x[:2] * 0.5)).detach().numpy()
    np.testing.assert_allclose(rows[:2], expected, rtol=1e-5)
    assert not rows[2].any()
    other = net()
    with torch.no_grad():
        other[1].bias += 1
    save_file(other.state_dict(), tmp_path / "w.safetensors")
    changed = policy(
        {**spec, "options": {"shape": [2, 2], "weights": str(tmp_path / "w.safetensors")}}
    )
    assert load_encoder(changed).digest != encoder.digest


def test_another_encoder_than_the_references_is_named(tmp_path: Path) -> None:
    small = policy({"encoder": "hashing", "columns": ["text"], "options": {"buckets": 64}})
    large = policy({"encoder": "hashing", "columns": ["text"], "options": {"buckets": 128}})
    label = policy({"encoder": "hashing", "columns": ["label"], "options": {"buckets": 64}})
    reference = lz.Reference.fit(reviews(200, 0), small)
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(reviews(50, 1), reference, large)
    with pytest.raises(ReferenceMismatchError, match=r"hashing:label.*fitted with 'hashing:text'"):
        lz.screen(reviews(50, 1), reference, label)


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        ({"encoder": "hashng"}, "did you mean 'hashing'"),
        ({"encoder": "hashing"}, "embed.columns"),
        ({"encoder": "tabular"}, "embed.model"),
        ({"encoder": "torch", "model": "torch"}, "package.module:name"),
        ({"encoder": "torch", "model": "no.such:thing", "columns": ["x"]}, "cannot import"),
        ({"encoder": "sentence-transformers"}, "needs a folder, or a name on a hub"),
        ({}, "columns.embedding"),
    ],
)
def test_mistakes_in_the_policy_name_the_key(embed: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        load_encoder(policy(embed))


def test_vectors_made_earlier_give_the_same_screening() -> None:
    chosen = policy({"encoder": "hashing", "columns": ["text"], "options": {"buckets": 64}})
    reference = lz.Reference.fit(reviews(200, 0), chosen)
    batch = reviews(60, 1)
    encoded = load_encoder(chosen).encode(batch.to_batches()[0])
    order = np.random.default_rng(0).permutation(60)
    sidecar = pa.table(
        {
            "record_id": batch["id"].take(pa.array(order)),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(encoded[order].ravel()), 64),
        }
    )
    direct = lz.screen(batch, reference, chosen).records
    assert lz.screen(batch, reference, chosen, embeddings=sidecar).records.equals(direct)
    with pytest.raises(ReferenceMismatchError, match="no row for 10 records"):
        lz.screen(batch, reference, chosen, embeddings=sidecar.slice(10))
