"""A yard: a workspace with a source, a fitted reference and a policy, ready for deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from catalogs import copy_sqlite

from lazaretto import stages
from lazaretto.policy import Policy
from lazaretto.values import Actor, ActorType, BatchRef, TrustTier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.reference import Reference
    from lazaretto.stages import Admission, Judgement
    from lazaretto.storage.workspace import Workspace

ANN = Actor(ActorType.HUMAN, "user:ann")
_POLICY = {
    "version": 1,
    "dataset": "blobs",
    "columns": {"record_id": "id", "label": "label", "embedding": "vector", "payload": ["text"]},
    "sources": {"require_signature": False},
    "screen": {
        "false_quarantine_rate": 0.02,
        "min_poison_share": 0.5,
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.9},
    },
}


def blobs(count: int, seed: int, *, prefix: str = "r", flips: int = 0) -> pa.Table:
    """Three well separated classes in eight dimensions; the first `flips` rows are mislabelled."""
    random = np.random.default_rng(seed)
    label = np.arange(count) % 3
    vectors = random.normal(size=(count, 8)) * 0.3
    vectors[np.arange(count), label] += 6
    given = label.copy()
    given[:flips] = (label[:flips] + 1) % 3
    return pa.table(
        {
            "id": [f"{prefix}{number}" for number in range(count)],
            "label": pa.array(given, pa.int64()),
            "vector": pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32(), 8)),
            "text": [f"record {number} <script>" for number in range(count)],
        }
    )


@dataclass(frozen=True)
class Yard:
    """What a test does with a workspace, in one word each."""

    workspace: Workspace
    policy: Policy
    folder: Path

    def deliver(self, name: str, rows: pa.Table) -> Path:
        """A delivery on disk."""
        path = self.folder / f"{name}.parquet"
        pq.write_table(rows, path)
        return path

    def receive(self, name: str, rows: pa.Table, source: str = "vendor-a") -> BatchRef:
        """A received batch."""
        path = self.deliver(name, rows)
        return stages.receive(self.workspace, path, source, policy=self.policy)

    def judge(self, name: str, rows: pa.Table, source: str = "vendor-a") -> Judgement:
        """A judged batch."""
        batch = self.receive(name, rows, source).id
        stages.validate(self.workspace, batch, self.policy)
        stages.embed(self.workspace, batch, self.policy)
        stages.screen(self.workspace, batch, self.policy)
        return stages.gate(self.workspace, batch, self.policy)

    def admit(self, name: str, rows: pa.Table, source: str = "vendor-a") -> Admission:
        """An admitted batch."""
        return stages.admit(self.workspace, self.judge(name, rows, source).batch)

    def dataset(self, version: int | None = None) -> pa.Table:
        """The admitted dataset's rows, as any reader of the Delta table sees them."""
        from deltalake import DeltaTable

        from lazaretto.dataset.table import open_dataset

        opened = open_dataset(self.workspace, self.policy.dataset, version)
        return DeltaTable(opened.uri, version=opened.version).to_pyarrow_table()

    def ids(self, version: int | None = None) -> list[str]:
        """Record ids of the admitted dataset, sorted."""
        return sorted(self.dataset(version)["_lazaretto_record"].to_pylist())


def make_policy(**changes: Mapping[str, object]) -> Policy:
    """The yard's policy with some sections changed."""
    return Policy.model_validate({**_POLICY, **changes})


def make_yard(workspace: Workspace, reference: str, folder: Path) -> Yard:
    """A yard on a fresh workspace."""
    from lazaretto.registry.references import save_reference
    from lazaretto.sources.registry import add_source

    workspace = workspace.acting(ANN)
    save_reference(workspace, _read_once(reference))
    for name in ("vendor-a", "vendor-b"):
        add_source(workspace, name, trust_tier=TrustTier.REVIEWED)
    return Yard(workspace, make_policy(), folder)


@cache
def _read_once(path: str) -> Reference:
    """A saved reference, which nobody changes: a process reads it once for all its yards."""
    from lazaretto.reference import Reference

    return Reference.load(path)


def fresh_yard(url: str, folder: Path, reference: str) -> Yard:
    """An empty workspace, whatever was done before in the same database.

    Args:
        url: of a catalog. One of SQLite is copied and must be empty, one of PostgreSQL is emptied.
        folder: of the workspace, which is made.
        reference: a saved reference.
    """
    from lazaretto.storage.column_types import metadata
    from lazaretto.storage.workspace import open_workspace

    folder.mkdir()
    if url.startswith("sqlite"):
        url = copy_sqlite(Path(url.removeprefix("sqlite:///")), folder / "catalog.db")
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    tables = [table.name for table in metadata.sorted_tables if table.name != "workspace"]
    names = ", ".join(f'"{name}"' for name in tables)
    if url.startswith("postgresql"):
        with workspace.catalog.engine.begin() as connection:
            connection.exec_driver_sql(f"TRUNCATE {names}")
    return make_yard(workspace, reference, folder)
