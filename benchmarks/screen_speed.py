"""Rows per second of `screen` from Parquet, as a ratio to its floor, beside peers.

    python benchmarks/screen_speed.py [--rows 10000,100000,1000000] [--peers-rows 10000] \
        [--reference-rows 20000] [--search auto|exact]

The floor, in the same run, is the same read plus the bare matrix products that the scores need:
every row against the whitening map, the class means and the rows that neighbours are looked for in.
The products go into memory that is there already. Peers compute the same four scores for the same
rows with scikit-learn, and with PyOD where it is installed; last, both judge a batch with planted
outliers, flipped labels and copies, so that speed is compared at equal quality. Only scoring is
timed, never fitting. Prints one JSON line with versions and with what the reference chose, one per
size and one per planted threat.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn
import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

import lazaretto as lz
from lazaretto.detect import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, CLASSES, REFERENCE = 384, 10, 20_000
WRITE_ROWS, PART = 50_000, 1024
DETECTORS = ("mahalanobis", "knn_label", "density", "duplicates")
K_LABEL, K_DENSITY = 20, 10
Clocks = tuple[float, float]


def rows(rng: np.random.Generator, count: int, gap: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Ten Gaussian classes, `gap` apart in every dimension."""
    centers = np.random.default_rng(1).normal(size=(CLASSES, WIDTH)).astype(np.float32)
    labels = rng.integers(CLASSES, size=count)
    points = rng.standard_normal((count, WIDTH), dtype=np.float32)
    return points + np.float32(gap) * centers[labels], labels


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


def timed(work: Callable[[], object]) -> Clocks:
    """Seconds by the clock, and of CPU."""
    start, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - spent


def floor(path: Path, reference: lz.Reference) -> None:
    """Reads the same columns and computes the bare products, with every row of the reference."""
    scorer = reference.scorers[0]
    whiten = np.ascontiguousarray(scorer.detectors["mahalanobis"].state()["whiten"][0].T)
    known = np.ascontiguousarray(scorer.split.rows.embedding.T)
    means = np.random.default_rng(0).standard_normal((WIDTH, CLASSES), dtype=np.float32)
    sides = [(side, np.empty((PART, side.shape[1]), np.float32)) for side in (whiten, means, known)]
    for chunk in lz.open_batch(path).chunks(columns=["id", "label", "embedding"], size=16_384):
        flat = chunk.column("embedding").flatten().to_numpy(zero_copy_only=False)
        rows = flat.reshape(-1, WIDTH)
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            for side, out in sides:
                np.matmul(part, side, out=out[: len(part)])


class Peers:
    """The same scores with scikit-learn and PyOD, fitted on the rows that ours are fitted on."""

    def __init__(self, reference: lz.Reference) -> None:
        fitted = reference.scorers[0].split.rows
        self.known, self.label = fitted.embedding, fitted.label
        self.means = np.stack([self.known[self.label == c].mean(0) for c in range(CLASSES)])
        centred = self.known - self.means[self.label]
        self.covariance = LedoitWolf(assume_centered=True).fit(centred)
        self.near = NearestNeighbors(n_neighbors=K_LABEL).fit(self.known)
        self.lof = LocalOutlierFactor(n_neighbors=K_DENSITY, novelty=True).fit(self.known)

    def to_classes(self, x: np.ndarray) -> np.ndarray:
        """Mahalanobis distances (n, C)."""
        return np.stack([self.covariance.mahalanobis(x - mean) for mean in self.means], 1)

    def disagreement(self, x: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Share of the neighbours with another label."""
        found = self.near.kneighbors(x, return_distance=False)
        return (self.label[found] != label[:, None]).mean(1)

    def seconds(self, path: Path, count: int) -> dict[str, float]:
        """Of scoring the first rows of a file."""
        data = lz.open_batch(path).table().slice(0, count)
        x = data["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH)
        label = data["label"].to_numpy()
        shared = (
            timed(lambda: self.to_classes(x))[0]
            + timed(lambda: self.disagreement(x, label))[0]
            + timed(lambda: self.lof.score_samples(x))[0]
        )
        copies, _ = timed(lambda: self.near.kneighbors(x, 5))
        found = {"sklearn_seconds": shared + copies, "sklearn_shared_seconds": shared}
        if importlib.util.find_spec("pyod"):
            from pyod.models.knn import KNN
            from pyod.models.lof import LOF

            models = [KNN(n_neighbors=K_LABEL), LOF(n_neighbors=K_DENSITY)]
            for model in models:
                model.fit(self.known)
            found["pyod_seconds"] = timed(lambda: self.to_classes(x))[0] + sum(
                timed(lambda model=model: model.decision_function(x))[0] for model in models
            )
        return {name: round(value, 2) for name, value in found.items()}


def quality(policy: lz.Policy) -> list[dict[str, Any]]:
    """AUROC of ours and of the peers' scores on planted threats, close enough to be hard."""
    rng = np.random.default_rng(3)
    gap, count, planted = 0.12, 6000, 500
    reference = lz.Reference.fit(table(*rows(rng, REFERENCE, gap)), policy)
    peers, detectors = Peers(reference), reference.scorers[0].detectors
    x, label = rows(rng, count, gap)
    kind = np.zeros(count, dtype=np.int64)
    kind[: 3 * planted] = np.repeat([1, 2, 3], planted)
    far, flipped, copied = (kind == number for number in (1, 2, 3))
    x[far] += np.float32(0.3) * rng.standard_normal((planted, WIDTH), dtype=np.float32)
    label[flipped] = (label[flipped] + rng.integers(1, CLASSES, planted)) % CLASSES
    origin = rng.integers(len(peers.known), size=planted)
    noise = rng.standard_normal((planted, WIDTH), dtype=np.float32)
    x[copied] = peers.known[origin] + np.float32(0.9) * noise
    label[copied] = peers.label[origin]
    chunk = Chunk(x, label)
    ours = {name: detectors[name].score(chunk) for name in DETECTORS}
    distance = peers.to_classes(x)
    own = np.take_along_axis(distance, label[:, None], 1)[:, 0]
    np.put_along_axis(distance, label[:, None], np.inf, 1)
    pairs = [
        (far, "outliers: own-class distance", ours["mahalanobis"][:, 0], "LedoitWolf", own),
        (
            flipped,
            "flips: margin to other classes",
            ours["mahalanobis"][:, 2],
            "LedoitWolf",
            own - distance.min(1),
        ),
        (
            flipped,
            "flips: neighbours' labels",
            ours["knn_label"],
            "NearestNeighbors",
            peers.disagreement(x, label),
        ),
        (far, "outliers: density", ours["density"][:, 0], "LOF", -peers.lof.score_samples(x)),
        (
            copied,
            "copies: nearest neighbour",
            ours["duplicates"][:, 0],
            "NearestNeighbors",
            -peers.near.kneighbors(x, 1)[0][:, 0],
        ),
    ]
    lines = []
    for which, threat, mine, peer, theirs in pairs:
        rest = which | (kind == 0)
        mine_auroc = roc_auc_score(which[rest], mine[rest])
        peer_auroc = roc_auc_score(which[rest], theirs[rest])
        lines.append(
            {
                "planted": threat,
                "ours_auroc": round(mine_auroc, 4),
                "peer": peer,
                "peer_auroc": round(peer_auroc, 4),
                "difference": round(mine_auroc - peer_auroc, 4),
            }
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--peers-rows", type=int, default=10_000, help="0: no peers")
    parser.add_argument("--reference-rows", type=int, default=REFERENCE)
    parser.add_argument("--search", default="auto", choices=["auto", "exact"])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    policy = lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "speed",
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
            "screen": {
                "detectors": {name: {} for name in DETECTORS},
                "neighbours": {"search": arguments.search},
            },
        }
    )
    trusted = table(*rows(np.random.default_rng(0), arguments.reference_rows))
    reference = lz.Reference.fit(trusted, policy)
    about = {
        "reference_rows": arguments.reference_rows,
        "neighbours": reference.describe()["neighbours"],
        "faiss": faiss.__version__,
        "numpy": np.__version__,
        "sklearn": sklearn.__version__,
    }
    print(json.dumps(about), flush=True)
    # Imports and first calls are paid once per process, not per batch.
    lz.screen(table(*rows(np.random.default_rng(4), 1000)), reference, policy)
    beside = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for count in (int(part) for part in arguments.rows.split(",")):
            path = Path(folder) / f"{count}.parquet"
            write(path, count)
            results: list[lz.Screening] = []
            bare, bare_cpu = timed(lambda path=path: floor(path, reference))
            seconds, cpu = timed(
                lambda path=path, results=results: results.append(
                    lz.screen(path, reference, policy)
                )
            )
            line = {
                "rows": count,
                "seconds": round(seconds, 2),
                "rows_per_second": round(count / seconds),
                "floor_seconds": round(bare, 2),
                "ratio": round(seconds / bare, 3),
                "cpu_ratio": round(cpu / bare_cpu, 3),
                "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
                "result_mb": round(results[0].records.nbytes / 1e6, 1),
                "threads": torch.get_num_threads(),
                "verdict": results[0].verdict.value,
            }
            if count <= arguments.peers_rows:
                # Later, so that the peers' memory is not in the peak of a larger size.
                beside.append((path, line, seconds))
            else:
                path.unlink()
                print(json.dumps(line), flush=True)
        if beside:
            peers = Peers(reference)
            for path, own, seconds in beside:
                line = own | peers.seconds(path, own["rows"])
                line["sklearn_ratio"] = round(line["sklearn_seconds"] / seconds, 2)
                line["sklearn_shared_ratio"] = round(line["sklearn_shared_seconds"] / seconds, 2)
                if "pyod_seconds" in line:
                    line["pyod_ratio"] = round(line["pyod_seconds"] / seconds, 2)
                print(json.dumps(line), flush=True)
            for line in quality(policy):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
