"""Plain types: a column's logical type and values, without dictionaries and extensions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def plain_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911  one return per kind of type
    """The type without storage: a dictionary becomes its values, an extension its storage.

    A time in a zone that nobody knows is one in UTC: the moment is the same.
    """
    t = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if t.is_dictionary(kind):
        return plain_type(kind.value_type)
    if t.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    if t.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if t.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)), kind.list_size)
    if t.is_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    if t.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(plain_type(kind.value_type)))
    if t.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, _zone(kind.tz))
    if t.is_decimal(kind) and kind.scale < 0:  # files have none such
        return pa.decimal256(min(kind.precision - kind.scale, _MOST_DIGITS), 0)
    if t.is_string_view(kind):
        return pa.string()
    return pa.binary() if t.is_binary_view(kind) else kind


_MOST_DIGITS = 76


@lru_cache(maxsize=1024)
def _zone(name: str) -> str | None:
    """The zone, where there is one of that name."""
    if not name:
        return None
    try:
        pc.cast(pa.scalar(0, pa.timestamp("s", name)), pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return "UTC"
    return name


def plain_array(values: pa.Array) -> pa.Array:
    """The array in its `plain_type`."""
    while isinstance(values, pa.ExtensionArray):
        values = values.storage
    plain = plain_type(values.type)
    return values if plain.equals(values.type) else values.cast(plain)


def plain_bytes(values: pa.Array) -> int:  # noqa: PLR0911  one return per kind of type
    """Bytes that an array becomes as a plain one, before it does; every value counts at least 8.

    Dictionaries, views and nulls may say a great deal in few bytes. A null counts as well: whoever
    turns a list of nulls into numbers has to hold them.
    """
    t, kind = pa.types, values.type
    if isinstance(values, pa.ExtensionArray):
        return plain_bytes(values.storage)
    if t.is_dictionary(kind):
        if describe_type(kind) not in ("string", "binary"):
            return len(values) * _width(plain_type(kind))
        lengths = pc.binary_length(values.dictionary).cast(pa.int64())
        return 8 * len(values) + int(pc.sum(pc.take(lengths, values.indices)).as_py() or 0)
    if t.is_string_view(kind) or t.is_binary_view(kind):
        views = np.frombuffer(values.buffers()[1], "<i4", 4 * len(values), 16 * values.offset)
        return 8 * len(values) + int(views[::4].sum(dtype=np.int64, where=_present(values)))
    if t.is_struct(kind):
        return 8 * len(values) + sum(plain_bytes(child) for child in values.flatten())
    if t.is_fixed_size_list(kind):
        # Not `flatten`, which leaves out the items of null lists: they take room.
        size = kind.list_size
        items = values.values.slice(values.offset * size, len(values) * size)
        return 8 * len(values) + plain_bytes(items)
    if is_list(kind):
        return 8 * len(values) + plain_bytes(list_items(values))
    if describe_type(kind) in ("string", "binary") and not t.is_fixed_size_binary(kind):
        return 8 * len(values) + int(pc.sum(pc.binary_length(values)).as_py() or 0)
    return len(values) * _width(kind)


def list_items(values: pa.Array) -> pa.Array:
    """All items of all lists of an array without nulls, in order; of a map, its pairs."""
    if pa.types.is_map(values.type):
        offsets = values.offsets
        first, last = (offsets[0].as_py(), offsets[-1].as_py()) if len(values) else (0, 0)
        parts = [values.keys.slice(first, last - first), values.items.slice(first, last - first)]
        return pa.StructArray.from_arrays(
            parts, fields=[values.type.key_field, values.type.item_field]
        )
    return values.flatten()


def describe_type(kind: pa.DataType) -> Any:  # noqa: PLR0911  one return per kind of type
    """Canonical JSON form of a plain type; types that only differ in storage have the same form.

    Raises:
        TypeError: no canonical form.
    """
    t = pa.types
    kind = plain_type(kind)
    if t.is_struct(kind):
        if kind.num_fields == 0:
            raise TypeError("records without fields have no place in files")
        return {"struct": [[field.name, describe_type(field.type)] for field in kind]}
    if t.is_map(kind):
        return {"map": [describe_type(kind.key_type), describe_type(kind.item_type)]}
    if is_list(kind):
        return {"list": describe_type(kind.value_type)}
    if t.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "instant"
    if t.is_decimal(kind):
        return {"decimal": kind.scale}
    for name, test in _SCALARS.items():
        if test(kind):
            return name
    if t.is_null(kind) or t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind):
        return str(kind)
    raise TypeError(f"type {kind} has no canonical form")


_SCALARS = {
    "string": lambda k: pa.types.is_string(k) or pa.types.is_large_string(k),
    "binary": lambda k: (
        pa.types.is_binary(k) or pa.types.is_large_binary(k) or pa.types.is_fixed_size_binary(k)
    ),
    "date": pa.types.is_date,
    "time": pa.types.is_time,
    "duration": pa.types.is_duration,
}


def is_list(kind: pa.DataType) -> bool:
    """Whether a plain type is a list of some kind; a map is a list of pairs."""
    t = pa.types
    return bool(
        t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind) or t.is_map(kind)
    )


def _width(kind: pa.DataType) -> int:
    """Bytes of a value of fixed width; 8 for what is smaller, or has none."""
    try:
        return max(8, int(kind.bit_width) // 8)
    except ValueError:
        return 8


def _present(values: pa.Array) -> Any:
    return values.is_valid().to_numpy(zero_copy_only=False)
