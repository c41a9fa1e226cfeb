"""A dataset's columns become more or wider: on record first, then one commit of its table."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from lazaretto.dataset.commit import commit_recorded
from lazaretto.dataset.delta import columns_digest, columns_json, read_columns
from lazaretto.dataset.files import read_files
from lazaretto.dataset.history import find_newest, version_files
from lazaretto.dataset.recorded import Recorded
from lazaretto.dataset.schema import conform
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import is_newest
from lazaretto.dataset.together import write_again
from lazaretto.ledger.events import DatasetGrown
from lazaretto.ledger.state import record
from lazaretto.values import Column

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from deltalake import DeltaTable

    from lazaretto.dataset.evolve import Fit
    from lazaretto.dataset.part import Part
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile


def grow(workspace: Workspace, part: Part, table: DeltaTable, change: Fit) -> bool:
    """Gives a dataset the columns that a batch needs.

    New columns change the table's columns alone. For a wider type every data file is written anew,
    since a table may not hold files of another type than its own; the old ones stay in the store
    for the versions before.

    Args:
        workspace: catalog and store.
        part: the records that need it.
        table: the dataset's table.
        change: what they need.

    Returns:
        False where the dataset changed meanwhile, so that nothing was done.

    Raises:
        AdmissionRefusedError: a value in the dataset has no place in the wider type.
        ChangedFileError: a data file is gone or was changed.
        SystemFaultError: store or catalog cannot be used.
    """
    columns = columns_json(change.columns)
    old: list[DataFile] = []
    files: list[DataFile] = []
    if change.wider:
        with workspace.catalog.read() as connection:
            newest = find_newest(connection, part.dataset)
            if newest is None or not is_newest(part.dataset, table, newest):
                return False
            old = version_files(connection, part.dataset, newest.event.version)
        files = list(_rewritten(workspace, part.dataset, table.version(), old, columns))
    event = DatasetGrown(
        dataset=part.dataset,
        version=table.version() + 1,
        needed_by=part.batch,
        policy=part.policy,
        table_id=str(table.metadata().id),
        schema=columns_digest(columns),
        columns=columns,
        added=[Column(name, str(change.columns.field(name).type)) for name in change.added],
        widened=[Column(name, str(kind)) for name, kind in change.wider.items()],
        files=files,
        removed=list(dict.fromkeys(file.file.path for file in old)),
    )
    with workspace.catalog.transaction() as connection:
        if not is_newest(part.dataset, table, find_newest(connection, part.dataset)):
            return False
        part.check(connection)
        recorded = Recorded(record(connection, event, changes, actor=workspace.actor), event)
    commit_recorded(workspace, recorded, table)
    return True


def _rewritten(
    workspace: Workspace, dataset: str, version: int, old: list[DataFile], columns: str
) -> Iterator[DataFile]:
    """Data files with the same records, in new types."""
    schema = read_columns(columns)

    def rows(stretches: list[DataFile]) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
        for file, chunk in read_files(workspace.store, stretches):
            yield file, conform(chunk, schema, dataset)

    for path, group in groupby(old, key=lambda file: file.file.path):
        purpose = f"grow:{version}:{columns_digest(columns)}:{path}"
        mine = list(group)
        yield from write_again(workspace.store, dataset, purpose, schema, mine, rows(mine))
