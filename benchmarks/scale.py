"""Screening on a Ray cluster of this machine, beside the same in one process.

    python benchmarks/scale.py [--rows 100000 200000] [--nodes 1 2] [--width 64] [--kills 5]

One delivery from Parquet is received and validated. Then it is encoded (hashing of a text, as a
cheap encoder) and screened: in this process, with one thread, and on clusters of so many Ray nodes
with one processor each, all on this machine. Prints one JSON line for each: seconds of both stages,
without the cluster's own start; processor seconds of all processes that the cluster has; the most
memory of one worker; whether vectors are the same to the byte, and how far scores are apart. Last,
workers are killed at random while the batch is encoded and screened, and the result is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import tempfile
import threading
import time
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
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace

NODE: dict[str, Any] = {"num_cpus": 1, "include_log_monitor": False}
HEAD: dict[str, Any] = {"no_monitor": True, "include_dashboard": False}
TASK_ROWS, REFERENCE = 16_384, 5_000
WORDS = np.array(
    [
        "late",
        "train",
        "goal",
        "cup",
        "stock",
        "fear",
        "rain",
        "sun",
        "vote",
        "law",
        "cell",
        "gene",
        "film",
        "song",
    ]
)


def rows(count: int, seed: int) -> pa.Table:
    """Texts of seven classes, each of ten words of its own kind and of all."""
    rng = np.random.default_rng(seed)
    label = rng.integers(7, size=count)
    own = 2 * label[:, None] + rng.integers(2, size=(count, 6))
    picked = np.concatenate([own, rng.integers(len(WORDS), size=(count, 4))], 1)
    texts = [" ".join(words) for words in WORDS[picked].tolist()]
    return pa.table({"id": [f"{seed}-{n}" for n in range(count)], "label": label, "text": texts})


def policy(engine: object, width: int) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "dataset": "scale",
            "columns": {"record_id": "id", "label": "label"},
            "sources": {"require_signature": False},
            "embed": {"encoder": "hashing", "columns": ["text"], "options": {"buckets": width}},
            "engine": engine,
        }
    )


def ready(folder: Path, reference: Reference, delivery: Path, chosen: Policy) -> tuple[Any, str]:
    """A workspace of its own with the batch, validated."""
    folder.mkdir()
    url = f"sqlite:///{folder}/catalog.db"
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    save_reference(workspace, reference)
    batch = stages.receive(workspace, delivery, "vendor", policy=chosen).id
    stages.validate(workspace, batch, chosen)
    return workspace, batch


def judged(workspace: Workspace, batch: str, chosen: Policy) -> dict[str, Any]:
    """Seconds of both stages, and what they gave."""
    start = time.perf_counter()
    embedded = stages.embed(workspace, batch, chosen).said
    middle = time.perf_counter()
    said = stages.screen(workspace, batch, chosen).said
    end = time.perf_counter()
    assert embedded.vectors is not None
    return {
        "embed_s": round(middle - start, 2),
        "screen_s": round(end - middle, 2),
        "vectors": embedded.vectors.sha256,
        "scores": read_table(workspace.store, said.scores),
    }


def compared(found: dict[str, Any], local: dict[str, Any]) -> dict[str, Any]:
    """What is told of a run: how far it is from the local one."""
    apart = np.abs(found["scores"]["score"].to_numpy() - local["scores"]["score"].to_numpy())
    same = found["scores"]["held"].equals(local["scores"]["held"])
    told = {key: found[key] for key in found if key not in ("vectors", "scores")}
    return told | {
        "same_vectors": found["vectors"] == local["vectors"],
        "same_held": same,
        "scores_apart": float(np.nanmax(apart)),
    }


class Workers:
    """Watches the processes of the cluster, and kills some."""

    def __init__(self, kills: int = 0, seed: int = 1) -> None:
        self.peak, self.killed, self._left = 0, 0, kills
        self._rng, self._over = random.Random(seed), threading.Event()  # noqa: S311
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Workers:
        self._before = cluster_cpu()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu = cluster_cpu() - self._before

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            busy = [
                one for one in processes() if one.name().startswith("ray::lazaretto")
            ]  # a task has its name while it runs
            for one in busy:
                try:
                    self.peak = max(self.peak, one.memory_info().rss)
                except psutil.Error:
                    continue
            if busy and self._left and self._rng.random() < 0.3:
                victim = self._rng.choice(busy)
                os.kill(victim.pid, signal.SIGKILL)
                self._left, self.killed = self._left - 1, self.killed + 1


def processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def cluster_cpu() -> float:
    """Processor seconds of all processes of the cluster that live, and of those that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for one in [psutil.Process(), *processes()]:
        try:
            times = one.cpu_times()
            total += times.user + times.system
        except psutil.Error:
            continue
    return total


def run(count: int, nodes: list[int], width: int, kills: int, folder: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    delivery = folder / f"{count}.parquet"
    pq.write_table(rows(count, seed=2), delivery)
    local = policy("local", width)
    reference = Reference.fit(rows(REFERENCE, seed=1), local, name="scale")
    workspace, batch = ready(folder / f"local-{count}", reference, delivery, local)
    before = time.process_time()
    first = judged(workspace, batch, local)
    told = {key: first[key] for key in ("embed_s", "screen_s")}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cpu = round(time.process_time() - before, 1)
    print(json.dumps({"rows": count, "engine": "local", "cpu_s": cpu, "peak_mb": memory} | told))
    on_ray = policy({"name": "ray", "task_rows": TASK_ROWS}, width)
    for number in nodes:
        start = time.perf_counter()
        cluster = started(lambda: Cluster(initialize_head=True, head_node_args=NODE | HEAD))
        for _ in range(number - 1):
            started(lambda to=cluster: to.add_node(**NODE))
        ray.init(address=cluster.address, log_to_driver=False)
        start_s = round(time.perf_counter() - start, 1)
        for killing in (0, kills) if kills and number == nodes[-1] else (0,):
            name = folder / f"ray-{count}-{number}-{killing}"
            workspace, batch = ready(name, reference, delivery, on_ray)
            with Workers(killing) as workers:
                found = judged(workspace, batch, on_ray)
            line = {
                "rows": count,
                "engine": "ray",
                "nodes": number,
                "start_s": start_s,
                "killed": workers.killed,
                "cpu_s": round(workers.cpu, 1),
                "worker_peak_mb": workers.peak // 2**20,
            }
            print(json.dumps(line | compared(found, first)), flush=True)
        ray.shutdown()
        cluster.shutdown()


def started(start: Callable[[], Any]) -> Any:
    """A cluster or node; Ray gives each 30 seconds, which a busy machine may need again."""
    for _ in range(9):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 200_000])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with tempfile.TemporaryDirectory() as folder:
        for count in given.rows:
            run(count, given.nodes, given.width, given.kills, Path(folder))


if __name__ == "__main__":
    main()
