"""Screening on a Ray cluster of this machine, beside the same in one process.

    env -u OMP_NUM_THREADS python benchmarks/scale.py [--rows 100000 200000 400000] [--width 384]
        [--nodes 1 2] [--cpus 2] [--task-rows 32768]

A delivery of so many vectors is written as Parquet, received and validated once. Copies of that
workspace screen it: this process, with a thread for each core, and clusters of so many Ray nodes,
all on this machine, which share `--cpus` processors. A cluster is there before, as one that others
use would be; its workers start with the work.

Prints one JSON line for each: `wall_s` of the stage; `cpu_s` of all processes that took part, the
cluster's helpers too; `worker_mb`, the most resident memory that a worker was seen with, five times
a second, and of this process where it does the work; `apart`, how far scores are from those of one
process, and whether the same records are held; `load` of the machine when the stage began. Where
others work on the machine, `wall_s` says little.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from lazaretto import stages
from lazaretto.policy import Policy
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.sources.registry import add_source
from lazaretto.storage.sidecars import read_table
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE, CLASSES, CHUNK = 5_000, 10, 16_384
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Nodes are found at 127.0.0.1, whatever addresses this machine has.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
NODE: dict[str, Any] = {"include_log_monitor": False, "object_store_memory": 100 * 2**20}
HEAD: dict[str, Any] = NODE | {"no_monitor": True, "include_dashboard": False}


def vectors(count: int, width: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Rows of ten classes that overlap; of one in a hundred the label is another one."""
    means = np.random.default_rng(0).normal(size=(CLASSES, width)).astype(np.float32)
    rng = np.random.default_rng(seed)
    for first in range(0, count, CHUNK):
        rows = min(CHUNK, count - first)
        label = rng.integers(CLASSES, size=rows)
        row = 3 * rng.standard_normal((rows, width), np.float32) + means[label]
        label = np.where(rng.random(rows) < 0.01, (label + 1) % CLASSES, label)
        listed = pa.FixedSizeListArray.from_arrays(pa.array(row.reshape(-1)), width)
        ids = [f"{seed}-{number}" for number in range(first, first + rows)]
        columns = {"id": pa.array(ids), "label": pa.array(label), "vector": listed}
        yield pa.RecordBatch.from_pydict(columns)


def policy(engine: object) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "dataset": "scale",
            "columns": {"record_id": "id", "label": "label", "embedding": "vector"},
            "sources": {"require_signature": False},
            "engine": engine,
        }
    )


def received(folder: Path, count: int, width: int) -> str:
    """A workspace with the delivery, validated; the id of its batch."""
    chosen, delivery = policy("local"), folder.with_suffix(".parquet")
    chunks = vectors(count, width, seed=2)
    first = next(chunks)
    with pq.ParquetWriter(delivery, first.schema) as writer:
        writer.write_batch(first)
        for chunk in chunks:
            writer.write_batch(chunk)
    folder.mkdir()
    workspace = open_workspace(catalog_url=f"sqlite:///{folder}/catalog.db", store=folder / "store")
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    trusted = pa.Table.from_batches(vectors(REFERENCE, width, seed=1))
    save_reference(workspace, Reference.fit(trusted, chosen, name="scale"))
    batch = stages.receive(workspace, delivery, "vendor", policy=chosen).id
    stages.validate(workspace, batch, chosen)
    stages.embed(workspace, batch, chosen)
    delivery.unlink()
    return batch


def screened(template: Path, batch: str, engine: object) -> tuple[dict[str, Any], pa.Table]:
    """What the stage takes in a copy of a workspace, and its scores."""
    folder = template.with_name(f"{template.name}-copy")
    shutil.copytree(template / "store", folder / "store", copy_function=os.link)
    for part in template.glob("catalog.db*"):  # with what SQLite has not put into it yet
        shutil.copy(part, folder)
    workspace = open_workspace(catalog_url=f"sqlite:///{folder}/catalog.db", store=folder / "store")
    load, start = os.getloadavg()[0], time.perf_counter()
    with watched() as seen:
        said = stages.screen(workspace, batch, policy(engine)).said
    told = {"wall_s": round(time.perf_counter() - start, 1), **seen, "load": round(load, 1)}
    scores = read_table(workspace.store, said.scores)
    shutil.rmtree(folder)
    return told, scores


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Processor time of this process and of all below it, and the largest worker, when done."""
    seen: dict[str, float] = {}
    over, peak = threading.Event(), 0

    def look() -> None:
        nonlocal peak
        while not over.wait(0.2):
            for one in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if one.name().startswith("ray::"):
                        peak = max(peak, one.memory_info().rss)

    thread, before = threading.Thread(target=look), cpu_seconds()
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen |= {"cpu_s": round(cpu_seconds() - before, 1), "worker_mb": peak // 2**20}


def cpu_seconds() -> float:
    """Of all that live, and of those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for one in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def cluster(nodes: int, cpus: int) -> Iterator[None]:
    """A cluster of this machine with so many nodes, which share the processors."""
    import ray
    from ray.cluster_utils import Cluster

    kinds = [HEAD, *[NODE] * (nodes - 1)]
    found = started(Cluster, [kind | {"num_cpus": cpus // nodes} for kind in kinds])
    try:
        ray.init(address=found.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        found.shutdown()


def started(kind: Any, nodes: list[dict[str, Any]]) -> Any:
    """Starts nodes; Ray gives each 30 seconds, in its code, which a busy machine may need again."""
    for again in reversed(range(9)):
        found = kind()
        try:
            for node in nodes:
                found.add_node(**node)
        except Exception as error:
            for left in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    left.kill()
            if not again or "timed out during startup" not in str(error):
                raise
        else:
            return found
    return None


def apart(found: pa.Table, local: pa.Table) -> dict[str, object]:
    one, other = (table["score"].to_numpy() for table in (found, local))
    return {
        "apart": float(np.nanmax(np.abs(one - other))),
        "same_held": found["held"].equals(local["held"]),
    }


def run(count: int, given: argparse.Namespace, folder: Path) -> None:
    template = folder / str(count)
    batch = received(template, count, given.width)
    size = {"rows": count, "width": given.width}
    told, local = screened(template, batch, "local")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(size | {"engine": "local"} | told | {"worker_mb": peak}), flush=True)
    on_ray = {"name": "ray", "task_rows": given.task_rows}
    for nodes in given.nodes:
        with cluster(nodes, given.cpus):
            told, found = screened(template, batch, on_ray)
        line = size | {"engine": "ray", "nodes": nodes} | told | apart(found, local)
        print(json.dumps(line), flush=True)
    shutil.rmtree(template)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 200_000, 400_000])
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--task-rows", type=int, default=32_768)
    given = parser.parse_args()
    os.environ |= SETTINGS  # read when Ray is loaded
    with tempfile.TemporaryDirectory(prefix="lz-") as folder:
        for count in given.rows:
            run(count, given, Path(folder))


if __name__ == "__main__":
    main()
