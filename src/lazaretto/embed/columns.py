"""Input columns of encoders, as texts or as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def texts(chunk: pa.RecordBatch, columns: Sequence[str]) -> list[str]:
    """The columns of each record joined by a space; null is empty.

    Raises:
        ReferenceMismatchError: a column is missing or is no text.
    """
    parts = [pc.fill_null(as_text(column(chunk, name), name), "") for name in columns]
    joined = pc.binary_join_element_wise(*parts, " ")
    return [value or "" for value in joined.to_pylist()]


def as_text(values: pa.Array, name: str) -> pa.Array:
    """The values of a column as text; null stays null.

    Raises:
        ReferenceMismatchError: they have no text form, such as bytes that are no UTF-8.
    """
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReferenceMismatchError(
            f"embed.columns: column {name!r} has type {values.type}, and its values are no text"
        ) from error


def column(chunk: pa.RecordBatch, name: str) -> pa.Array:
    """A column of the encoder's input.

    Raises:
        ReferenceMismatchError: it is missing or nested.
    """
    if name not in chunk.schema.names:
        raise ReferenceMismatchError(
            f"embed.columns: the batch has no column {name!r} "
            f"(there are: {', '.join(chunk.schema.names)})"
        )
    values = chunk.column(name)
    if pa.types.is_nested(values.type):
        raise ReferenceMismatchError(f"embed.columns: column {name!r} is nested ({values.type})")
    return values
