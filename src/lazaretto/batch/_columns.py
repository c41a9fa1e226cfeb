"""Reads what screening needs out of a chunk: labels, vectors, and which rows have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int64]

_ZEROS = r"(\.\d*?)0+$"
MOST_LABELS = 20
"""Labels of a record that count where it has a set of them."""
HUGE = 1e30
"""Squared norm from which products of single-precision numbers overflow."""


def label_texts(chunk: pa.RecordBatch | pa.Table, column: str) -> pa.Array:
    """The labels as text; null stays null. 3, 3.0, the decimal 3.00 and "3" are the same label.

    A set of labels, as a list, is one text: ``a|b``, whatever their order.

    Raises:
        ReferenceMismatchError: the column is missing or is nested.
    """
    if column not in chunk.schema.names:
        raise ReferenceMismatchError(
            f"the label column {column!r} is missing (there are: {', '.join(chunk.schema.names)})"
        )
    values = _flat(chunk.column(column))
    if _is_list(values.type):
        return _set_texts(values, column)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_float16(values.type):
        values = pc.cast(values, pa.float32())
    if pa.types.is_decimal(values.type):
        whole_or_not = pc.replace_substring_regex(pc.cast(values, pa.string()), _ZEROS, r"\1")
        return pc.utf8_rtrim(whole_or_not, ".")
    if pa.types.is_floating(values.type):
        exact = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53))
        whole = pc.fill_null(exact, fill_value=False)
        as_integer = pc.cast(pc.if_else(whole, values, None), pa.int64(), safe=False)
        return pc.coalesce(pc.cast(as_integer, pa.string()), pc.cast(values, pa.string()))
    try:
        return pc.cast(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReferenceMismatchError(
            f"the label column {column!r} has type {values.type}, which is not a label"
        ) from error


def _set_texts(values: pa.Array, column: str) -> pa.Array:
    """Sets of labels as text: each label once, in order, joined by ``|``; at most `MOST_LABELS`.

    Raises:
        ReferenceMismatchError: the lists hold no plain values.
    """
    kind = values.type.value_type
    plain = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
    if not plain:
        raise ReferenceMismatchError(
            f"the label column {column!r} has type {values.type}; a set of labels is a list of "
            "strings or whole numbers"
        )
    texts = [
        None
        if one is None
        else "|".join(
            sorted({str(label)[:200] for label in one if label is not None})[:MOST_LABELS]
        )
        for one in values.to_pylist()
    ]
    return pa.array(texts, pa.string())


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def class_indices(texts: pa.Array, classes: Sequence[str]) -> Ints:
    """Index of each label among the reference's classes, int64 (n,); -1 where there is none."""
    found = pc.index_in(texts, pa.array(list(classes), pa.string()))
    return np.asarray(pc.fill_null(found, -1), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embeddings of a chunk.

    Attributes:
        values: float32 (n, d); rows with a problem are zero.
        problems: what is wrong, by position.
    """

    values: Floats
    problems: dict[int, str]


def vectors(column: pa.Array | pa.ChunkedArray, name: str, width: int | None) -> Vectors:
    """Reads a column of vectors.

    Args:
        column: fixed-size or variable list of numbers.
        name: of the column, for messages.
        width: expected; None takes the most common one.

    Raises:
        ReferenceMismatchError: not a column of numeric vectors, or every row has another width.
    """
    array = _flat(column)
    kind = array.type
    is_list = (
        pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    )
    if not is_list or not _is_number(kind.value_type):
        raise ReferenceMismatchError(
            f"the embedding column {name!r} has type {kind}; it must hold a list of numbers"
        )
    lengths = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)
    present = lengths[lengths >= 0]
    if width is None:
        width = int(np.bincount(present).argmax()) if len(present) else 0
    fits = lengths == width
    if len(present) and width and not fits.any():
        raise ReferenceMismatchError(
            f"the embedding column {name!r} has {int(present[0])} dimensions; "
            f"the reference was fitted on {width}: embed with the same encoder"
        )
    numbers = _numbers(array, fits, width)
    if fits.all():
        out = numbers if numbers.flags.writeable else numbers.copy()
    else:
        out = np.zeros((len(array), width), dtype=np.float32)
        out[fits] = numbers
    problems = {
        int(row): "embedding.missing: there is no embedding"
        if lengths[row] < 0
        else f"embedding.width: {int(lengths[row])} dimensions instead of {width}"
        for row in np.flatnonzero(~fits)
    }
    # One pass finds every row worth a look: a sum of squares is small and positive for the others.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.einsum("ij,ij->i", out, out)
    for row in np.flatnonzero(fits & ~((norms > 0) & (norms < HUGE))):
        if not np.isfinite(out[row]).all():
            problems[int(row)] = "embedding.finite: NaN or infinite numbers in the embedding"
        elif not out[row].any():
            problems[int(row)] = "embedding.zero: the embedding is all zeros"
        elif norms[row] >= HUGE:
            problems[int(row)] = "embedding.huge: numbers too large to compare"
        else:
            problems[int(row)] = "embedding.zero: the embedding is all but zero"
        out[row] = 0
    return Vectors(out, problems)


def numeric_columns(schema: pa.Schema, leave_out: Sequence[str | None]) -> tuple[str, ...]:
    """Names of the flat numeric columns of a schema, without those that play another part."""
    return tuple(
        field.name for field in schema if _is_number(field.type) and field.name not in leave_out
    )


def numeric_values(chunk: pa.RecordBatch | pa.Table, names: Sequence[str]) -> Floats:
    """The raw numeric columns, float32 (n, c); NaN where null or infinite.

    Raises:
        ReferenceMismatchError: a column is missing or is not numeric.
    """
    out = np.empty((chunk.num_rows, len(names)), dtype=np.float32)
    for position, name in enumerate(names):
        kind = chunk.schema.field(name).type if name in chunk.schema.names else None
        if kind is None or not (_is_number(kind) or pa.types.is_null(kind)):
            raise ReferenceMismatchError(
                f"the reference was fitted with the numeric column {name!r}, "
                "which the batch does not have as numbers"
            )
        column = pc.cast(_flat(chunk.column(name)), pa.float64(), safe=False)
        with np.errstate(over="ignore"):
            out[:, position] = column.to_numpy(zero_copy_only=False)
    out[~np.isfinite(out)] = np.nan
    return out


def _numbers(array: pa.Array, fits: npt.NDArray[np.bool_], width: int) -> Floats:
    kept = array if fits.all() else array.filter(pa.array(fits))
    flat = kept.flatten()
    if flat.null_count:
        flat = pc.fill_null(pc.cast(flat, pa.float32()), float("nan"))
    numbers = flat.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(numbers, dtype=np.float32).reshape(-1, width)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
