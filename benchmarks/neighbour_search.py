"""Microseconds a row of the nearest-row search that a reference chooses, beside bare products.

    python benchmarks/neighbour_search.py [--known 12000,120000,600000] [--data DATA_DIR]

`known` rows are searched through for k = 20; with `--data`, sentences of the shared text sets, too.
In the same run: the bare products of record and row (NumPy's BLAS, no selection), FAISS exact,
FAISS HNSW (32 links, up to 20,000 rows), scikit-learn brute force (up to 20,000 rows), and ours as
`lazaretto.detect.nearest_choice` chooses it on trusted rows. AUROC is of neighbours' labels on rows
that nothing was chosen on, once with their own and once with another label. One thread, seconds of
the processor; the best of two. Prints one JSON line per set.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import sklearn
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from lazaretto.detect import Chunk, Split
from lazaretto.detect.knn_label import KnnLabel
from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.nearest_choice import choose
from lazaretto.detect.neighbours import NeighbourIndex, Neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH, CLASSES, GAP, K = 384, 10, 0.2, 20
HELD_OUT, PROBES, PEERS_UP_TO = 2_000, 2_048, 20_000
Rows = tuple[np.ndarray, np.ndarray]


def gaussian(rng: np.random.Generator, count: int) -> Rows:
    """Ten classes with a falling spectrum, as embeddings have."""
    fixed = np.random.default_rng(1)
    scale = np.linspace(1, 0.05, WIDTH, dtype=np.float32)
    centers = fixed.normal(size=(CLASSES, WIDTH)).astype(np.float32) * scale
    label = rng.integers(CLASSES, size=count)
    rows = rng.standard_normal((count, WIDTH), dtype=np.float32)
    rows *= scale
    rows += np.float32(GAP) * centers[label]
    return rows, label


def text(folder: Path, name: str) -> Rows:
    """Sentence embeddings with their labels."""
    found = pq.read_table(folder / "text" / f"{name}_clean.parquet")
    rows = np.stack(found["embedding"].to_numpy()).astype(np.float32)
    values = found["label"].to_numpy(zero_copy_only=False)
    label = np.unique(values, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(rows))
    return rows[order], label[order]


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, the better of two, and the result."""
    best, result = np.inf, None
    for _ in range(2):
        begin = time.process_time()
        result = work()
        best = min(best, time.process_time() - begin)
    return best, result


def products(known: np.ndarray, probes: np.ndarray) -> None:
    """Every record times every row, in blocks that stay in the cache."""
    out = np.empty((1024, min(len(known), 4096)), np.float32)
    for first in range(0, len(known), out.shape[1]):
        part = known[first : first + out.shape[1]].T
        for start in range(0, len(probes), len(out)):
            block = probes[start : start + len(out)]
            np.matmul(block, part, out=out[: len(block), : part.shape[1]])


def auroc(found: Neighbours, index: NeighbourIndex, known: Chunk, probes: Chunk) -> float:
    """Of neighbours' labels: own labels against others, for the same rows."""
    names = tuple(map(str, range(int(known.label.max()) + 1)))
    detector = KnnLabel(K).fit(Split(known, names, (), index))
    other = (probes.label + 1) % len(names)
    values = [
        detector.score(Chunk(probes.embedding, label, memo={index: found}))
        for label in (probes.label, other)
    ]
    truth = np.repeat([0, 1], len(other))
    return round(float(roc_auc_score(truth, np.concatenate(values))), 4)


def measure(name: str, rows: Rows, count: int) -> dict[str, Any]:
    """One line."""
    x, label = rows
    known = Chunk(x[:count], label[:count])
    held_out = Chunk(x[count : count + HELD_OUT], label[count : count + HELD_OUT])
    rest = slice(count + HELD_OUT, count + HELD_OUT + PROBES)
    probes = Chunk(x[rest], label[rest])
    names = tuple(map(str, range(int(label.max()) + 1)))
    begin = time.process_time()
    choice = choose(known, names, held_out, Search(), density=False)
    chosen_s = time.process_time() - begin
    ours = NeighbourIndex(known.embedding, choice.search, learned=choice.learned)
    exact = NeighbourIndex(known.embedding)
    each = 1e6 / len(probes)
    # Few records do where each takes milliseconds.
    few = Chunk(probes.embedding[: max(256, min(PROBES, 40_000_000 // count))])
    bare, _ = cpu(lambda: products(known.embedding, few.embedding))
    flat, _ = cpu(lambda: exact.search(Chunk(few.embedding), K))
    fast, near = cpu(lambda: ours.search(Chunk(probes.embedding), K))
    true = exact.search(Chunk(probes.embedding), K)
    line = {
        "set": name,
        "known": count,
        "width": x.shape[1],
        "chosen": choice.search.words(count, x.shape[1]),
        "choosing_s": round(chosen_s, 1),
        "products_us": round(bare * 1e6 / len(few), 1),
        "exact_us": round(flat * 1e6 / len(few), 1),
        "ours_us": round(fast * each, 1),
        "ours_over_products": round(fast * each / (bare * 1e6 / len(few)), 3),
        "auroc_exact": auroc(true, exact, known, probes),
        "auroc_ours": auroc(near, ours, known, probes),
        "recall": round(float((near.row[:, :, None] == true.row[:, None]).any(1).mean()), 3),
    }
    if count <= PEERS_UP_TO:
        line |= peers(known, probes, each, exact)
    return line


def peers(known: Chunk, probes: Chunk, each: float, exact: NeighbourIndex) -> dict[str, Any]:
    """FAISS HNSW and scikit-learn's brute force."""
    graph = faiss.IndexHNSWFlat(known.embedding.shape[1], 32)
    graph.add(known.embedding)
    graph.hnsw.efSearch = 40
    hnsw, (squared, row) = cpu(lambda: graph.search(probes.embedding, K))
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(known.embedding)
    slow, _ = cpu(lambda: brute.kneighbors(probes.embedding))
    near = Neighbours(np.sqrt(np.maximum(squared, 0)), row)
    return {
        "hnsw_us": round(hnsw * each, 1),
        "auroc_hnsw": auroc(near, exact, known, probes),
        "sklearn_us": round(slow * each, 1),
    }


def sets(options: argparse.Namespace) -> Iterator[tuple[str, Rows, int]]:
    """Name, rows, and how many are searched through."""
    if options.data is not None:
        for name in ("sst2", "sms"):
            rows = text(options.data, name)
            count = len(rows[0]) - HELD_OUT
            # The last rows are held out and probed by halves.
            yield name, rows, count - min(PROBES, count // 4)
    for count in map(int, options.known.split(",")):
        rng = np.random.default_rng(0)
        yield "gaussian", gaussian(rng, count + HELD_OUT + PROBES), count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known", default="12000,120000,600000")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    versions = {"faiss": faiss.__version__, "numpy": np.__version__, "sklearn": sklearn.__version__}
    print(json.dumps(versions), flush=True)
    for name, rows, count in sets(options):
        print(json.dumps(measure(name, rows, count)), flush=True)


if __name__ == "__main__":
    main()
