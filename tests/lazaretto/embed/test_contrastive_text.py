"""The contrastive encoder of texts: its views are bounded, and it reads texts and nothing else."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from embed_policies import policy
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from safetensors.numpy import load, save
from typer.testing import CliRunner

import lazaretto as lz
from lazaretto.cli.app import app
from lazaretto.embed import fit_encoder, load_encoder
from lazaretto.embed.contrast import nt_xent
from lazaretto.embed.contrastive_text import fit_contrastive_text, read_contrastive_text
from lazaretto.embed.text_views import MOST_WORDS, text_view, words
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from pathlib import Path

FAST: dict[str, object] = {"dimensions": 16, "epochs": 10}
EMBED: dict[str, object] = {
    "encoder": "contrastive_text",
    "model": "reference",
    "columns": ["text"],
    "options": FAST,
}
THINGS = {
    0: ["parcel", "box", "driver", "depot", "label", "stamp", "courier", "van", "street", "door"],
    1: ["refund", "card", "bank", "charge", "invoice", "price", "euro", "account", "credit", "fee"],
}

NO_NGRAMS = ([3], [5, 3], [0, 3], [3, 10**9], "35", [3.0, 5], [True, 5], None)
SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re", "si", "to"]

FILL = [
    "please",
    "answer",
    "this",
    "message",
    "about",
    "your",
    "contract",
    "before",
    "monday",
    "evening",
    "thank",
    "you",
]


def _rows(count: int, seed: int, *, flips: int = 0) -> pa.Table:
    """Complaints about parcels (0) or money (1); the first `flips` are mislabelled."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, count)
    said = [" ".join(random.choice(THINGS[int(one)], 8, replace=False)) for one in label]
    given = label.copy()
    given[:flips] = 1 - given[:flips]
    return pa.table({"id": [f"{seed}-{n}" for n in range(count)], "text": said, "label": given})


def _batch(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0]


@settings(max_examples=examples(200), deadline=None)
@given(
    text=st.text(st.sampled_from("ab \n\t漢字é"), max_size=400),
    more=st.integers(0, 600),
    span=st.floats(0.01, 1),
    dropout=st.floats(0, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_view_keeps_its_bounds(
    text: str, more: int, span: float, dropout: float, seed: int
) -> None:
    text += " x" * more
    pieces = words(text)
    assert "".join(pieces) == text.strip()
    if not pieces:
        assert not text.strip()
        return
    # Every piece is told from the others by its number, and none is split at a space again.
    marked = [f" {number}" for number in range(len(pieces))]
    chance = np.random.default_rng(seed)
    seen = text_view(marked, span=span, dropout=dropout, generator=chance)
    kept = [int(number) for number in seen.split()]
    assert kept == sorted(set(kept))
    assert len(kept) >= 1
    assert kept[-1] - kept[0] < min(len(pieces), MOST_WORDS)
    least = min(int(np.ceil(span * len(pieces))), MOST_WORDS)
    assert least - int(dropout * least) <= len(kept) + 1e-9
    if span == 1 and dropout == 0:
        assert len(kept) == min(len(pieces), MOST_WORDS)
    again = text_view(marked, span=span, dropout=dropout, generator=np.random.default_rng(seed))
    assert again == seen


def test_views_are_stretches_and_words_are_left_out() -> None:
    pieces = words("a b c d e f g h i j")
    chance = np.random.default_rng(0)
    stretches = {text_view(pieces, span=0.5, dropout=0, generator=chance) for _ in range(400)}
    assert all(one in "a b c d e f g h i j" for one in stretches)
    assert {len(one.split()) for one in stretches} == {5, 6, 7, 8, 9, 10}
    thinned = {text_view(pieces, span=1, dropout=0.3, generator=chance) for _ in range(400)}
    assert {len(one.split()) for one in thinned} == {7, 8, 9, 10}
    assert words("漢" * 40) == ["漢" * 16, "漢" * 16, "漢" * 8]


def test_views_of_new_texts_are_found_better_for_what_it_learned() -> None:
    """Few words tell these letters apart: the others, which all have, count less from then on."""
    random = np.random.default_rng(3)
    names = [one + other for one in SYLLABLES for other in SYLLABLES]

    def letter() -> str:
        return " ".join(random.permutation([*random.choice(names, 6), *random.choice(FILL, 10)]))

    said = [letter() for _ in range(400)]
    chance = np.random.default_rng(5)
    views = [
        [text_view(words(one), span=0.5, dropout=0.2, generator=chance) for one in said[300:]]
        for _ in range(2)
    ]
    loss = {}
    for epochs in (0, 40):
        trusted = pa.table({"text": said[:300]})
        encoder = fit_contrastive_text(trusted, ["text"], dimensions=32, epochs=epochs)
        one, other = (encoder.encode_texts(view) for view in views)
        loss[epochs] = float(nt_xent(*map(torch.from_numpy, (one, other)), temperature=0.1))
    assert loss[40] < loss[0] - 0.05
    likeness = one @ other.T
    nearer = np.diag(likeness)[:, None] > likeness
    assert nearer[~np.eye(100, dtype=bool)].mean() > 0.9, "than the views of other texts"


def test_labels_and_neighbours_change_nothing_and_the_seed_does() -> None:
    rows = _rows(64, 0)
    told: list[tuple[str, int, int]] = []
    turned = rows.set_column(2, "label", pa.array(rows["label"].to_pylist()[::-1]))
    one = fit_contrastive_text(rows, ["text"], epochs=2, progress=lambda *step: told.append(step))
    two = fit_contrastive_text(turned, ["text"], epochs=2)
    assert one.to_bytes() == two.to_bytes()
    assert one.digest == two.digest
    assert one.digest != fit_contrastive_text(rows, ["text"], epochs=2, seed=1).digest
    assert told == [
        ("encoding views of the texts", 64, 64),
        ("fitting the encoder", 1, 2),
        ("fitting the encoder", 2, 2),
    ]
    whole = one.encode(_batch(rows))
    parts = [one.encode(_batch(rows).slice(i, 1)) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(parts), whole[:5], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_it_comes_back_from_its_state() -> None:
    rows, chosen = _rows(64, 0), policy(EMBED)
    encoder, state = fit_encoder(chosen, rows, seed=2)
    again = load_encoder(chosen, state)
    assert again.digest == encoder.digest
    assert again.name == "contrastive_text:text"
    assert again.dimensions == 16
    np.testing.assert_array_equal(again.encode(_batch(rows)), encoder.encode(_batch(rows)))
    changed = EMBED | {"options": FAST | {"span": 0.9}}
    with pytest.raises(ReferenceMismatchError, match="options"):
        load_encoder(policy(changed), state)


def test_a_broken_state_is_refused() -> None:
    encoder = fit_contrastive_text(_rows(64, 0), ["text"], dimensions=4, epochs=1)
    learned = encoder.to_bytes()
    head, _, packed = learned.partition(b"\n")
    said, tensors = json.loads(head), load(packed)
    read_contrastive_text(learned, "it")

    def state(head: object, **changed: np.ndarray | None) -> bytes:
        kept = {k: v for k, v in {**tensors, **changed}.items() if v is not None}
        return json.dumps(head).encode() + b"\n" + save(kept)

    weight = tensors["weight"]
    projection = tensors["base.projection"]
    broken = [
        b"", b"{}\n" + packed, learned[:-9], learned[40:], b"[1]\n" + packed,
        *(state(said | {"columns": one}) for one in ("text", [], [1], None)),
        *(state(said | {"ngrams": one}) for one in NO_NGRAMS),
        state(said | {"base": None}),
        state(said, weight=None),
        state(said, weight=weight[:3].copy()),
        state(said, weight=weight.astype(np.float64)),
        state(said, weight=np.where(np.eye(4) > 0, np.float32("nan"), weight)),
        state(said, center=np.full(4, np.inf, np.float32)),
        state(said, center=np.zeros(5, np.float32)),
        state(said, scale=np.zeros(1, np.float32)),
        state(said, scale=np.ones(4, np.float32)),
        state(said, more=np.ones(4, np.float32)),
        state(said, **{"base.projection": projection[:, :3].copy()}),
        state(said, **{"base.projection": np.zeros((0, 4), np.float32)}),
        state(said, **{"base.projection": projection.ravel()}),
        state(said, **{"base.projection": None}),
    ]  # fmt: skip
    for one in broken:
        with pytest.raises(PolicyError):
            read_contrastive_text(one, "it")
    another = (
        state(said | {"base": "0" * 64}),
        state(said | {"columns": ["other"]}),
        state(said, **{"base.projection": 2 * projection}),
    )
    for one in another:
        with pytest.raises(ReferenceMismatchError, match="fitted on another base"):
            read_contrastive_text(one, "it")


def test_what_is_no_text_gives_zeros_and_is_held() -> None:
    rows, chosen = _rows(200, 0), policy(EMBED)
    reference = lz.Reference.fit(rows, chosen)
    values = pa.array([None, "", " \n ", *rows["text"].to_pylist()[3:20]], pa.string())
    delivery = rows.slice(0, 20).set_column(1, "text", values)
    code = load_encoder(chosen, reference.encoder_state).encode(_batch(delivery))
    assert not code[:3].any()
    assert code[3:].any(1).all()
    assert lz.screen(delivery, reference, chosen).records["held"].to_numpy()[:3].all()


def test_a_policy_fits_a_reference_and_screening_finds_wrong_labels(tmp_path: Path) -> None:
    written = policy(EMBED).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(written))
    pq.write_table(_rows(800, 0), tmp_path / "trusted.parquet")
    chosen = lz.Policy.load(tmp_path / "policy.yaml")
    reference = lz.Reference.fit(tmp_path / "trusted.parquet", chosen)
    assert reference.rows == 600, "a quarter fitted the encoder"
    held = lz.screen(_rows(120, 1, flips=20), reference, chosen).records["held"].to_numpy()
    assert held[:20].mean() > 0.8
    assert held[20:].mean() < 0.05


def test_the_command_fits_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAZARETTO_CATALOG_URL", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "300")
    written = policy(EMBED).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(written))
    pq.write_table(_rows(400, 0), tmp_path / "trusted.parquet")
    for command in (
        "catalog upgrade",
        "policy check policy.yaml",
        "reference fit trusted.parquet --policy policy.yaml",
    ):
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, (command, done.output)
    assert "100 of 400 trusted rows fitted the encoder" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        ({"model": "file.bin"}, "embed.model: .*write `model: reference`"),
        ({"columns": []}, "embed.columns: .*name the text columns"),
        ({"options": {"views": 1}}, "embed.options.views: .*greater than or equal to 2"),
        ({"options": {"span": 0.0}}, "embed.options.span: .*greater than 0"),
        ({"options": {"dropout": 1.0}}, "embed.options.dropout: .*less than 1"),
        ({"options": {"ngrams": [5, 3]}}, r"embed.options.ngrams: write \[shortest, longest\]"),
        ({"options": {"temprature": 1.0}}, "did you mean 'temperature'"),
        ({"options": {"revision": "main"}}, "embed.options.revision: is of no use here"),
        ({"options": {"base": "m", "buckets": 64}}, "embed.options.buckets: is of no use here"),
        ({"options": {"base": ""}}, "embed.options.base: is empty"),
        ({"options": {"base": "./none"}}, "embed.options.base: there is no folder"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(embed: dict[str, object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        fit_encoder(policy(EMBED | embed), _rows(64, 0))


def test_a_model_that_cannot_be_used_is_told_by_its_key() -> None:
    chosen = policy(EMBED | {"options": {"base": "owner/model"}})
    if importlib.util.find_spec("sentence_transformers") is None:
        with pytest.raises(PolicyError, match=r"embed.options.base: .*lazaretto\[text\]"):
            fit_encoder(chosen, _rows(64, 0))


def test_what_the_column_holds_must_fit() -> None:
    rows = _rows(64, 0)
    with pytest.raises(ReferenceMismatchError, match="no column 'words'"):
        fit_contrastive_text(rows, ["words"])
    copies = pa.table({"text": ["the same", None, "", *rows["text"].to_pylist()[:30]] * 3})
    with pytest.raises(ReferenceMismatchError, match="31 different texts in text are too few"):
        fit_contrastive_text(copies, ["text"])
    for wrong in ({"dropout": 1.0}, {"span": 0.0}, {"views": 17}, {"temperature": 0.0}):
        with pytest.raises(PolicyError, match="contrastive_text"):
            fit_contrastive_text(rows, ["text"], **wrong)  # type: ignore[arg-type]
