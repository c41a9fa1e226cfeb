"""How long the map of a case takes, and how much memory, by the number of held records.

    python benchmarks/map_speed.py [--records 1000000] [--dimensions 64] [--runs 3]

Writes what the stages leave of one batch that is held as a whole: the canonical copy with a column
of vectors, a side-car of an encoder's vectors, the file of held rows, and a reference of 50,000
trusted rows. Then it makes the map from either file of vectors, with the bytes that the page gets.
No catalog is asked: that takes milliseconds, and benchmarks/review.py measures whole answers.

Prints one JSON line per file: seconds of the fastest run and of the middle one, the processor's,
the most memory of the process meanwhile and before, and the size of the answer. Each is measured in
a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.store import Store

PART, CLASSES, TRUSTED = 65_536, 10, 50_000


def parts(records: int, dimensions: int) -> Iterator[dict[str, pa.Array]]:
    """Columns of the batch, part by part; its records are moved in three directions."""
    random = np.random.default_rng(1)
    for first in range(0, records, PART):
        count = min(PART, records - first)
        vectors = random.normal(size=(count, dimensions)).astype(np.float32)
        vectors[:, :3] += 3
        numbers = range(first, first + count)
        yield {
            "id": pa.array([f"r{number}" for number in numbers]),
            "label": pa.array([number % CLASSES for number in numbers]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
            "text": pa.array([f"what somebody wrote as number {number}" for number in numbers]),
            "position": pa.array(numbers, pa.int64()),
            "score": pa.array(random.random(count)),
        }


def write(store: Store, records: int, dimensions: int) -> dict[str, Any]:
    """Writes all files; what a map is made of, twice: from a column, and from a side-car."""
    from safetensors.numpy import save

    from lazaretto.batch._canonical import schema_with_ids
    from lazaretto.policy import Columns
    from lazaretto.quarantine import held as names
    from lazaretto.storage.sidecars import write_parquet

    random = np.random.default_rng(0)
    tensors = {
        "sample.embedding": random.normal(size=(TRUSTED, dimensions)).astype(np.float32),
        "sample.label": (np.arange(TRUSTED) % CLASSES).astype(np.int64),
    }
    vector = pa.list_(pa.float32(), dimensions)
    fields = [("id", pa.string()), ("label", pa.int64()), ("vector", vector), ("text", pa.string())]
    delivered = pa.schema(fields)
    held = delivered
    for name, kind in names._ADDED:
        held = held.append(pa.field(name, kind))
    why = "knn_label: its neighbours have another label"

    def held_rows() -> Iterator[pa.RecordBatch]:
        for part in parts(records, dimensions):
            count = len(part["id"])
            texts = part["label"].cast(pa.string())
            reasons = pa.array([[why]] * count, pa.list_(pa.string()))
            signature = pa.array(["screen:knn_label"] * count)
            added = [part["position"], part["id"], texts, part["score"], part["score"]]
            own = [part[name] for name in delivered.names]
            yield pa.RecordBatch.from_arrays([*own, *added, signature, reasons], schema=held)

    def side_car() -> Iterator[pa.RecordBatch]:
        for part in parts(records, dimensions):
            yield pa.RecordBatch.from_arrays(
                [part["id"], part["vector"]], names=["record_id", "embedding"]
            )

    canonical = schema_with_ids(delivered, Columns(record_id="id"))
    with tempfile.NamedTemporaryFile() as file:
        with pa.ipc.new_file(file.name, canonical) as writer:
            for part in parts(records, dimensions):
                own = [part[name] for name in delivered.names]
                writer.write_batch(pa.RecordBatch.from_arrays([*own, part["id"]], schema=canonical))
        with Path(file.name).open("rb") as opened:
            copy = store.put("batch.arrow", iter(lambda: opened.read(2**22), b""))
    embedding = pa.schema([("record_id", pa.string()), ("embedding", vector)])
    classes = [str(number) for number in range(CLASSES)]
    rows = write_parquet(store, "held.parquet", held, held_rows())
    common = {
        "case": "case",
        "batch": "batch",
        "rows": records,
        "held": records,
        "held_records": asdict(rows),
        "reference": "reference/1",
        "metadata": asdict(
            store.put("reference.json", [json.dumps({"classes": classes}).encode()])
        ),
        "trusted": asdict(store.put("tensors.safetensors", [save(tensors)])),
        "scores": asdict(rows),  # not read, because no record is admitted
        "rate": 0.01,
    }
    beside = write_parquet(store, "embeddings.parquet", embedding, side_car())
    return {
        "column": common | {"vectors": asdict(copy), "column": "vector"},
        "side-car": common | {"vectors": asdict(beside), "column": None},
    }


def measure(folder: str, what: str, runs: int) -> dict[str, Any]:
    """Makes the map some times, in this process, from what `write` wrote."""
    from lazaretto.quarantine.map import map_of_files
    from lazaretto.quarantine.map_files import MapFiles
    from lazaretto.quarantine.map_shown import map_bytes
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

    known = json.loads((Path(folder) / "files.json").read_text())[what]
    named = {
        name: StoredFile(**value) if isinstance(value, dict) else value
        for name, value in known.items()
    }
    files, store = MapFiles(**named), Store.at(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    wall, cpu, size = [], [], 0
    for _ in range(runs):
        began, worked = time.perf_counter(), time.process_time()
        size = len(map_bytes(map_of_files(store, files)))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    return {
        "vectors": what,
        "records": files.held,
        "fastest": round(min(wall), 2),
        "wall": round(statistics.median(wall), 2),
        "cpu": round(statistics.median(cpu), 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "before_mb": before,
        "answer_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(*options.measure, options.runs)), flush=True)
        return
    from lazaretto.storage.store import Store

    with tempfile.TemporaryDirectory() as folder:
        files = write(Store.at(folder), options.records, options.dimensions)
        (Path(folder) / "files.json").write_text(json.dumps(files))
        for what in files:
            command = [sys.executable, __file__, "--runs", str(options.runs)]
            subprocess.run([*command, "--measure", folder, what], check=True)


if __name__ == "__main__":
    main()
