"""Speed of the spectral scores beside the bare products they need and beside ART's SVD per class.

    python benchmarks/sanitize_speed.py [--device cpu|cuda] [--cases N,D,C ...]

One JSON line per case. The floor is measured in the same run on the same rows: for every class one
X'X and one X V of float32 (`spectral`, `whitened_spectral` need at least these). On CUDA it also
prints the rate of a bare GEMM, of a host-to-device copy, and what was achieved of each. Memory is
the process's peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
import torch

from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.methods import METHODS
from lazaretto.sanitize.problem import make_problem

CASES = ["100000,512,10", "100000,512,100", "200000,512,10", "100000,1024,10", "1000000,512,10"]


def data(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d), dtype=np.float32)
    rows[:, : d // 8] *= 3
    return rows, rng.integers(0, classes, n)


def sync(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(work, device, repeats=2):
    best = np.inf
    for _ in range(repeats):
        sync(device)
        begin = time.perf_counter()
        work()
        sync(device)
        best = min(best, time.perf_counter() - begin)
    return best


def floor(rows, labels, device):
    """Seconds for X'X and X V of every class, rows already grouped and on the device."""
    order = np.argsort(labels, kind="stable")
    grouped = torch.from_numpy(rows[order]).to(device)
    parts = grouped.split(np.bincount(labels).tolist())
    basis = torch.randn(rows.shape[1], rows.shape[1], device=device)

    def work():
        for part in parts:
            part.T @ part
            part @ basis

    return timed(work, device)


def art_svd(rows, labels, limit=3):
    """Seconds of ART's numpy SVD for all classes, extrapolated from `limit` of them."""
    classes = np.unique(labels)[:limit]
    begin = time.perf_counter()
    for c in classes:
        features = rows[labels == c]
        centered = features - features.mean(0)
        _, _, vectors = np.linalg.svd(centered, full_matrices=False)
        np.linalg.norm(np.matmul(features, vectors[:1].T), axis=1)
    return (time.perf_counter() - begin) / len(classes) * len(np.unique(labels))


def case(n, d, classes, device, *, with_art):
    rows, labels = data(n, d, classes)
    clean, clean_labels = data(20 * d * classes if n >= 10**6 else 5 * d * classes, d, classes, 1)
    ids = np.char.zfill(np.arange(n).astype(str), 8)
    inputs = check_inputs(rows, labels, ids, (clean, clean_labels))
    problem = make_problem(inputs, "activations", device=device, dtype=torch.float32, seed=0)
    alone = check_inputs(rows, labels, ids, None)
    single = make_problem(alone, "activations", device=device, dtype=torch.float32, seed=0)
    bare = floor(rows, labels, device)
    out = {"n": n, "d": d, "classes": classes, "trusted": len(clean), "folds": problem.folds}
    out["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    out["threads"] = torch.get_num_threads()
    out["floor_s"] = round(bare, 3)
    for name, what in (("spectral", single), ("whitened_spectral", problem)):
        seconds = timed(lambda name=name, what=what: METHODS[name](what), device)
        out[f"{name}_s"] = round(seconds, 3)
        out[f"{name}_ratio"] = round(seconds / bare, 2)
    if with_art:
        out["art_svd_s"] = round(art_svd(rows, labels), 2)
        out["art_over_spectral"] = round(out["art_svd_s"] / out["spectral_s"], 1)
        out["art_over_whitened"] = round(out["art_svd_s"] / out["whitened_spectral_s"], 1)
    if device.type == "cuda":
        side = torch.randn(8192, 8192, device=device)
        gemm = 2 * 8192**3 / timed(lambda: side @ side, device, 5) / 1e12
        pinned = torch.from_numpy(rows[: min(n, 200_000)]).pin_memory()
        copy = pinned.nbytes / timed(lambda: pinned.to(device), device, 3) / 1e9
        needed = 2 * 2 * n * d * d / 1e12
        out["bare_gemm_tflops"], out["copy_gb_per_s"] = round(gemm, 1), round(copy, 1)
        out["achieved_tflops"] = round(needed / out["whitened_spectral_s"], 2)
        out["transfer_s"] = round(rows.nbytes / 1e9 / copy, 3)
    out["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cases", nargs="*", default=CASES)
    parser.add_argument("--no-art", action="store_true")
    options = parser.parse_args()
    for text in options.cases:
        n, d, classes = map(int, text.split(","))
        with_art = not options.no_art and n <= 200_000
        result = case(n, d, classes, torch.device(options.device), with_art=with_art)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
