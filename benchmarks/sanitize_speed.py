"""Speed of the spectral scores beside the bare products they need and beside ART's SVD per class.

    python benchmarks/sanitize_speed.py [--device cpu|cuda] [--cases N,D,C,T ...] [--no-art]
        [--no-memory] [--repeats 4] [--lines FILE] [--write benchmarks/results/sanitize_gpu.md]

N rows of width D in C classes, T trusted rows per class. One JSON line per case, appended to FILE;
--write makes the table of what FILE holds. The floors are measured in the same run, on the same
rows grouped by class, with the same number of threads: for every class one X'X and one X V of
float32, of the training rows (`floor`) and of the trusted rows too (`floor_all`: those that
`whitened_spectral` needs). With one thread on a CPU, seconds are the processor's own, which other
work on the machine disturbs less. From `MAPPED` rows on, the training rows are a mapped file, and
what counts is the process's own memory, without the pages of that file. On CUDA it also prints the
rate of a bare GEMM, of a host-to-device copy, and what was achieved.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import sanitize_speed_gpu as gpu
import torch
from sanitize_speed_report import report

from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.methods.registry import METHODS

CASES = [
    "100000,512,10,2560",
    "100000,512,10,5120",
    "200000,512,10,2560",
    "400000,512,10,2560",
    "100000,256,10,1280",
    "100000,1024,10,5120",
    "100000,256,100,500",
    "10000,256,100,50",
    "100000,2048,10,10240",
    "100000,128,1000,64",
    "6500,2048,5,200",
    "1000000,512,10,5120",
]
"""Rows, features, classes, trusted rows of each class. That of 6,500 rows is five classes of the
size of ImageNet's, of which there are a thousand: one core takes hours for those."""

MAPPED, ART_ROWS, ONCE, WIDE = 10**6, 200_000, 1.5e8, 2048


def data(n, d, classes, seed=0, folder=None):
    rng = np.random.default_rng(seed)
    if folder is None:
        rows = np.empty((n, d), np.float32)
    else:
        rows = np.memmap(Path(folder) / f"{seed}.f32", np.float32, "w+", shape=(n, d))
    for first in range(0, n, 20_000):
        part = rows[first : first + 20_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
        part[:, : d // 8] *= 3
    return rows, rng.integers(0, classes, n)


def sync(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def clock(device):
    """Wall clock; the processor's own with one thread on a CPU, which other work disturbs less."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def timed(work, device, repeats=2):
    best = np.inf
    for _ in range(repeats):
        sync(device)
        begin = clock(device)
        work()
        sync(device)
        best = min(best, clock(device) - begin)
    return best


def floor(rows, labels, device, repeats):
    """Seconds for X'X and X V of every class, rows already grouped and on the device."""
    basis = torch.randn(rows.shape[1], rows.shape[1], device=device)
    total = 0.0
    for c in np.unique(labels):
        part = torch.from_numpy(rows[labels == c]).to(device)
        total += timed(lambda part=part: (part.T @ part, part @ basis), device, repeats)
    return total


def art_svd(rows, labels, limit=3):
    """Seconds of ART's numpy SVD for all classes, extrapolated from `limit` of them."""
    classes = np.unique(labels)[:limit]
    begin = clock(torch.device("cpu"))
    for c in classes:
        features = rows[labels == c]
        centered = features - features.mean(0)
        _, _, vectors = np.linalg.svd(centered, full_matrices=False)
        np.linalg.norm(np.matmul(features, vectors[:1].T), axis=1)
    return (clock(torch.device("cpu")) - begin) / len(classes) * len(np.unique(labels))


def own_memory():
    """Bytes of the process that belong to no file; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("RssAnon")]
    return float(found[0]) * 1024 if found else float("nan")


def peak_of(work):
    """Bytes by which `work` raises the process's own memory, sampled."""
    before, seen, over = own_memory(), [0.0], threading.Event()

    def watch():
        while not over.wait(0.02):
            seen.append(own_memory() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    work()
    over.set()
    thread.join()
    return max(seen)


def case(n, d, classes, per_class, device, folder, *, with_art, with_memory, most):
    rows, labels = data(n, d, classes, folder=folder if n >= MAPPED else None)
    clean = data(per_class * classes, d, classes, 1)[0]
    clean_labels = np.arange(len(clean)) % classes
    ids = np.arange(n)
    inputs = check_inputs(rows, labels, ids, (clean, clean_labels))
    layer = make_layer_data(inputs, "activations", device=device, dtype=torch.float32, seed=0)
    alone = check_inputs(rows, labels, ids, None)
    single = make_layer_data(alone, "activations", device=device, dtype=torch.float32, seed=0)
    # Only once per process, and first: memory that was used before would be used again unseen.
    used = peak_of(lambda: METHODS["whitened_spectral"](layer)) if with_memory else None
    repeats = 1 if n * d >= ONCE else most
    bare = floor(rows, labels, device, repeats)
    both = bare + floor(clean, clean_labels, device, repeats)
    out = {"n": n, "d": d, "classes": classes, "trusted": len(clean), "folds": layer.folds}
    out["device"] = "cpu"
    out["threads"] = torch.get_num_threads()
    out["floor_s"], out["floor_all_s"] = round(bare, 3), round(both, 3)
    out["memory_gb"] = None if used is None else round(used / 2**30, 2)
    out["data_gb"] = round(rows.nbytes / 2**30, 2)
    for name, what in (("spectral", single), ("whitened_spectral", layer)):
        often = 1 if d >= WIDE and name != "spectral" else repeats
        seconds = timed(lambda name=name, what=what: METHODS[name](what), device, often)
        out["repeats"] = repeats
        out[f"{name}_s"] = round(seconds, 3)
    if with_art and n <= ART_ROWS:
        out["art_svd_s"] = round(art_svd(rows, labels), 2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--no-art", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--lines", type=Path)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = []
    if options.lines and options.lines.exists():
        lines = [json.loads(line) for line in options.lines.read_text().splitlines()]
    if options.device != "cpu":
        for line in gpu.lines(torch.device(options.device), options.cases or gpu.CASES):
            lines.append(line)
            print(json.dumps(line), flush=True)
            if options.lines:
                options.lines.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i, text in enumerate(options.cases or CASES if options.device == "cpu" else []):
        n, d, classes, per_class = map(int, text.split(","))
        device, art = torch.device(options.device), not options.no_art
        with tempfile.TemporaryDirectory() as folder:
            memory = i == 0 and not options.no_memory
            options_of_case = {"with_art": art, "with_memory": memory, "most": options.repeats}
            lines.append(case(n, d, classes, per_class, device, folder, **options_of_case))
        print(json.dumps(lines[-1]), flush=True)
        if options.lines:
            options.lines.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if options.write:
        options.write.write_text(report(lines))


if __name__ == "__main__":
    main()
