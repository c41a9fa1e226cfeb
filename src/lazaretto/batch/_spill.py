"""Tables on disk for as long as a delivery is read: its types are known only at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def spill(tables: Iterable[pa.Table], path: str) -> int:
    """Writes tables, whose columns may differ, and returns how many there were."""
    count = 0
    with pa.OSFile(path, "wb") as file:
        for table in tables:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
            count += 1
    return count


def unspill(path: str, count: int) -> Iterator[pa.Table]:
    """Reads them back, one at a time."""
    with pa.OSFile(path, "rb") as file:
        for _ in range(count):
            yield pa.ipc.open_stream(file).read_all()
