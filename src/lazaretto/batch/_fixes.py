"""Mended values put in the place of those that were delivered, while a batch is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Fixes:
    """Values by position and column.

    Attributes:
        columns: for each column the positions of its mended values, ascending, and the values.
    """

    columns: dict[str, tuple[NDArray[np.int64], pa.Array]]

    @classmethod
    def of(cls, table: pa.Table) -> Fixes:
        """Of a table with ``position``, ``column`` and ``fixed``."""
        found = {}
        for name in table["column"].unique().to_pylist():
            mine = table.filter(pc.equal(table["column"], name)).sort_by("position")
            positions = mine["position"].to_numpy().astype(np.int64)
            found[name] = positions, mine["fixed"].combine_chunks()
        return cls(found)

    def applied(self, chunk: pa.RecordBatch, offset: int) -> pa.RecordBatch:
        """A chunk with its mended values.

        Args:
            chunk: records as they were delivered.
            offset: position of the first of them in its batch.
        """
        for name, (positions, values) in self.columns.items():
            low, high = np.searchsorted(positions, [offset, offset + chunk.num_rows])
            place = chunk.schema.get_field_index(name)
            if low == high or place < 0:
                continue
            mask = np.zeros(chunk.num_rows, dtype=np.bool_)
            mask[positions[low:high] - offset] = True
            column = chunk.column(place)
            better = values.slice(low, high - low).cast(column.type)
            mended = pc.replace_with_mask(column, pa.array(mask), better)
            chunk = chunk.set_column(place, chunk.schema.field(place), mended)
        return chunk
