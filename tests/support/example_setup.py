"""What the examples in docstrings start from: docs/reference/python.md describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from yard import ANN, blobs, make_policy

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("policy", "workspace", "monday", "tuesday", "case", "incident")


def prepare(folder: Path) -> dict[str, str]:
    """Fills an empty folder.

    Returns:
        The ids of the batches, of the case and of the incident, by their names in examples.
    """
    from lazaretto import incidents, stages
    from lazaretto.registry.fit_version import fit_version
    from lazaretto.sources.keys import keygen
    from lazaretto.sources.registry import add_key, add_source
    from lazaretto.storage import tables
    from lazaretto.values import Question, TrustTier

    workspace = reopen(folder, create=True)
    for name, rows in (
        ("trusted", blobs(900, seed=1, prefix="t")),
        ("monday", blobs(60, seed=5, prefix="m")),
        ("tuesday", blobs(60, seed=6, prefix="u", flips=6)),
        ("wednesday", blobs(60, seed=7, prefix="w")),
    ):
        pq.write_table(rows, folder / f"{name}.parquet")
    private, public = keygen()
    (folder / "vendor.key").write_bytes(private)
    (folder / "vendor.pub").write_bytes(public)
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    add_key(workspace, "vendor", public)
    policy = make_policy(dataset="reviews")
    fit_version(workspace, folder / "trusted.parquet", policy)
    done = {}
    for day in ("monday", "tuesday"):
        ingested = stages.ingest(workspace, folder / f"{day}.parquet", "vendor", policy)
        done[day] = ingested.judgement.batch
    done["case"] = str(ingested.judgement.case)
    taken = stages.snapshot(workspace, "reviews")
    stages.register_model(workspace, "net", "1", "reviews", taken.version)
    asked = Question("source", "vendor")
    opened = incidents.open_incident(workspace, asked, reason="its bucket was open")
    done["incident"] = opened.id
    # The index names the store's address, and each example has a copy at another one.
    with workspace.catalog.transaction() as connection:
        for table in (tables.lineage_edge, tables.lineage_node, tables.projection):
            connection.execute(table.delete())
    workspace.catalog.engine.dispose()
    return done


def reopen(folder: Path, *, create: bool = False) -> Any:
    """The folder's workspace."""
    from lazaretto.storage.workspace import open_workspace

    url = f"sqlite:///{folder / 'catalog.db'}"
    return open_workspace(catalog_url=url, store=folder / "store", create=create, actor=ANN)
