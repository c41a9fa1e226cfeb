"""The encoder that does nothing: a column of the batch already holds the vectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ColumnEncoder:
    """Reads vectors from a column. Its identity is the column's name: who made them is unknown.

    Attributes:
        column: the policy's ``columns.embedding``.
    """

    column: str
    dimensions: int = 0
    weights: str = ""

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"column:{self.column}"

    @property
    def digest(self) -> str:
        """sha256 of the name."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """The column's vectors; rows that hold none become zero.

        Raises:
            ReferenceMismatchError: the column is missing or holds no vectors.
        """
        from lazaretto.batch._columns import vectors
        from lazaretto.errors import ReferenceMismatchError

        if self.column not in chunk.schema.names:
            raise ReferenceMismatchError(
                f"the embedding column {self.column!r} is missing "
                f"(there are: {', '.join(chunk.schema.names)})"
            )
        return vectors(chunk.column(self.column), self.column, self.dimensions or None).values
