"""Instruction data: pairs and preferences as a kind of record, with planted triggers."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pages import quick_commands
from sklearn.linear_model import LogisticRegression

import lazaretto as lz
from lazaretto.detect import Chunk
from lazaretto.detect.pair_disagreement import RIDGE, _probe
from lazaretto.detect.parts import BLOCK, blocks, contents, traits
from lazaretto.embed import load_encoder
from lazaretto.embed.instruction import fit_instruction, read_instruction
from lazaretto.errors import PolicyError

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"
TEXTS = {"pairs": ["prompt", "response"], "preferences": ["prompt", "chosen", "rejected"]}


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = found
    spec.loader.exec_module(found)
    return found


DATA = module(DOCS / "how-to/instruction_data.py")


def records(kind: str, count: int, seed: int, poisoned: int = 0) -> pa.Table:
    make = {"pairs": DATA.pair, "preferences": DATA.preference}[kind]
    rng = random.Random(seed)  # noqa: S311  data to test with
    return pa.Table.from_pylist([make(rng, n, f"s{seed}-", n < poisoned) for n in range(count)])


def policy(kind: str) -> lz.Policy:
    return lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": kind,
            "columns": {"record_id": "id"},
            "embed": {"encoder": "instruction", "model": "reference", "columns": TEXTS[kind]},
            "screen": {"detectors": {"pair_disagreement": {}, "rare_tokens": {}}},
        }
    )


@pytest.fixture(scope="module", params=list(TEXTS))
def fitted(request: pytest.FixtureRequest) -> tuple[str, lz.Reference]:
    kind = str(request.param)
    return kind, lz.Reference.fit(records(kind, 1200, 0), policy(kind))


def screened(kind: str, reference: lz.Reference, rows: pa.Table) -> Any:
    encoder = load_encoder(policy(kind), reference.encoder_state)
    vectors = encoder.encode(rows.combine_chunks().to_batches()[0])
    listed = pa.array(list(vectors), pa.list_(pa.float32()))
    embedded = pa.table({"record_id": rows["id"], "embedding": listed})
    return lz.screen(rows, reference, policy(kind), embeddings=embedded)


def test_planted_triggers_and_turned_preferences_are_held(fitted: tuple[str, lz.Reference]) -> None:
    kind, reference = fitted
    found = screened(kind, reference, records(kind, 300, 1, poisoned=18))
    held = np.flatnonzero(found.records["held"].to_numpy())
    assert (held < 18).sum() >= 15
    assert (held >= 18).sum() <= 9  # of 282: clean ones that resemble poison are held with it
    reasons = " ".join(one for row in found.records["reasons"].to_pylist()[:18] for one in row)
    assert "rare_tokens" in reasons or "pair_disagreement" in reasons


def test_clean_deliveries_are_held_at_the_stated_rate(fitted: tuple[str, lz.Reference]) -> None:
    kind, reference = fitted
    held = [screened(kind, reference, records(kind, 200, seed)).n_held for seed in range(10, 16)]
    assert sum(held) <= 0.01 * 6 * 200


def test_a_response_that_belongs_to_another_prompt_is_further_off() -> None:
    rows = records("pairs", 900, 3)
    reference = lz.Reference.fit(rows, policy("pairs"))
    scorer = reference.scorers[0].detectors["pair_disagreement"]
    encoder = load_encoder(policy("pairs"), reference.encoder_state)
    fresh = records("pairs", 200, 4)
    turned = fresh["response"].take(pa.array(np.arange(200)[::-1]))
    swapped = fresh.set_column(2, "response", turned)
    right, wrong = (
        scorer.score(Chunk(encoder.encode(one.combine_chunks().to_batches()[0])))[:, 1]
        for one in (fresh, swapped)
    )
    assert np.median(wrong) > np.median(right)


def test_the_preference_probe_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 6)) + 0.4
    both, sides = np.concatenate([rows, -rows]), np.repeat([1, 0], 400)
    penalty = RIDGE * np.square(rows).mean() * 400 / 4
    # Every row stands twice, turned and not, so the loss is twice ours and so is the penalty.
    known = LogisticRegression(C=1 / (2 * penalty), fit_intercept=False, tol=1e-10, max_iter=2000)
    assert _probe(rows) == pytest.approx(known.fit(both, sides).coef_[0], abs=1e-4)


def test_blocks_and_traits_of_a_vector() -> None:
    encoder = fit_instruction(records("pairs", 80, 1), TEXTS["pairs"])
    row = pa.record_batch({"prompt": ["How do I care for the soup?"], "response": ["cf zq7 {}$"]})
    vector = encoder.encode(row)
    assert vector.shape == (1, 2 * BLOCK)
    prompt, response = blocks(vector)
    assert contents(prompt).shape == (1, 32)
    # A word that no trusted text has: the response has more of them, and more symbols.
    assert (traits(response)[0, :3] > traits(prompt)[0, :3]).all()
    again = read_instruction(encoder.to_bytes(), TEXTS["pairs"], "it")
    assert np.array_equal(again.encode(row), vector)
    assert again.digest == encoder.digest
    empty = pa.record_batch({"prompt": [""], "response": [" "]})
    assert not encoder.encode(empty).any()


def test_a_policy_with_other_columns_is_refused_in_words() -> None:
    wrong = policy("pairs").model_dump(mode="json")
    wrong["embed"]["columns"] = ["prompt"]
    with pytest.raises(PolicyError, match=r"\[prompt, chosen, rejected\]"):
        load_encoder(lz.Policy.model_validate(wrong), b"{}")
    wrong["embed"] |= {"columns": TEXTS["pairs"], "model": None}
    with pytest.raises(PolicyError, match="model: reference"):
        load_encoder(lz.Policy.model_validate(wrong))


@pytest.mark.box
@pytest.mark.long
def test_the_pages_commands_print_what_it_says(tmp_path: Path) -> None:
    transcripts = module(DOCS / "generate/transcripts.py")
    shell = transcripts.Shell(tmp_path.resolve(), quick_commands())
    try:
        steps = list(transcripts.play(shell, DOCS / "how-to/instruction-data.md"))
    finally:
        shell.close()
    for step in steps:
        assert step.code == 0, f"$ {step.command}\n{step.printed}"
        assert not step.differs, f"$ {step.command}\n{step.told}\nit prints:\n{step.printed}"
    judged = [step.printed for step in steps if "batch ingest" in step.command]
    assert len(judged) == 2
    assert all("HOLD_RECORDS" in printed for printed in judged)
