"""The sentence encoder with the real library, on a tiny model that is made here."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import embed_policies
import numpy as np
import pyarrow as pa
import pytest
import torch

import lazaretto as lz
from lazaretto.embed import fit_encoder, load_encoder
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.embed.base import Encoder

WORDS = ["great", "film", "loved", "every", "minute", "wonderful", "story", "awful", "dull"]


def policy(model: Path, **options: object) -> lz.Policy:
    return lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "columns": {"record_id": "id", "label": "label"},
            "embed": {
                "encoder": "sentence-transformers",
                "model": str(model),
                "columns": ["text"],
                "options": {"device": "cpu", **options},
            },
            "screen": {"min_poison_share": 0.2, "detectors": {"mahalanobis": {}}},
        }
    )


def load(model: Path, **options: object) -> Encoder:
    return load_encoder(policy(model, **options))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder, with random weights; nothing is downloaded."""
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate(marks + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.Replace("\u200b", "")
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token"], marks, strict=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **names)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(
        **size, intermediate_size=32, vocab_size=len(vocabulary), max_position_embeddings=16
    )
    BertModel(config).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    network = Transformer(str(folder / "bert"), max_seq_length=16)
    SentenceTransformer(modules=[network, Pooling(16)], device="cpu").save(str(folder / "made"))
    return folder / "made"


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy under the very same name, which is part of an encoder's identity."""

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        return Path(shutil.copytree(made, tmp_path / "m"))

    return fresh


def chunk(*texts: str | None) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.string())})


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_record_s_vector_depends_on_that_record_alone(made: Path) -> None:
    encoder = load(made)
    texts = ["great film", "loved every minute wonderful story", "", None, "awful", "great film"]
    together = encoder.encode(chunk(*texts))
    assert (together.shape, together.dtype) == ((6, encoder.dimensions), np.float32)
    alone = np.concatenate([encoder.encode(chunk(text)) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_array_equal(together, load(made).encode(chunk(*texts)))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), [1, 1, 0, 0, 1, 1], atol=1e-6)
    nothing = "\u200b"  # no blank, and yet this tokenizer leaves nothing of it
    mixed = encoder.encode(chunk(texts[0], nothing, texts[1]))
    np.testing.assert_allclose(mixed, [together[0], np.zeros(16), together[1]], atol=1e-6)


def test_a_folder_is_loaded_and_used_without_the_network(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def refuse(*address: object) -> None:
        calls.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", lambda self, address: refuse(address))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load(made).encode(chunk("great film"))
    assert calls == []


def test_a_mismatch_says_whether_weights_or_preprocessing_differ(
    copy: Callable[[], Path],
) -> None:
    random = np.random.default_rng(0)
    rows = pa.table(
        {
            "id": [f"r{i}" for i in range(200)],
            "label": np.arange(200) % 2,
            "text": [" ".join(random.choice(WORDS, 4)) for _ in range(200)],
        }
    )
    model = copy()
    reference = lz.Reference.fit(rows, policy(model))
    batch = rows.slice(0, 40)
    assert lz.screen(batch, reference, policy(copy())).records.num_rows == 40
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(batch, reference, policy(model, max_length=4))
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(batch, reference, policy(model, prompt="query: "))
    tokenizer = model / "tokenizer.json"
    state = json.loads(tokenizer.read_text())
    vocabulary = state["model"]["vocab"]
    vocabulary["great"], vocabulary["awful"] = vocabulary["awful"], vocabulary["great"]
    tokenizer.write_text(json.dumps(state))
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(batch, reference, policy(model))
    edit(copy() / "1_Pooling/config.json", pooling_mode="cls")
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(batch, reference, policy(model))
    edit(copy() / "config.json", num_attention_heads=4)
    with pytest.raises(ReferenceMismatchError, match=r"has different preprocessing \("):
        lz.screen(batch, reference, policy(model))
    from safetensors.torch import load_file, save_file

    weights = load_file(copy() / "model.safetensors")
    name = next(key for key in weights if key.endswith("word_embeddings.weight"))
    save_file(
        {**weights, name: weights[name] * 1.01}, model / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ReferenceMismatchError, match=r"has different weights \("):
        lz.screen(batch, reference, policy(model))


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_weights_that_need_unpickling_are_refused_unread(
    copy: Callable[[], Path], tmp_path: Path
) -> None:
    model = copy()
    (model / "model.safetensors").unlink()
    torch.save({"weight": Trap(tmp_path / "mark")}, model / "pytorch_model.bin")
    with pytest.raises(PolicyError, match="cannot be loaded"):
        load(model)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ("modules.json", [{"name": "0", "path": "", "type": "evil.Module"}]),
        ("2_Router/router_config.json", {"types": {"query": "evil.Module"}}),
    ],
)
def test_a_folder_cannot_name_code_to_run(tmp_path: Path, file: str, document: object) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(PolicyError, match=r"asks for the Python class 'evil\.Module'"):
        load(tmp_path)
    path.write_text("{")
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path)


def test_code_beside_the_weights_is_not_run(copy: Callable[[], Path]) -> None:
    model = copy()
    (model / "evil.py").write_text("raise SystemExit('ran')")
    edit(model / "config.json", auto_map={"AutoModel": "evil.Model"}, model_type="evil")
    with pytest.raises(PolicyError, match="cannot be loaded"):
        load(model)


def test_an_option_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="'trust_remote_code'"):
        load(tmp_path, trust_remote_code=True)


def test_the_contrastive_encoder_of_texts_takes_it_as_its_base(copy: Callable[[], Path]) -> None:
    """The model stays as it is, its digest is kept, and another one of its name is refused."""
    folder = copy()
    options = {"base": str(folder), "device": "cpu", "epochs": 3}
    embed = {"encoder": "contrastive_text", "model": "reference", "columns": ["text"]}
    chosen = embed_policies.policy(embed | {"options": options})
    random = np.random.default_rng(0)
    said = [" ".join(random.choice(WORDS, 7)) for _ in range(64)]
    rows = pa.table({"text": said})
    encoder, state = fit_encoder(chosen, rows)
    assert fit_encoder(chosen, rows)[1] == state
    assert encoder.dimensions == 16
    again = load_encoder(chosen, state)
    assert again.digest == encoder.digest
    code = again.encode(chunk(*said[:5], None, " "))
    np.testing.assert_allclose(code[:5], encoder.encode(rows.to_batches()[0])[:5], atol=1e-5)
    assert not code[5:].any()
    edit(next(folder.rglob("sentence_bert_config.json")), max_seq_length=8)
    with pytest.raises(ReferenceMismatchError, match="fitted on another base"):
        load_encoder(chosen, state)
    (folder / "modules.json").write_text(json.dumps([{"type": "own.code.Module"}]))
    with pytest.raises(PolicyError, match=r"embed\.options\.base: .*own\.code\.Module"):
        load_encoder(chosen, state)
