"""A checkpoint of a dataset's Delta log, from which on it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from lazaretto.dataset.delta import log_entry
from lazaretto.dataset.files import dataset_path
from lazaretto.errors import SystemFaultError
from lazaretto.faults import causes_line
from lazaretto.storage.object_stores import answers_ranges

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from lazaretto.storage.store import Store


def write_checkpoint(store: Store, dataset: str, table: DeltaTable) -> bool:
    """Writes a checkpoint of a table's log at its version, so that it is opened from there on.

    Args:
        store: where the table is.
        dataset: its name.
        table: opened at its newest version.

    Returns:
        False where none was written, because the store's server gives no part of a file in a form
        that Delta reads: with a checkpoint the table could not be opened any more.

    Raises:
        SystemFaultError: the store cannot be read or written.
    """
    newest = f"{dataset_path(dataset)}/{log_entry(table.version())}"
    if answers_ranges(store.root, newest) is False:
        return False
    try:
        table.create_checkpoint()
    except (DeltaError, OSError) as error:
        raise SystemFaultError(
            f"{table.table_uri} cannot be written: {causes_line(error)}"
        ) from error
    return True
