"""Encoders that a reference fits: kept with it, on record, and bound to what they were for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from embed_policies import policy

import lazaretto as lz
from lazaretto import stages
from lazaretto.embed import load_encoder
from lazaretto.errors import ChangedFileError, NotFoundError, ReferenceMismatchError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ReferenceSaved
from lazaretto.registry.fit_version import fit_version

if TYPE_CHECKING:
    from pathlib import Path

    from yard import Yard

TABLE = {"encoder": "tabular", "model": "reference", "columns": ["a", "b"]}
WORDS = {
    "encoder": "hashing",
    "model": "reference",
    "columns": ["text"],
    "options": {"dimensions": 8},
}


def rows(count: int, seed: int, *, flips: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    low, high = (
        np.array(["old slow car", "blue slow boat"]),
        np.array(["new fast jet", "red fast bike"]),
    )
    text = np.where(label == 1, rng.choice(high, count), rng.choice(low, count))
    given = label.copy()
    given[:flips] = 1 - given[:flips]
    return pa.table(
        {
            "id": [f"{seed}-{n}" for n in range(count)],
            "a": rng.normal(size=count) + 4 * label,
            "b": np.where(label == 1, "x", rng.choice(["y", "z"], count)),
            "text": [f"{words} {n}" for n, words in enumerate(text)],
            "label": given,
        }
    )


@pytest.mark.parametrize("embed", [TABLE, WORDS])
def test_a_reference_keeps_the_encoder_that_it_fitted(
    embed: dict[str, object], tmp_path: Path
) -> None:
    chosen = policy(embed)
    reference = lz.Reference.fit(rows(400, 0), chosen)
    assert reference.rows == 300, "a quarter fitted the encoder"
    assert "100 of 400 trusted rows fitted the encoder" in " ".join(reference.notes)
    again = lz.Reference.load(reference.save(tmp_path))
    assert again.digest == reference.digest == lz.Reference.fit(rows(400, 0), chosen).digest
    held = lz.screen(rows(120, 1, flips=20), again, chosen).records["held"].to_numpy()
    assert held[:20].mean() > 0.8
    assert held[20:].mean() < 0.05
    # Rows and files of one fit, state of another.
    other = lz.Reference.fit(rows(400, 2), chosen)
    files = reference.files() | {"encoder.bin": other.files()["encoder.bin"]}
    with pytest.raises(ReferenceMismatchError, match="do not match their digest"):
        lz.Reference.from_files(*files.values())
    with pytest.raises(ReferenceMismatchError, match="do not match their digest"):
        lz.Reference.from_files(*list(files.values())[:2])


def test_the_rows_that_fitted_it_are_not_compared_with() -> None:
    """Their values are far away: were they in the sample, its vectors would be too."""
    trusted = rows(400, 0)
    fitted = lz.Reference.fit(trusted, policy(TABLE))
    assert len(fitted.sample.embedding) == 300
    encoder = load_encoder(policy(TABLE), fitted.encoder_state)
    everything = encoder.encode(trusted.combine_chunks().to_batches()[0])
    sample = {row.tobytes() for row in fitted.sample.embedding}
    assert sum(row.tobytes() in sample for row in everything) == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ["b", "a"]}, "columns"),
        ({"columns": ["a"]}, "columns"),
        ({"options": {"scaling": "quantile"}}, "options"),
        ({"encoder": "hashing"}, "encoder"),
    ],
)
def test_a_policy_that_changed_since_is_told_to_fit_again(
    change: dict[str, object], message: str
) -> None:
    reference = lz.Reference.fit(rows(400, 0), policy(TABLE))
    with pytest.raises(ReferenceMismatchError, match=rf"fitted for {message}.*fit a new version"):
        lz.screen(rows(60, 1), reference, policy(TABLE | change))


def test_a_reference_that_fitted_none_has_none() -> None:
    plain = lz.Reference.fit(rows(400, 0), policy({"encoder": "hashing", "columns": ["text"]}))
    assert set(plain.files()) == {"reference.json", "tensors.safetensors"}
    with pytest.raises(NotFoundError, match="fit a new version"):
        lz.screen(rows(60, 1), plain, policy(WORDS))


def test_the_state_is_on_the_ledger_and_checked_when_it_is_used(sqlite_yard: Yard) -> None:
    chosen = sqlite_yard.policy.model_copy(
        update={
            "columns": sqlite_yard.policy.columns.model_copy(
                update={"payload": [], "embedding": None}
            ),
            "embed": policy(TABLE).embed,
            "dataset": "tables",
        }
    )
    yard = replace(sqlite_yard, policy=chosen)
    fit_version(yard.workspace, rows(400, 0), yard.policy)
    with yard.workspace.catalog.read() as connection:
        saved = [
            entry.event
            for entry in entries(connection, subject="reference:tables")
            if isinstance(entry.event, ReferenceSaved)
        ]
    assert [file.path.rpartition("/")[2] for file in saved[0].files] == [
        "reference.json",
        "tensors.safetensors",
        "encoder.bin",
    ]
    judged = yard.judge("monday", rows(120, 1, flips=20))
    assert judged.held >= 16
    path = yard.workspace.store.uri(saved[0].files[2].path)
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(-10, 2)
        file.write(b"0")
    batch = yard.receive("tuesday", rows(120, 3)).id
    stages.validate(yard.workspace, batch, yard.policy)
    with pytest.raises(ChangedFileError, match=r"encoder\.bin"):
        stages.embed(yard.workspace, batch, yard.policy)


def test_fields_are_encoded_and_what_leads_nowhere_is_named() -> None:
    nested = [{"size": float(n % 7), "in": {"zone": "ab"[n % 2]}} for n in range(400)]
    trusted = rows(400, 0).append_column("u", pa.array(nested))
    chosen = policy(TABLE | {"columns": ["u.size", "u.in.zone", "a"]})
    reference = lz.Reference.fit(trusted, chosen)
    assert reference.encoder.dimensions == 2 + 3 + 2
    for wrong, message in (
        ("u.nothing", "leads to no field 'nothing' .there are: size, in"),
        ("u", r"is nested .*name a field of it, such as u\.size"),
        ("v.size", "no column 'v.size'"),
    ):
        with pytest.raises(ReferenceMismatchError, match=message):
            lz.Reference.fit(trusted, policy(TABLE | {"columns": [wrong]}))


def test_numbers_that_come_as_text_are_named() -> None:
    reference = lz.Reference.fit(rows(400, 0), policy(TABLE))
    batch = rows(60, 1)
    words = batch.set_column(1, "a", pa.array(["one"] * 60))
    with pytest.raises(ReferenceMismatchError, match=r"'a' has type string.*fitted on numbers"):
        lz.screen(words, reference, policy(TABLE))


def test_the_state_says_what_it_was_fitted_for() -> None:
    state = lz.Reference.fit(rows(400, 0), policy(TABLE)).encoder_state
    assert state is not None
    assert json.loads(state.partition(b"\n")[0]) == {
        "format": 1,
        "encoder": "tabular",
        "columns": ["a", "b"],
        "options": {},
    }
