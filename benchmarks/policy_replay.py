"""How long a policy replay takes: `python benchmarks/policy_replay.py --records 100000`.

One batch is judged first, and is not counted. Processor time is that of the replay and of the
processes that it starts, which decode. Prints one JSON line.
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

from lazaretto import stages
from lazaretto.policy import Policy
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.sources.registry import add_source
from lazaretto.stages.policy_replay import replay_policy
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import TrustTier

_POLICY = {
    "version": 1,
    "dataset": "blobs",
    "columns": {"record_id": "id", "label": "label", "embedding": "vector"},
    "sources": {"require_signature": False},
}


def rows(count: int, width: int, seed: int, flips: int) -> pa.Table:
    """Three separated classes; the first `flips` rows have a wrong label."""
    random, label = np.random.default_rng(seed), np.arange(count) % 3
    vectors = (random.normal(size=(count, width)) * 0.3).astype(np.float32)
    vectors[np.arange(count), label] += 6
    label[:flips] = (label[:flips] + 1) % 3
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
    ids = [f"{seed}-{number}" for number in range(count)]
    return pa.table({"id": ids, "label": pa.array(label), "vector": embedding})


def processor_seconds() -> float:
    """What this process and those that it started took."""
    mine, theirs = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def main() -> None:
    """Measures one replay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, policy = Path(name), Policy.model_validate(_POLICY)
        url = f"sqlite:///{folder / 'catalog.db'}"
        workspace = open_workspace(catalog_url=url, store=folder / "store")
        trusted = rows(5_000, asked.width, 1, 0)
        save_reference(workspace, Reference.fit(trusted, policy, name="blobs"))
        add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
        pq.write_table(
            rows(asked.records, asked.width, 2, asked.records // 200), folder / "a.parquet"
        )
        stages.ingest(workspace, folder / "a.parquet", "vendor", policy)
        wall, processor = time.perf_counter(), processor_seconds()
        found = replay_policy(workspace, policy)
        told = {
            "records": found.records,
            "width": asked.width,
            "wall_seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(processor_seconds() - processor, 1),
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "same": found.same,
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
