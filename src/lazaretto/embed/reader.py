"""Reads a delivery chunk by chunk into rows to score, through the policy's columns and encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._columns import label_texts, numeric_values, vectors
from lazaretto.batch._lists import as_lists
from lazaretto.errors import DeliveryError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.batch._columns import Vectors
    from lazaretto.embed import Encoder
    from lazaretto.policy import Columns

CHUNK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk's rows, as they came.

    Attributes:
        ids: record ids, string (n,).
        label: label texts, string (n,); None when the policy names no label.
        vectors: embeddings, and which rows have none that can be used.
        values: raw numeric columns, float32 (n, c).
    """

    ids: pa.Array
    label: pa.Array | None
    vectors: Vectors
    values: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.ids)


class Tap(Protocol):
    """Somebody else who needs the records, so that they are read once.

    Attributes:
        columns: that every chunk must have.
    """

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next chunk."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What to read and how.

    Attributes:
        columns: the policy's columns.
        encoder: turns records into vectors when there is no side-car.
        width: of the vectors; None takes what comes first.
        value_columns: raw numeric columns to read.
        sidecar: vectors made earlier: columns ``record_id`` and ``embedding``.
        tap: who gets every chunk as well.
    """

    columns: Columns
    encoder: Encoder
    width: int | None
    value_columns: tuple[str, ...] = ()
    sidecar: pa.Table | None = None
    tap: Tap | None = None

    def rows(self, source: pa.Table | Batch | str | Path) -> Iterator[Rows]:
        """Streams the rows in order.

        Raises:
            DeliveryError: no rows, or the file cannot be read.
            ReferenceMismatchError: a column is missing or does not fit.
        """
        from lazaretto.batch import records

        data, empty = opened(source, self.columns), True
        known = None
        if self.sidecar is not None:
            known = pc.cast(self.sidecar["record_id"].combine_chunks(), pa.string())
        wanted = self._wanted(data)
        for ids, chunk in records(data, self.columns, columns=wanted, size=CHUNK_ROWS):
            empty = False
            if self.tap is not None:
                self.tap.take(chunk)
            label = None if self.columns.label is None else label_texts(chunk, self.columns.label)
            values = numeric_values(chunk, self.value_columns) if self.value_columns else None
            yield Rows(ids, label, self._vectors(chunk, ids, known), values)
        if empty:
            raise DeliveryError("the batch has no rows: deliver at least one", code="zero_rows")

    def _vectors(self, chunk: pa.RecordBatch, ids: pa.Array, known: pa.Array | None) -> Vectors:
        if self.sidecar is not None:
            found = pc.index_in(ids, known)
            if found.null_count:
                missing = ids.filter(pc.is_null(found))[0].as_py()
                raise ReferenceMismatchError(
                    f"the embeddings have no row for {found.null_count} records, "
                    f"such as {missing!r}: embed the batch again"
                )
            return vectors(self.sidecar["embedding"].take(found), "embedding", self.width)
        column = self.columns.embedding
        if self.encoder.name == f"column:{column}" and column is not None:
            if column not in chunk.schema.names:
                raise ReferenceMismatchError(
                    f"the embedding column {column!r} is missing "
                    f"(there are: {', '.join(chunk.schema.names)})"
                )
            return vectors(chunk.column(column), column, self.width)
        return vectors(as_lists(self.encoder.encode(chunk)), self.encoder.name, self.width)

    def _wanted(self, source: pa.Table | Batch) -> list[str] | None:
        """Columns to read; None (all) where an encoder reads them."""
        own_column = self.encoder.name == f"column:{self.columns.embedding}"
        if not own_column and self.sidecar is None:
            return None
        wanted = [self.columns.label, *self.value_columns]
        if self.sidecar is None:
            wanted.append(self.columns.embedding)
        if self.tap is not None:
            wanted += self.tap.columns
        there = source.schema.names
        return list(dict.fromkeys(name for name in wanted if name in there and name is not None))


def opened(
    source: pa.Table | Batch | str | Path,
    columns: Columns | None = None,
    read: Mapping[str, Any] | None = None,
) -> pa.Table | Batch:
    """The source, opened where it is a path or URI.

    Args:
        source: rows, or where they are.
        columns: which of them hold ids and labels, where the file does not say types.
        read: how text is written, as `lazaretto.policy.Read.options` says it.
    """
    from lazaretto.batch import Wanted, open_batch

    if isinstance(source, str | Path):
        return open_batch(source, wanted=Wanted.of(columns, read=read))
    return source
