"""Seconds from receipt to admission, stage by stage, beside an older commit in the same run.

    git worktree add /tmp/old b3fe01f && (cd /tmp/old && make install)
    python benchmarks/delivery.py [--rows 1000000] [--width 384] [--runs 3] \
        [--baseline /tmp/old/.venv/bin/python]

One Parquet delivery of id, label and a float32 vector goes the whole way: receive, validate, embed
(the vectors are the delivery's own), screen, gate, admit. Each run is a process of its own with one
thread, a fresh catalog and a fresh store; today's code, today's code without its checks of stored
bytes, and the baseline take turns, so that a busy machine slows all of them. Prints one JSON line
per run, then one with the median ratios. `unverified` replaces the hashing of stored bytes by
nothing in the measured process alone; no option of Lazaretto does that.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CLASSES, REFERENCE, GAP = 10, 20_000, 0.5
PART = 50_000
STAGES = ("receive", "validate", "embed", "screen", "gate", "admit")
POLICY: dict[str, Any] = {
    "version": 1,
    "dataset": "speed",
    "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
    "sources": {"require_signature": False},
    "screen": {"detectors": {"mahalanobis": {}, "knn_label": {"k": 20}}},
}


def write(path: Path, count: int, width: int, seed: int) -> None:
    """Ten Gaussian classes, written in row groups."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    centers = np.random.default_rng(1).normal(size=(CLASSES, width)).astype(np.float32)
    random, writer = np.random.default_rng(seed), None
    for start in range(0, count, PART):
        size = min(PART, count - start)
        labels = random.integers(CLASSES, size=size)
        points = random.standard_normal((size, width), dtype=np.float32) + GAP * centers[labels]
        part = pa.table(
            {
                "id": [f"{seed}-{number}" for number in range(start, start + size)],
                "label": labels,
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), width),
            }
        )
        writer = writer or pq.ParquetWriter(path, part.schema, use_dictionary=False)
        writer.write_table(part)
    if writer is not None:
        writer.close()


def way(delivery: Path, reference: Path, folder: Path) -> dict[str, float]:
    """Takes a delivery the whole way: seconds by stage, peak memory in MB.

    Runs under the measured version, so it knows the old places of things, too.
    """
    from lazaretto import stages
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference

    try:
        from lazaretto.registry.references import save_reference
        from lazaretto.sources.registry import add_source
        from lazaretto.storage.workspace import open_workspace
    except ImportError:
        from lazaretto.quarantine.references import save_reference
        from lazaretto.source import add_source
        from lazaretto.workspace import open_workspace
    from lazaretto.values import Actor, ActorType, TrustTier

    workspace = open_workspace(catalog_url=f"sqlite:///{folder}/c.db", store=folder / "store")
    # Of old everybody named who acted.
    named = "actor" in inspect.signature(add_source).parameters
    who = {"actor": Actor(ActorType.SERVICE, "service:benchmark")} if named else {}
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED, **who)
    policy = Policy.model_validate(POLICY)
    save_reference(workspace, Reference.fit(reference, policy, name="speed"))
    took: dict[str, float] = {}

    def timed(stage: str, *arguments: Any, **more: Any) -> Any:
        start = time.perf_counter()
        result = getattr(stages, stage)(workspace, *arguments, **more)
        took[stage] = round(time.perf_counter() - start, 2)
        return result

    batch = timed("receive", delivery, "vendor", policy=policy).id
    for stage in STAGES[1:5]:
        timed(stage, batch, policy)
    admission = timed("admit", batch, policy=policy)
    took["all"] = round(sum(took.values()), 2)
    took["admitted"] = admission.rows
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took["peak_mb"] = round(own / 1024)
    took["peak_child_mb"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return took


def without_checks() -> None:
    """Makes sha256 of stored bytes cost nothing, in this process alone, to see what it costs."""
    from lazaretto.storage import store, verified

    class Nothing:
        size = 0

        def update(self, data: bytes) -> None:
            self.size += len(data)

        def hexdigest(self) -> str:
            return os.urandom(32).hex()

        def block_list(self) -> bytes:
            return b""

    def as_it_is(_file: Any, raw: Any, *_: Any) -> Any:
        return raw

    verified.BlockDigests = store.BlockDigests = Nothing  # type: ignore[misc, assignment]
    store.open_verified = as_it_is  # type: ignore[assignment]


def run(python: str, mode: str, delivery: Path, reference: Path) -> dict[str, Any]:
    """One process; its answer."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [python, __file__, "--one", mode, str(delivery), str(reference), folder]
        done = subprocess.run(
            arguments, env=os.environ | threads, check=True, capture_output=True, text=True
        )
    return {"code": mode, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--baseline", help="Python of an environment with the older commit")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        mode, delivery, reference, folder = options.one
        if mode == "unverified":
            without_checks()
        print(json.dumps(way(Path(delivery), Path(reference), Path(folder))))
        return
    pythons = {"today": sys.executable, "unverified": sys.executable}
    if options.baseline:
        pythons["baseline"] = options.baseline
    found: dict[str, list[float]] = {mode: [] for mode in pythons}
    with tempfile.TemporaryDirectory() as folder:
        delivery, reference = Path(folder, "delivery.parquet"), Path(folder, "trusted.parquet")
        write(delivery, options.rows, options.width, seed=2)
        write(reference, min(REFERENCE, options.rows), options.width, seed=3)
        for _ in range(options.runs):
            for mode, python in pythons.items():
                line = run(python, mode, delivery, reference)
                found[mode].append(line["all"])
                print(json.dumps({"rows": options.rows, "width": options.width, **line}))
                sys.stdout.flush()
    today = statistics.median(found["today"])
    ratios = {
        f"today_over_{mode}": round(today / statistics.median(times), 3)
        for mode, times in found.items()
        if mode != "today"
    }
    print(json.dumps({"rows": options.rows, "width": options.width, **ratios}))


if __name__ == "__main__":
    main()
