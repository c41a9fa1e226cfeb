"""A checkpoint of a dataset's Delta log, from which on it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from lazaretto.errors import SystemFaultError
from lazaretto.faults import causes_line

if TYPE_CHECKING:
    from deltalake import DeltaTable


def write_checkpoint(table: DeltaTable) -> None:
    """Writes a checkpoint of a table's log at its version, so that it is opened from there on.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    try:
        table.create_checkpoint()
    except (DeltaError, OSError) as error:
        raise SystemFaultError(
            f"{table.table_uri} cannot be written: {causes_line(error)}"
        ) from error
