"""Copies in many batches: how often clean records are named, and when a planted one is.

Called by `benchmarks/evidence.py --only copies`. Texts of the development halves, made into vectors
by the encoder `hashing`. The shared sets have no text twice, so batches are drawn in two ways:
*once*, each text in one batch alone; and *repeats*, reference and batches with replacement, text
number k with a weight of 1 / k.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from detection_sets import DEVELOPMENT_SEED

import lazaretto as lz
from lazaretto.embed import load_encoder
from lazaretto.screen._copies import find_copies
from lazaretto.screen._copies_groups import Looked
from lazaretto.screen._prints import Prints, content_keys, label_keys, sketches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

BATCHES, PLANTED = 30, 10
KNOWN = {"sms": 1200, "sst2": 2200}
REPEATED = 200


def policy() -> lz.Policy:
    """The default policy, for texts."""
    columns = {"record_id": "id", "label": "label"}
    embed = {"encoder": "hashing", "columns": ["text"]}
    text = {"version": 1, "dataset": "bench", "columns": columns, "embed": embed}
    return lz.Policy.model_validate(text)


def copies_lines(folder: Path, name: str, seed: int) -> Iterator[dict[str, Any]]:
    """Lines of a set and seed."""
    rows = pq.read_table(folder / "text" / f"{name}_clean.parquet", columns=["text", "label"])
    chosen = np.random.default_rng(DEVELOPMENT_SEED).random(rows.num_rows) < 0.5
    texts = np.array(rows["text"].to_pylist(), dtype=object)[chosen]
    labels = np.array([str(label) for label in rows["label"].to_pylist()], dtype=object)[chosen]
    rng, known = np.random.default_rng([seed, 17]), KNOWN[name]
    order = rng.permutation(len(texts))
    size = (len(texts) - known) // BATCHES
    once = order[known : known + BATCHES * size].reshape(BATCHES, size)
    weights = 1 / np.arange(1, len(texts) + 1)
    draw = partial(rng.choice, order, p=weights / weights.sum())
    ways = {"once": (order[:known], once), "repeats": (draw(known), draw((BATCHES, REPEATED)))}
    for way, (trusted, batches) in ways.items():
        table = {
            "id": np.arange(known).astype(str),
            "text": texts[trusted],
            "label": labels[trusted],
        }
        reference = lz.Reference.fit(pa.table(table), policy(), seed=seed)
        clean = [_prints(texts[batch], labels[batch]) for batch in batches]
        named, told = 0, 0
        for number in range(1, BATCHES):
            seen = _looked(clean[number], clean[:number], reference)
            named += len(seen)
            told += bool(seen)
        head = {"what": f"copies, {way}", "batches": BATCHES, "size": len(batches[0])}
        yield {**head, "attack": "clean", "named": named, "told": told}
        for attack in ("exact", "a word changed"):
            at = [
                _first_named(texts, labels, clean, reference, attack, int(row), trial)
                for trial, row in enumerate(rng.choice(order[known:], PLANTED, replace=False))
            ]
            yield {**head, "attack": attack, "at": at}


def _first_named(
    texts: npt.NDArray[np.object_],
    labels: npt.NDArray[np.object_],
    clean: list[Prints],
    reference: lz.Reference,
    attack: str,
    row: int,
    trial: int,
) -> int | None:
    """The first batch, from 1, of which the planted record is named; None: none."""
    rng, before = np.random.default_rng([trial, 19]), list[Prints]()
    for number, batch in enumerate(clean):
        text = texts[row] if attack == "exact" else _changed(texts[row], texts, rng)
        one = _prints(np.array([text], object), labels[row : row + 1])
        both = [getattr(one, name) for name in Prints.__slots__]
        own = Prints(
            *(
                np.concatenate([mine, getattr(batch, name)[1:]])
                for mine, name in zip(both, Prints.__slots__, strict=True)
            )
        )
        if before and 0 in _looked(own, before, reference):
            return number + 1
        before.append(own)
    return None


def _changed(text: str, texts: npt.NDArray[np.object_], rng: np.random.Generator) -> str:
    """The text with one word in the place of another."""
    words, others = text.split(), str(rng.choice(texts)).split()
    words[int(rng.integers(len(words)))] = others[int(rng.integers(len(others)))]
    return " ".join(words)


def _prints(texts: npt.NDArray[np.object_], labels: npt.NDArray[np.object_]) -> Prints:
    chunk = pa.record_batch({"text": pa.array(texts, pa.string())})
    vectors = load_encoder(policy()).encode(chunk)
    return Prints(content_keys(chunk.columns), label_keys(labels.tolist()), sketches(vectors))


def _looked(own: Prints, before: list[Prints], reference: lz.Reference) -> dict[int, str]:
    """Places of the records that are named."""
    looked = [
        Looked(f"vendor/{number}", "vendor", prints, content=True, near=True)
        for number, prints in list(enumerate(before))[::-1]
    ]
    ids = pa.array([str(row) for row in range(len(own))])

    def names(_: int, places: Ints) -> list[str]:
        return [str(place) for place in places]

    return find_copies(own, ids, "vendor", looked, reference, policy(), names).reasons
