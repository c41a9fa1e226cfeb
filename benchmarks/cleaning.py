"""How fast cleaning is, what its index weighs, and what near copies it finds; as JSON lines.

``python benchmarks/cleaning.py speed`` (or ``index``, ``near``, ``libraries``).
"""

from __future__ import annotations

import json
import random
import string
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from lazaretto.cleaning import report, scan, sketches
from lazaretto.cleaning._near import near_before
from lazaretto.dataset import record_index
from lazaretto.policy import Cleaning, Columns

ROWS = 1_000_000
CHANCE = random.Random(1)  # noqa: S311
WORDS = [
    "".join(CHANCE.choices(string.ascii_lowercase, k=CHANCE.randint(3, 9))) for _ in range(5000)
]
FOREIGN = ["привет", "größe", "می\u200cخواهم", "नमस्ते", "東京", "naïve", "👍🏽"]  # noqa: RUF001


def texts(rows: int, *, foreign: float = 0.0, words: int = 10) -> list[str]:
    """Made-up texts; a share of them with words of other scripts."""
    return [
        " ".join(
            [*CHANCE.choices(WORDS, k=words - 1), CHANCE.choice(FOREIGN)]
            if CHANCE.random() < foreign
            else CHANCE.choices(WORDS, k=words)
        )
        for _ in range(rows)
    ]


def rules(**on: object) -> Cleaning:
    """A section with some rules."""
    off = {name: {"action": "off"} for name in Cleaning.model_fields if name != "index_records"}
    return Cleaning.model_validate(off | on)


def tell(**values: object) -> None:
    """One JSON line."""
    print(json.dumps(values), flush=True)


def speed() -> None:
    """Seconds of processor for a million short texts."""
    names = ("bidi_controls", "invisible", "control_characters", "homoglyphs", "private_use")
    marks = {name: {"action": "hold"} for name in (*names, "mojibake", "replacement_characters")}
    for foreign in (0.0, 0.3):
        rows = pa.table({"text": texts(ROWS, foreign=foreign)})
        cases = {
            "rules on characters": rules(**marks),
            "lengths": rules(lengths={"action": "flag"}),
            "exact duplicates": rules(exact_duplicates={"action": "hold"}),
            "near duplicates": rules(near_duplicates={"action": "hold"}),
        }
        for name, cleaning in cases.items():
            start = time.process_time()
            found = report(scan(rows, Columns(), cleaning), cleaning)
            tell(
                what=name,
                rows=ROWS,
                foreign=foreign,
                seconds=round(time.process_time() - start, 1),
                findings=found.findings.num_rows,
            )


def index() -> None:
    """Bytes and seconds of the index per record, in SQLite."""
    import sqlalchemy as sa

    from lazaretto.storage.catalog import Catalog

    rows = 200_000
    ids = pa.array([f"review-{number:024}" for number in range(rows)])
    found = sketches(pa.array(texts(rows)))
    keys = np.random.default_rng(1).integers(-(2**62), 2**62, (rows, 2))
    bands = np.where(found.there[:, None], found.bands, 0)
    for near in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "catalog.db")
            catalog = Catalog.open(f"sqlite:///{path}")
            put = record_index._Rows(
                ids, keys, found.bytes if near else None, bands if near else None
            )
            file = SimpleNamespace(file=SimpleNamespace(path="x"), batch="b")
            start = time.process_time()
            with catalog.transaction() as connection:
                identity = record_index._begin(connection, "d", "s")
                record_index._add(connection, identity, file, 1, put)  # type: ignore[arg-type]
            spent = time.process_time() - start
            with catalog.engine.connect() as connection:
                connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
            catalog.engine.dispose()
            tell(
                what="index, near too" if near else "index",
                megabytes_per_million=round(path.stat().st_size / rows),
                seconds_per_million=round(spent * 1e6 / rows, 1),
            )


def near() -> None:
    """Near copies found by their true similarity, with the threshold 0.8."""
    found: dict[float, list[int]] = {}
    for text in texts(6000, words=25):
        words = text.split()
        for _ in range(CHANCE.randint(0, 8)):
            words[CHANCE.randrange(len(words))] = CHANCE.choice(WORDS)
        other = " ".join(words)
        sets = [{one[i : i + 5] for i in range(len(one) - 4)} for one in (text, other)]
        true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        first, _ = near_before(sketches(pa.array([text, other])), 0.8)
        counts = found.setdefault(int(true * 20) / 20, [0, 0])
        counts[0] += 1
        counts[1] += int(first[1] == 0)
    for low in sorted(found):
        pairs, hits = found[low]
        tell(what="near copies", similarity_from=low, pairs=pairs, found=round(hits / pairs, 3))
    others = texts(200_000)
    first, _ = near_before(sketches(pa.array(others)), 0.8)
    tell(
        what="unrelated texts", rows=len(others), found=int((first != np.arange(len(first))).sum())
    )


def libraries() -> None:
    """Microseconds per text of datasketch and of ours, with 60 hashes each."""
    from datasketch import MinHash

    some = texts(2000)
    start = time.process_time()
    for text in some:
        one = MinHash(num_perm=60)
        one.update_batch([text[i : i + 5].encode() for i in range(len(text) - 4)])
    tell(what="datasketch", microseconds=round((time.process_time() - start) / len(some) * 1e6))
    many = pa.array(texts(100_000))
    start = time.process_time()
    sketches(many)
    tell(what="ours", microseconds=round((time.process_time() - start) / len(many) * 1e6))


if __name__ == "__main__":
    {"speed": speed, "index": index, "near": near, "libraries": libraries}[sys.argv[1]]()
