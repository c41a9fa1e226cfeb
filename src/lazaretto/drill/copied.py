"""The copy that a drill poisons: what of a recent batch the gate had let in."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from lazaretto.authority.judgements import standing_judgement
from lazaretto.drill.attacks.base import Copy
from lazaretto.errors import DeletedPayloadError, NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted
from lazaretto.received import find_batch, open_stored
from lazaretto.stages.replayed import HeldRecords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.authority.judgements import Judged
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace

_LEAST_ROWS = 20


def copied_batch(workspace: Workspace, policy: Policy, batch: str | None) -> tuple[Received, Copy]:
    """A batch, and a copy of those of its records that the gate cleared.

    Args:
        workspace: catalog and store; only read.
        policy: says which columns play which part.
        batch: id of it; None: the newest one that was admitted and is large enough.

    Raises:
        NotFoundError: there is no such batch, or none that fits.
        DeletedPayloadError: retention deleted the records of the one that was named.
        ChangedFileError: its file is gone, or is not the one that is on record.
    """
    if batch is not None:
        return _read(workspace, policy, *_judged(workspace, policy, batch))
    for found in newest_copies(workspace, policy):
        return found
    raise NotFoundError(
        f"no batch of dataset {policy.dataset!r} can be copied: none with {_LEAST_ROWS} cleared "
        "records was admitted, or retention deleted them"
    )


def newest_copies(
    workspace: Workspace, policy: Policy, source: str | None = None, *, without: str | None = None
) -> Iterator[tuple[Received, Copy]]:
    """The newest batches that were admitted, each with its copy; see `copied_batch`.

    Args:
        workspace: catalog and store; only read.
        policy: says which columns play which part.
        source: who delivered them; None: anybody.
        without: id of a batch that is left out.

    Raises:
        ChangedFileError: as of `copied_batch`.
    """
    for name in _newest(workspace, policy.dataset):
        if name == without:
            continue
        received, judged = _judged(workspace, policy, name)
        if judged is None or source not in (None, received.source):
            continue
        if received.rows - judged.event.held < _LEAST_ROWS:
            continue
        with suppress(DeletedPayloadError):
            yield _read(workspace, policy, received, judged)


def read_copy(workspace: Workspace, policy: Policy, batch: str) -> Copy:
    """The copy of a batch once more; see `copied_batch`."""
    return _read(workspace, policy, *_judged(workspace, policy, batch))[1]


def _judged(workspace: Workspace, policy: Policy, batch: str) -> tuple[Received, Judged | None]:
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        return received, standing_judgement(connection, batch, policy.dataset)


def _read(
    workspace: Workspace, policy: Policy, received: Received, judged: Judged | None
) -> tuple[Received, Copy]:
    if judged is None:
        raise NotFoundError(f"{received.id} was not judged for dataset {policy.dataset!r}")
    held = HeldRecords.read(workspace.store, judged.event.held_records)
    opened = open_stored(workspace, received)
    rows = pa.Table.from_batches(list(opened.chunks()))
    cleared = np.ones(rows.num_rows, bool)
    cleared[held.positions] = False
    return received, _parts(rows.filter(pa.array(cleared)), policy)


def _newest(workspace: Workspace, dataset: str) -> list[str]:
    with workspace.catalog.read() as connection:
        found = entries(connection, kinds=[BatchAdmitted.kind], newest_first=True, limit=200)
        names = (
            entry.event.batch
            for entry in found
            if isinstance(entry.event, BatchAdmitted) and entry.event.dataset == dataset
        )
        return list(dict.fromkeys(names))


def _parts(rows: pa.Table, policy: Policy) -> Copy:
    """Which columns an attack may change: those that the encoder reads."""
    columns = policy.columns
    label = columns.label if columns.label in rows.schema.names else None
    named = [columns.embedding] if columns.embedding else list(policy.embed.columns)
    there = [name for name in named if name in rows.schema.names and name != label]
    kinds = {name: rows.schema.field(name).type for name in there}
    lists = [name for name, kind in kinds.items() if _is_vector(kind)]
    numbers = [
        name
        for name, kind in kinds.items()
        if (pt.is_integer(kind) or pt.is_floating(kind)) and not rows[name].null_count
    ]
    texts = [n for n, kind in kinds.items() if pt.is_string(kind) or pt.is_large_string(kind)]
    return Copy(rows, label, tuple(lists or numbers), tuple(texts))


def _is_vector(kind: pa.DataType) -> bool:
    lists = pt.is_list(kind) or pt.is_fixed_size_list(kind) or pt.is_large_list(kind)
    return bool(lists and pt.is_floating(kind.value_type))
