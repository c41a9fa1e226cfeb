"""What a contract's rules may compare a batch with: the source's history, and what was admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.contract import Known
from lazaretto.dataset.files import read_rows
from lazaretto.dataset.table import open_dataset
from lazaretto.errors import NotFoundError
from lazaretto.received import find_batch
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.contract import Contract
    from lazaretto.dataset.table import DatasetVersion
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace

_MOST_LISTED = 10_000_000
"""So many different values a dataset may list: they are in memory while a batch is judged."""


def asks_catalog(contract: Contract | None) -> bool:
    """Whether a rule of a contract asks for more than the batch and when it came."""
    asked = None if contract is None else contract.asks
    return asked is not None and bool(asked.listed or asked.across or asked.batches)


def known_of(
    workspace: Workspace, received: Received, policy: Policy, contract: Contract | None
) -> tuple[Known, dict[str, object]]:
    """What is known now of what the rules of a contract ask for.

    Args:
        workspace: catalog and store.
        received: the batch.
        policy: names the dataset.
        contract: whose rules ask.

    Returns:
        It, and what tells it from what is known at another time.

    Raises:
        ChangedDatasetError: a dataset's table is not the one that is on record.
        ChangedStateError: the catalog does not say what the ledger says.
    """
    if contract is None or not asks_catalog(contract):
        return Known(received.received_at), {}
    asked = contract.asks
    versions: dict[str, DatasetVersion | None] = {}
    names = {dataset for dataset, _ in asked.listed} | ({policy.dataset} if asked.across else set())
    for name in sorted(names):
        try:
            versions[name] = open_dataset(workspace, name)
        except NotFoundError:
            versions[name] = None
    with workspace.catalog.read() as connection:
        volumes = _volumes(connection, received, policy.dataset, asked.batches)
    listed = {
        (name, column): _listed(workspace, name, versions[name], column)
        for name, column in asked.listed
    }

    def admitted(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        version = versions[policy.dataset]
        if version is None:
            return
        missing = [column for column in columns if column not in version.schema.names]
        if missing:
            raise ValueError(f"dataset {policy.dataset!r} has no column {missing[0]!r}")
        others = [file for file in version.files if file.batch != received.id]
        yield from read_rows(workspace.store, others, columns=columns)

    key: dict[str, object] = {
        "volumes": volumes,
        "versions": {name: one and one.version for name, one in versions.items()},
    }
    return Known(received.received_at, volumes, listed, admitted), {"known": key}


def _volumes(connection: Connection, received: Received, dataset: str, most: int) -> list[int]:
    """Records of the source's last batches of which something could be admitted, newest first."""
    batch = tables.batch.c
    query = (
        sa.select(batch.id)
        .where(
            batch.source == received.source,
            batch.dataset == dataset,
            batch.cleared > 0,
            batch.id != received.id,
            batch.received_at <= received.received_at,
        )
        .order_by(batch.received_at.desc(), batch.id)
        .limit(most)
    )
    return [find_batch(connection, name).rows for name in connection.scalars(query).all()]


def _listed(
    workspace: Workspace, name: str, version: DatasetVersion | None, column: str
) -> pa.Array | str:
    """The values of a dataset's column, each once; or why there are none."""
    if version is None:
        return f"nothing was admitted to dataset {name!r} yet"
    if column not in version.schema.names:
        return f"dataset {name!r} has no column {column!r}"
    found = pa.array([], version.schema.field(column).type)
    for chunk in read_rows(workspace.store, version.files, columns=[column]):
        found = pc.unique(pa.concat_arrays([found, pc.unique(chunk.column(column)).drop_null()]))
        if len(found) > _MOST_LISTED:
            return f"column {column!r} of dataset {name!r} has more than {_MOST_LISTED:,} values"
    return found
