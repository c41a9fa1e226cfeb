"""Values of a column once more, when it is known which of them are to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from lazaretto.batch import Batch, Stretch, as_chunks
from lazaretto.contract._frame import make_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import polars as pl
    from numpy.typing import NDArray

Look: TypeAlias = "Callable[[str, NDArray[np.int64]], pl.Series | None]"
"""Gives the values of a column at ascending positions again; None: they cannot be had."""


class Again:
    """Reads only those chunks that have one of them.

    Args:
        data: the records.
        types: of columns, as the contract says them in full.
    """

    def __init__(self, data: Batch | pa.Table, types: Mapping[str, pa.DataType]) -> None:
        self._data, self._types = data, types
        self._extents: list[int] | None = None

    def look(self, column: str, positions: NDArray[np.int64]) -> pl.Series:
        """Values of a column.

        Args:
            column: its name.
            positions: of the records, ascending, at least one.

        Raises:
            SystemFaultError: the records cannot be read.
        """
        found = []
        for offset, chunk in self._chunks(column, positions):
            low, high = np.searchsorted(positions, [offset, offset + chunk.num_rows])
            if low < high:
                found.append(chunk.take(pa.array(positions[low:high] - offset)))
        return make_frame(found, self._types).data.get_column(column)

    def _chunks(
        self, column: str, positions: NDArray[np.int64]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The chunks that have such records, each with the position of its first."""
        if not isinstance(self._data, Batch):
            offset = 0
            for chunk in as_chunks(self._data, columns=[column]):
                yield offset, chunk
                offset += chunk.num_rows
            return
        if self._extents is None:
            self._extents = self._data.extents()
        edges = np.cumsum([0, *self._extents])
        for number in np.unique(np.searchsorted(edges, positions, side="right") - 1).tolist():
            first, rows = int(edges[number]), self._extents[number]
            stretch = self._data.stretch(Stretch(number, number, 1, first, rows))
            for chunk in stretch.chunks(columns=[column]):
                yield first, chunk
                first += chunk.num_rows
