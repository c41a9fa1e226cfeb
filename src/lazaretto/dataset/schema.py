"""Makes delivered rows fit the columns of the admitted dataset, or says which column does not.

No value is changed on the way: it fits as it is, or its batch is refused.
"""

from __future__ import annotations

import pyarrow as pa

from lazaretto.batch._exact import InexactError, exact
from lazaretto.batch._plain import is_list, plain_type
from lazaretto.errors import AdmissionRefusedError
from lazaretto.text import excerpt

MISFIT = "does_not_fit"
"""Code of a refusal: columns or values have no place in the dataset."""
_MOST_DIGITS = 38
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


def storable(schema: pa.Schema, dataset: str) -> pa.Schema:
    """The columns in the types that a dataset keeps them in: not unsigned, half or nanosecond.

    Raises:
        AdmissionRefusedError: a column has no type, because all its values are null, or a type that
            no dataset can keep.
    """
    fields = []
    for field in schema:
        kept, why = storable_field(field)
        if kept is None:
            raise misfit(str(why), dataset)
        fields.append(kept)
    return pa.schema(fields)


def storable_field(field: pa.Field) -> tuple[pa.Field | None, str | None]:
    """A column in the type that a dataset keeps it in; or None, and why there is none."""
    name = excerpt(field.name, 80)
    if pa.types.is_null(field.type):
        return None, (
            f"column {name!r} holds nothing but nulls, so it has no type: leave it out, "
            "or deliver it with its type"
        )
    kind = _storable(field.type)
    if kind is None:
        return None, (
            f"column {name!r} is of type {field.type}, which no dataset can keep: "
            "deliver it as a number, text, timestamp or list"
        )
    return pa.field(field.name, kind), None


def conform(chunk: pa.RecordBatch, wanted: pa.Schema, dataset: str) -> pa.RecordBatch:
    """A chunk in the dataset's columns; every value is what it was.

    What the chunk does not have is null, and what the dataset does not have is left out.

    Raises:
        AdmissionRefusedError: a value has no place in the dataset's type: a number too large or
            with too many digits, a time finer than microseconds.
    """
    columns = []
    for field in wanted:
        if field.name not in chunk.schema.names:
            columns.append(pa.nulls(chunk.num_rows, field.type))
            continue
        try:
            columns.append(exact(chunk.column(field.name), field.type))
        except InexactError as error:
            raise misfit(
                f"column {field.name!r} holds {error.value}, which the dataset's type "
                f"{field.type} cannot keep exactly: deliver a value that it can, or admit the "
                "batch to another dataset",
                dataset,
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def misfit(text: str, dataset: str) -> AdmissionRefusedError:
    """The refusal of what has no place in a dataset."""
    return AdmissionRefusedError(text, code=MISFIT, dataset=dataset)


def _storable(kind: pa.DataType) -> pa.DataType | None:  # noqa: PLR0911  one return per kind
    """The type in which a dataset keeps a type's values; None where it cannot keep them."""
    t, kind = pa.types, plain_type(kind)
    if kind in _WIDER:
        return _WIDER[kind]
    if t.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if t.is_fixed_size_binary(kind):
        return pa.binary()
    if t.is_decimal(kind):
        return _storable_decimal(kind)
    if t.is_map(kind):
        key, item = _storable(kind.key_type), _storable(kind.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    if is_list(kind):
        value = _storable(kind.value_type)
        return None if value is None else pa.list_(value)
    if t.is_struct(kind):
        return _storable_struct(kind)
    return None if t.is_null(kind) or t.is_time(kind) or t.is_duration(kind) else kind


def _storable_decimal(kind: pa.DataType) -> pa.DataType | None:
    """At most 38 digits, none of them left out before the point."""
    scale = max(kind.scale, 0)
    digits = min(kind.precision - min(kind.scale, 0), _MOST_DIGITS)
    return None if scale > _MOST_DIGITS else pa.decimal128(max(digits, scale), scale)


def _storable_struct(kind: pa.DataType) -> pa.DataType | None:
    fields = [(field.name, _storable(field.type)) for field in kind]
    # Letter case does not tell fields apart, and files have no records without any.
    names = {name.casefold() for name, _ in fields}
    if not fields or len(names) < len(fields) or any(found is None for _, found in fields):
        return None
    return pa.struct(fields)
