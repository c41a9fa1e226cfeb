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

    Args:
        chunk: the records.
        name: of a column; or, where no column has that name, the way to a field in one, by dots.

    Raises:
        ReferenceMismatchError: it is missing or nested.
    """
    top, *fields = path_of(chunk.schema.names, name)
    if top not in chunk.schema.names:
        raise ReferenceMismatchError(
            f"embed.columns: the batch has no column {name!r} "
            f"(there are: {', '.join(chunk.schema.names)})"
        )
    values = chunk.column(top)
    for field in fields:
        kind = values.type
        if not pa.types.is_struct(kind) or kind.get_all_field_indices(field) == []:
            there = ", ".join(f.name for f in kind) if pa.types.is_struct(kind) else "none"
            raise ReferenceMismatchError(
                f"embed.columns: {name!r} leads to no field {field!r} (there are: {there})"
            )
        values = pc.struct_field(values, kind.get_field_index(field))
    if pa.types.is_nested(values.type):
        hint = (
            f": name a field of it, such as {name}.{values.type[0].name}"
            if (pa.types.is_struct(values.type) and values.type.num_fields)
            else ""
        )
        raise ReferenceMismatchError(
            f"embed.columns: column {name!r} is nested ({values.type}){hint}"
        )
    return values


def image_files(chunk: pa.RecordBatch, name: str, encoder: str) -> pa.Array:
    """A column of PNG or JPEG files, as bytes; null is no image.

    Args:
        chunk: the records.
        name: as of `column`.
        encoder: for messages.

    Raises:
        ReferenceMismatchError: it is missing, or holds no bytes.
    """
    values = column(chunk, name)
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        raise ReferenceMismatchError(
            f"embed.columns: column {name!r} has type {values.type}; encoder {encoder!r} reads PNG "
            "or JPEG files, as bytes"
        )
    return values


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def path_of(names: Sequence[str], name: str) -> list[str]:
    """A column's name, and the names of the fields in it that lead to what is meant.

    Example:
        >>> path_of(["id", "user"], "user.age"), path_of(["user.age"], "user.age")
        (['user', 'age'], ['user.age'])
    """
    if name in names:
        return [name]
    parts = name.split(".")
    # The longest name of a column that `name` begins with: a column's own name may have dots.
    for end in range(len(parts) - 1, 0, -1):
        if (top := ".".join(parts[:end])) in names:
            return [top, *parts[end:]]
    return [name]
