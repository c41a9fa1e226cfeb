"""Rows per second of `screen` from Parquet, as a ratio to its floor, beside peers.

    python benchmarks/screen_speed.py [--rows 10000,100000,1000000] [--peers-rows 10000]

The floor, in the same run, is the same read plus the bare matrix products that the scores need:
every row against the whitening map, the class means and the rows that neighbours are looked for in.
Prints one JSON line per size.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import lazaretto as lz

WIDTH, CLASSES, REFERENCE = 384, 10, 20_000
WRITE_ROWS = 50_000
DETECTORS = ("mahalanobis", "knn_label", "density", "duplicates")


def rows(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    centers = np.random.default_rng(1).normal(size=(CLASSES, WIDTH)).astype(np.float32)
    labels = rng.integers(CLASSES, size=count)
    points = rng.standard_normal((count, WIDTH), dtype=np.float32)
    return points + 0.5 * centers[labels], labels


def table(points: np.ndarray, labels: np.ndarray, start: int = 0) -> pa.Table:
    return pa.table(
        {
            "id": np.arange(start, start + len(labels)),
            "label": labels,
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), WIDTH),
        }
    )


def write(path: Path, count: int) -> None:
    rng = np.random.default_rng(2)
    writer = None
    for start in range(0, count, WRITE_ROWS):
        part = table(*rows(rng, min(WRITE_ROWS, count - start)), start)
        writer = writer or pq.ParquetWriter(
            path, part.schema, use_dictionary=False, write_statistics=False
        )
        writer.write_table(part)
    if writer is not None:
        writer.close()


def floor(path: Path, reference: lz.Reference) -> tuple[float, float]:
    """Seconds, by the clock and of CPU, of reading the same columns and of the bare products."""
    scorer = reference.scorers[0]
    whiten = scorer.detectors["mahalanobis"].state()["whiten"][0].T.contiguous()
    known = scorer.split.index.vectors.T.contiguous()
    means = torch.randn(WIDTH, CLASSES)
    start, spent = time.perf_counter(), time.process_time()
    for chunk in lz.open_batch(path).chunks(columns=["id", "label", "embedding"], size=16_384):
        flat = chunk.column("embedding").flatten().to_numpy(zero_copy_only=False)
        x = torch.from_numpy(flat.copy()).reshape(-1, WIDTH)
        _ = x @ whiten
        _ = x @ means
        for part in x.split(2048):
            _ = part @ known
    return time.perf_counter() - start, time.process_time() - spent


def peers(path: Path, reference: lz.Reference, most: int) -> float:
    """Seconds of scikit-learn for the same four scores on `most` rows."""
    from sklearn.covariance import LedoitWolf
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

    scorer = reference.scorers[0]
    known = scorer.split.rows.embedding.numpy()
    label = scorer.split.rows.label.numpy()
    means = np.stack([known[label == c].mean(0) for c in range(CLASSES)])
    covariance = LedoitWolf(assume_centered=True).fit(known - means[label])
    near = NearestNeighbors(n_neighbors=20).fit(known)
    density = LocalOutlierFactor(n_neighbors=10, novelty=True).fit(known)
    start = time.perf_counter()
    data = lz.open_batch(path).table().slice(0, most)
    x = data["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH)
    np.stack([covariance.mahalanobis(x - mean) for mean in means], 1)
    near.kneighbors(x)
    density.score_samples(x)
    near.kneighbors(x, 5)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--peers-rows", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    policy = lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "speed",
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
            "screen": {"detectors": {name: {} for name in DETECTORS}},
        }
    )
    reference = lz.Reference.fit(table(*rows(np.random.default_rng(0), REFERENCE)), policy)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for count in (int(part) for part in arguments.rows.split(",")):
            path = Path(folder) / f"{count}.parquet"
            write(path, count)
            bare, bare_cpu = floor(path, reference)
            start, spent = time.perf_counter(), time.process_time()
            result = lz.screen(path, reference, policy)
            seconds, cpu = time.perf_counter() - start, time.process_time() - spent
            line = {
                "rows": count,
                "seconds": round(seconds, 2),
                "rows_per_second": round(count / seconds),
                "floor_seconds": round(bare, 2),
                "ratio": round(seconds / bare, 3),
                "cpu_ratio": round(cpu / bare_cpu, 3),
                "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
                "threads": torch.get_num_threads(),
                "verdict": result.verdict.value,
            }
            if count <= arguments.peers_rows:
                line["sklearn_seconds"] = round(peers(path, reference, count), 2)
                line["sklearn_ratio"] = round(line["sklearn_seconds"] / seconds, 2)
            print(json.dumps(line), flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
