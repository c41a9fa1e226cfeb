"""Snapshots whose weights a training did not read, although reviewers had given some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import WEIGHT
from lazaretto.quarantine.weights import USUAL_WEIGHT
from lazaretto.stages.taken import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import SnapshotRead


def ignored_weights(workspace: Workspace, reads: Iterable[SnapshotRead]) -> list[str]:
    """Names of snapshots that have weights other than 1, and were read without them.

    Args:
        workspace: catalog and store.
        reads: what a training read. Reads of one snapshot count together.

    Raises:
        NotFoundError: such a snapshot was not taken.
        ChangedFileError: a data file is gone, or is not the one that is on record.
    """
    columns: dict[tuple[str, str], set[str]] = {}
    for read in reads:
        columns.setdefault((read.dataset, read.snapshot), set()).update(read.columns)
    found = []
    for (dataset, snapshot), named in sorted(columns.items()):
        if WEIGHT in named:
            continue
        taken = open_snapshot(workspace, dataset, snapshot)
        with damage_on_record(workspace, dataset, "register", taken.files):
            chunks = (chunk.column(WEIGHT) for chunk in taken.chunks([WEIGHT]))
            if any(pc.any(pc.not_equal(some, USUAL_WEIGHT)).as_py() for some in chunks):
                found.append(f"{dataset}@{snapshot}")
    return found
