"""Makes delivered rows fit the columns of the admitted dataset, or says which column does not."""

from __future__ import annotations

import pyarrow as pa

from lazaretto.errors import UsageError
from lazaretto.redact import error_line

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
}


def check_fits(delivered: pa.Schema, wanted: pa.Schema, dataset: str) -> None:
    """Compares columns by name and kind of type; order and width of numbers do not matter.

    Raises:
        UsageError: names every column that is missing, unknown or of another kind.
    """
    problems = [f"{name!r} is missing" for name in wanted.names if name not in delivered.names]
    problems += [
        f"{name!r} is not in the dataset" for name in delivered.names if name not in wanted.names
    ]
    problems += [
        f"{field.name!r} is {delivered.field(field.name).type}, the dataset has {field.type}"
        for field in wanted
        if field.name in delivered.names
        and not _same_kind(delivered.field(field.name).type, field.type)
    ]
    if problems:
        raise UsageError(
            f"the batch does not fit dataset {dataset!r}: {'; '.join(problems)}. Deliver the same "
            "columns, or admit it to another dataset"
        )


def storable(schema: pa.Schema) -> pa.Schema:
    """The columns in the types that the dataset keeps them in: not unsigned, half or nanosecond.

    Raises:
        UsageError: a column has no type, because all its values are null.
    """
    for field in schema:
        if pa.types.is_null(field.type):
            raise UsageError(
                f"column {field.name!r} holds nothing but nulls, so it has no type: leave it out, "
                "or deliver it with its type"
            )
    return pa.schema([pa.field(field.name, _storable(field.type)) for field in schema])


def conform(chunk: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """Casts a chunk to the dataset's columns.

    Raises:
        UsageError: a value has no place in the dataset's type, such as a number too large.
    """
    columns = []
    for field in wanted:
        column = chunk.column(field.name)
        if column.type != field.type:
            # The dataset keeps microseconds; what is finer is cut off, nothing else may change.
            safe = not (pa.types.is_timestamp(column.type) and column.type.unit == "ns")
            try:
                column = column.cast(field.type, safe=safe)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise UsageError(
                    f"column {field.name!r} holds a value that {field.type} cannot: "
                    f"{error_line(error)}"
                ) from error
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _same_kind(one: pa.DataType, other: pa.DataType) -> bool:
    one, other = _storable(one), _storable(other)
    if one == other:
        return True
    kinds = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_timestamp,
    )
    if _is_list(one) and _is_list(other):
        return _same_kind(one.value_type, other.value_type)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        ours = {field.name: field.type for field in one}
        theirs = {field.name: field.type for field in other}
        return ours.keys() == theirs.keys() and all(_same_kind(ours[n], theirs[n]) for n in ours)
    return any(kind(one) and kind(other) for kind in kinds)


def _storable(kind: pa.DataType) -> pa.DataType:
    if kind in _WIDER:
        return _WIDER[kind]
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if _is_list(kind):
        return pa.list_(_storable(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _storable(field.type)) for field in kind])
    return kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
