"""The columns that a contract reads as a polars frame, in the contract's types where they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from lazaretto.batch._exact import InexactError, exact, widens
from lazaretto.batch._plain import plain_type
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

# A panic inside polars is not an Exception.
RAISED = (Exception, pl.exceptions.PanicException)
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Frame:
    """What can be judged.

    Attributes:
        data: the columns that polars can hold.
        misfits: of columns, why the contract's type cannot hold their values; in `data` they have
            the type that they were delivered in.
        left_out: of columns that polars cannot hold, why.
    """

    data: pl.DataFrame
    misfits: Mapping[str, str]
    left_out: Mapping[str, str]

    def select(self, names: Sequence[str]) -> Frame:
        """Some of its columns, as far as they were delivered."""
        wanted = set(names)
        return Frame(
            # By series: polars takes some names for patterns.
            pl.DataFrame([one for one in self.data.get_columns() if one.name in wanted]),
            {name: why for name, why in self.misfits.items() if name in wanted},
            {name: why for name, why in self.left_out.items() if name in wanted},
        )


def make_frame(
    chunks: Sequence[pa.RecordBatch],
    types: Mapping[str, pa.DataType],
    *,
    kept: Collection[str] = (),
) -> Frame:
    """The columns of some chunks as one frame.

    A column gets the contract's type where each of its values is the same in it: whole numbers
    where the contract says numbers with a fraction, nulls where it says anything.

    Args:
        chunks: all of the same columns.
        types: of columns, what the contract says.
        kept: columns that outlive the chunks: the columns of a chunk share one buffer, so these
            are copied.
    """
    series: list[pl.Series] = []
    misfits: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in chunks[0].schema.names if chunks else ():
        parts = [chunk.column(name) for chunk in chunks]
        if name in kept:  # as one, so that polars does not copy it again
            parts = [pa.concat_arrays([*parts, parts[0].slice(0, 0)])]
        column = pa.chunked_array(parts)
        wanted = types.get(name)
        if wanted is not None and wanted != column.type and widens(column.type, wanted):
            try:
                column = _exactly(column, wanted)
            except InexactError as error:
                misfits[name] = f"holds {error.value}, which the contract's type cannot hold"
        try:
            series.append(_series(name, column))
        except RAISED as error:
            left_out[name] = f"has type {column.type}, which polars cannot hold: {_short(error)}"
    return Frame(pl.DataFrame(series), misfits, left_out)


def join_frames(frames: Sequence[Frame]) -> Frame:
    """The frame of all chunks, from those of some of them; nothing is converted again.

    A column that has the contract's type in some frames, and in others did not fit it, has the
    type that it was delivered in.
    """
    misfits = {name: why for frame in reversed(frames) for name, why in frame.misfits.items()}
    left_out = {name: why for frame in reversed(frames) for name, why in frame.left_out.items()}
    delivered = {
        name: frame.data.schema[name]
        for frame in frames
        for name in frame.misfits
        if name in frame.data.schema
    }
    parts = [
        pl.DataFrame(
            [
                one.cast(delivered.get(one.name, one.dtype))
                for one in frame.data.get_columns()
                if one.name not in left_out
            ]
        )
        for frame in frames
    ]
    return Frame(pl.concat(parts, rechunk=False) if parts else pl.DataFrame(), misfits, left_out)


def types_of(columns: Iterable[tuple[str, Any]]) -> dict[str, pa.DataType]:
    """Arrow's types for those of a contract's columns; only where the contract says one in full.

    Args:
        columns: names and pandera data types.
    """
    found = {}
    for name, dtype in columns:
        kind = getattr(dtype, "type", None)
        # A type that takes times of any zone says none.
        if kind is None or getattr(dtype, "time_zone_agnostic", False):
            continue
        try:
            arrow = pl.DataFrame(schema={name: kind}).to_arrow().schema.types[0]
        except RAISED:
            continue
        arrow = _loose(plain_type(arrow))
        if kind != pl.Object and not _is_open(arrow):
            found[name] = arrow
    return found


def _loose(kind: pa.DataType) -> pa.DataType:
    """Texts without 64-bit offsets, as deliveries have them."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind):
        return pa.list_(_loose(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _loose(field.type)) for field in kind])
    return kind


def _is_open(kind: pa.DataType) -> bool:
    """Whether a type leaves something open, such as lists of anything."""
    if pa.types.is_struct(kind):
        return not kind.num_fields or any(_is_open(field.type) for field in kind)
    inner = getattr(kind, "value_type", None)
    return bool(pa.types.is_null(kind)) if inner is None else _is_open(inner)


def _exactly(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([exact(chunk, kind) for chunk in column.chunks], kind)


def _series(name: str, column: pa.ChunkedArray) -> pl.Series:
    """A column as polars has it.

    Raises:
        Exception: polars cannot hold it, or it panics.
    """
    kind = _for_polars(column.type)
    if kind != column.type:
        column = _exactly(column, kind)
    found = pl.from_arrow(pa.table({name: column}))
    assert isinstance(found, pl.DataFrame)  # noqa: S101  of a table it makes nothing else
    return found.to_series()


def _for_polars(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911  one return per kind
    """The nearest type that polars has: it panics over long decimals, and knows fewer zones."""
    t = pa.types
    if t.is_decimal(kind) and (kind.precision > _MOST_DIGITS or kind.scale < 0):
        return pa.decimal128(_MOST_DIGITS, max(kind.scale, 0))
    if t.is_timestamp(kind) and kind.tz is not None and not _is_known(kind.tz):
        return pa.timestamp(kind.unit, "UTC")
    if t.is_map(kind):
        return pa.map_(_for_polars(kind.key_type), _for_polars(kind.item_type))
    if t.is_struct(kind):
        return pa.struct([field.with_type(_for_polars(field.type)) for field in kind])
    if t.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_for_polars(kind.value_type)), kind.list_size)
    if t.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_for_polars(kind.value_type)))
    if t.is_list(kind):
        return pa.list_(kind.value_field.with_type(_for_polars(kind.value_type)))
    return kind


def _is_known(zone: str) -> bool:
    try:
        pl.from_arrow(pa.table({"x": pa.array([], pa.timestamp("us", zone))}))
    except RAISED:
        return False
    return True


def _short(error: BaseException) -> str:
    return error_line(error)[:160]
