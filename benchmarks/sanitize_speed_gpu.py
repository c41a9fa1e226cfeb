"""Speed on a CUDA device: spectral scores beside bare products and copies, and nearest rows.

Run by `sanitize_speed.py --device cuda`. Clocks are read when the device has done all it was given.
Every measurement is run once unseen, then several times; all runs are kept. Rows are Gaussian, made
by all cores. *Streamed* rows stay in the host's memory and are gathered and copied in each pass;
*resident* ones were copied to the device before. The floor is X'X and X V of every class, of rows
that lie grouped on the device, by the device's own clock.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import faiss
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.sanitize.layer_data import LayerData, make_side
from lazaretto.sanitize.methods.registry import METHODS
from lazaretto.sanitize.resident import on_device

CASES = [
    "100000,128,1000,64",
    "100000,512,10,2560",
    "1300000,2048,1000,200",
    "10000000,768,10,7680",
]
"""Rows, features, classes, trusted rows of each class."""

K, WIDTH, QUERIES = 20, 384, 10**6
NEIGHBOURS = [(20_000, QUERIES, 4_000), (10**6, 100_000, 200)]
"""Reference rows, records on the device, records on the CPU."""


def normal(n, d, seed=0, spread=True):
    """Rows (n, d) of float32, an eighth of the features with three times the spread."""
    rows = np.empty((n, d), np.float32)
    parts = np.array_split(np.arange(n), 64)

    def fill(i):
        if len(parts[i]):
            part = rows[parts[i][0] : parts[i][-1] + 1]
            np.random.default_rng([seed, i]).standard_normal(part.shape, dtype=np.float32, out=part)
            if spread:
                part[:, : d // 8] *= 3

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(len(parts))))
    return rows


def runs(work, repeats):
    """Seconds of every run but the first, which is not counted; of that one, if it is the only."""
    found = []
    for _ in range(repeats + (repeats > 1)):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - begin)
    return [round(s, 6) for s in found[repeats > 1 :]]


def layer_of(n, d, classes, per_class, device):
    labels = np.random.default_rng(1).integers(0, classes, n)
    clean_labels = np.arange(per_class * classes) % classes
    least = min(np.bincount(labels).min(), per_class)
    folds = 2 if least >= 10 * d else 5
    sides = [
        make_side(normal(len(y), d, seed), y, n_classes=classes, folds=folds, seed=seed)
        for seed, y in enumerate((labels, clean_labels))
    ]
    return LayerData(*sides, classes, folds, device, torch.float32)


def floor(layer, sides):
    """Seconds of the bare products by the device's clock, without gathering."""
    basis = torch.randn(layer.width, layer.width, device=layer.device)
    total = 0.0
    for _ in range(2):
        marks = []
        for side in sides:
            for c in range(layer.n_classes):
                x = layer.rows(side, c)
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                x.T @ x
                x @ basis
                end.record()
                marks.append((begin, end))
        torch.cuda.synchronize()
        total = sum(a.elapsed_time(b) for a, b in marks) / 1e3
    return round(total, 4)


def rates(device):
    """Bare rates of the device: products in three precisions, and copies."""
    out = {"kind": "device", "device": torch.cuda.get_device_name(), "torch": torch.__version__}
    side = torch.randn(8192, 8192, device=device)
    low = side.bfloat16()
    work = {"fp32": lambda: side @ side, "bf16": lambda: low @ low}
    for name, product in work.items():
        out[f"{name}_tflops"] = [round(2 * 8192**3 / s / 1e12, 1) for s in runs(product, 5)]
    torch.set_float32_matmul_precision("high")
    out["tf32_tflops"] = [round(2 * 8192**3 / s / 1e12, 1) for s in runs(work["fp32"], 5)]
    torch.set_float32_matmul_precision("highest")
    host = torch.empty(2**28, dtype=torch.float32, pin_memory=True).normal_()
    there = torch.empty(2**28, device=device)
    seconds = runs(lambda: there.copy_(host, non_blocking=True), 4)
    out["copy_gb_per_s"] = [round(host.nbytes / s / 1e9, 1) for s in seconds]
    return out


def case(text, device):
    n, d, classes, per_class = map(int, text.split(","))
    layer = layer_of(n, d, classes, per_class, device)
    big = n * d > 10**9
    out = {"kind": "case", "n": n, "d": d, "classes": classes, "trusted": per_class * classes}
    out |= {"folds": layer.folds, "data_gb": round(layer.train.rows.nbytes / 1e9, 2)}
    torch.cuda.reset_peak_memory_stats()
    alone = replace(layer, trusted=None)
    out["streamed_spectral"] = runs(lambda: METHODS["spectral"](alone), 2 if big else 4)
    if n * d < 5 * 10**9:
        once = 1 if d >= 2048 else 4
        out["streamed_whitened"] = runs(lambda: METHODS["whitened_spectral"](layer), once)
    out["streamed_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    out["to_device"] = runs(lambda: on_device(layer.train.rows, device), 1)
    kept = [replace(s, resident=on_device(s.rows, device)) for s in (layer.train, layer.trusted)]
    layer = replace(layer, train=kept[0], trusted=kept[1])
    alone = replace(layer, trusted=None)
    out["floor"], out["floor_all"] = floor(layer, kept[:1]), floor(layer, kept)
    out["resident_spectral"] = runs(lambda: METHODS["spectral"](alone), 4)
    once = 1 if d >= 2048 else 3
    out["resident_whitened"] = runs(lambda: METHODS["whitened_spectral"](layer), once)
    torch.set_float32_matmul_precision("high")
    out["tf32_spectral"] = runs(lambda: METHODS["spectral"](alone), 3)
    torch.set_float32_matmul_precision("highest")
    return out


def errors(device):
    """How far scores are from float64's: in float32, and with TF32 products."""
    layer = layer_of(50_000, 512, 10, 2560, device)
    # Without a direction that leads, scores follow the last digit in any arithmetic.
    layer.train.rows[::20, :64] += 4
    out = {"kind": "errors", "n": 50_000, "d": 512, "classes": 10}
    for name in ("spectral", "whitened_spectral"):
        exact = METHODS[name](replace(layer, dtype=torch.float64)).train
        for words, precision in (("fp32", "highest"), ("tf32", "high")):
            torch.set_float32_matmul_precision(precision)
            got = METHODS[name](layer).train
            torch.set_float32_matmul_precision("highest")
            gap = np.abs(got - exact) / np.maximum(np.abs(exact), np.median(exact))
            out[f"{name}_{words}"] = [float(f"{np.quantile(gap, q):.2g}") for q in (0.5, 0.99, 1)]
    return out


def neighbours(known, there, here, device):
    rows, asked = normal(known, WIDTH, 2, spread=False), normal(there, WIDTH, 3, spread=False)
    index = NeighbourIndex(rows, device=str(device))
    out = {"kind": "neighbours", "known": known, "records": there, "cpu_records": here}
    out["device_s"] = runs(lambda: index.search_centred(asked, K), 2)
    x, y = (torch.from_numpy(part).to(device) for part in (asked[:20_000], rows))
    size = max(1, 2**28 // known)
    bare = runs(lambda: [part @ y.T for part in torch.split(x, size)], 3)
    out["bare_us"] = [round(s / len(x) * 1e6, 4) for s in bare]
    found = index.search_centred(asked[:here], K).row
    faiss.omp_set_num_threads(1)
    flat = NeighbourIndex(rows)
    with threadpool_limits(1):
        flat.search_centred(asked[:32], K)
        begin = time.perf_counter()
        same = flat.search_centred(asked[:here], K).row
        out["cpu_us"] = round((time.perf_counter() - begin) / here * 1e6, 1)
    out["same"] = round(float((found == same).mean()), 5)
    return out


def lines(device, cases):
    """One dict for each measurement, as it is done."""
    yield rates(device)
    yield errors(device)
    for text in cases:
        yield case(text, device)
    for known, there, here in NEIGHBOURS:
        yield neighbours(known, there, here, device)
