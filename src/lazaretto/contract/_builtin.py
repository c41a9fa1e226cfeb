"""Rules that every batch must meet, contract or not: about record ids, labels and embeddings.

Each looks at one column, chunk by chunk, and then tells what it found. ``column`` is None where
there is nothing to look at. What one has found in a piece of a batch is put to that of others as
columns, with a row for each record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._digest import list_lengths
from lazaretto.batch._ids import text_ids, usable_ids
from lazaretto.batch._plain import is_list, list_items, plain_type
from lazaretto.contract._repeats import Repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.contract._report import Failures
    from lazaretto.policy import Columns

# Characters of an unfit id that are kept: what is shown of a value, and one more.
_SHOWN = 121
_ABSENT, _NOT_FINITE, _ZERO, _FINE = 0, 1, 2, 3


def check_columns_present(names: list[str], columns: Columns, failures: Failures) -> None:
    """Every column that the policy names must be there."""
    named = {"record_id": columns.record_id, "label": columns.label, "embedding": columns.embedding}
    wanted = [(part, name) for part, name in named.items() if name is not None]
    wanted += [("payload", name) for name in columns.payload]
    for part, name in wanted:
        if name not in names:
            failures.broken.append(f"there is no column {name!r}, which the policy names as {part}")


class RecordIds:
    """Ids must be there, fit for use, and not repeat."""

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        self._columns, self._broken = columns, ""
        self._absent: list[NDArray[np.bool_]] = []
        self._unfit: list[NDArray[np.bool_]] = []
        self._repeats = Repeats()
        self._texts: list[pa.Array] = []
        self.column = _there(columns.record_id, schema)
        self._kind = None if self.column is None else plain_type(schema.field(self.column).type)

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next records."""
        texts = text_ids(chunk, self._columns)
        if texts is None:
            self._cannot_read()
            return
        there = pc.fill_null(pc.greater(pc.binary_length(texts), 0), False)
        unfit = pc.and_not(there, usable_ids(texts))
        self._absent.append(~_numpy(there))
        self._unfit.append(_numpy(unfit))
        shown = pa.nulls(len(texts), pa.string())
        if self._unfit[-1].any():
            shown = pc.utf8_slice_codeunits(pc.if_else(unfit, texts, None), 0, _SHOWN)
        self._texts.append(shown)

    def take_ids(self, ids: pa.Array) -> None:
        """Looks at the ids that the next records have; of all pieces, where there are pieces."""
        if self.column is not None:
            self._repeats.take(ids)

    def piece(self) -> dict[str, pa.Array]:
        """What was found in each record."""
        if self._broken or not self._absent:
            return {}
        return {
            "absent": pa.array(np.concatenate(self._absent)),
            "unfit": pa.array(np.concatenate(self._unfit)),
            "shown": pa.concat_arrays(self._texts),
        }

    def absorb(self, piece: pa.Table) -> None:
        """Takes what was found in the next records."""
        if "absent" not in piece.column_names:
            self._cannot_read()
            return
        self._absent.append(_numpy(piece["absent"]))
        self._unfit.append(_numpy(piece["unfit"]))
        self._texts += piece["shown"].chunks

    def _cannot_read(self) -> None:
        self._broken = (
            f"record id column {self.column!r} has type {self._kind}; ids are text or numbers"
        )

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if self._broken:
            failures.broken.append(self._broken)
        if self._broken or not self._absent:
            return
        name, absent, unfit = self.column, np.concatenate(self._absent), np.concatenate(self._unfit)
        failures.add("record_id.present", name, f"{name} must not be empty", absent)
        text = f"{name} must have at most 512 bytes and no control characters"
        values = pa.chunked_array(self._texts)
        failures.add("record_id.usable", name, text, unfit, values=values)
        repeated = self._repeats.found() & ~absent & ~unfit
        text = f"{name} must be unique"
        failures.add("record_id.unique", name, text, repeated, values=failures.ids)


class Labels:
    """A label must not be null."""

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        self._broken = ""
        self._missing: list[NDArray[np.bool_]] = []
        self.column = _there(columns.label, schema)
        if self.column is not None and pa.types.is_nested(schema.field(self.column).type):
            kind = schema.field(self.column).type
            self._broken = f"label column {self.column!r} has type {kind}"
            self.column = None

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next records."""
        self._missing.append(_numpy(chunk.column(self.column).is_null(nan_is_null=True)))

    def piece(self) -> dict[str, pa.Array]:
        """What was found in each record."""
        return {"missing": pa.array(np.concatenate(self._missing))} if self._missing else {}

    def absorb(self, piece: pa.Table) -> None:
        """Takes what was found in the next records."""
        self._missing.append(_numpy(piece["missing"]))

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if self._broken:
            failures.broken.append(self._broken)
        if self._missing:
            text = f"{self.column} must not be null"
            failures.add("label.present", self.column, text, np.concatenate(self._missing))


class Embeddings:
    """Embeddings must be there, finite, not zero, and as wide as most of the batch."""

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        self.usual: int | None = None
        self._broken = ""
        self._states: list[NDArray[np.int8]] = []
        self._widths: list[NDArray[np.int64]] = []
        self.column = _there(columns.embedding, schema)
        if self.column is None:
            return
        kind = plain_type(schema.field(self.column).type)
        if not is_list(kind) or pa.types.is_map(kind) or not _is_number(kind.value_type):
            self._broken = (
                f"embedding column {self.column!r} has type {kind}, not a list of numbers"
            )
            self.column = None

    def take(self, chunk: pa.RecordBatch) -> None:
        """Looks at the next records."""
        state, width = _judge(chunk.column(self.column))
        self._states.append(state)
        self._widths.append(width)

    def piece(self) -> dict[str, pa.Array]:
        """What was found in each record."""
        if not self._states:
            return {}
        return {
            "state": pa.array(np.concatenate(self._states)),
            "width": pa.array(np.concatenate(self._widths)),
        }

    def absorb(self, piece: pa.Table) -> None:
        """Takes what was found in the next records."""
        self._states.append(piece["state"].to_numpy())
        self._widths.append(piece["width"].to_numpy())

    def tell(self, failures: Failures) -> None:
        """Adds what was found."""
        if self._broken:
            failures.broken.append(self._broken)
        if not self._states:
            return
        name, state, width = self.column, np.concatenate(self._states), np.concatenate(self._widths)
        failures.add("embedding.present", name, f"{name} must not be null", state == _ABSENT)
        text = f"{name} must have only finite numbers"
        failures.add("embedding.finite", name, text, state == _NOT_FINITE)
        failures.add("embedding.nonzero", name, f"{name} must not be all zeros", state == _ZERO)
        there = width[state != _ABSENT]
        if not len(there):
            return
        widths, counts = np.unique(there, return_counts=True)
        usual = self.usual = int(widths[counts.argmax()])
        text = f"{name} must have {usual} numbers, like most of the batch"
        odd = (width != usual) & (state != _ABSENT)
        failures.add("embedding.width", name, text, odd, values=pa.array(width))


def _there(name: str | None, schema: pa.Schema) -> str | None:
    return name if name in schema.names else None


def _judge(values: pa.Array) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """State and width of each embedding of a chunk."""
    there = values.is_valid().to_numpy(zero_copy_only=False)
    dense = values if there.all() else values.drop_null()
    lengths = list_lengths(dense)
    state = np.full(len(values), _ABSENT, dtype=np.int8)
    width = np.zeros(len(values), dtype=np.int64)
    width[there] = lengths
    least, most = _extremes(_numbers(list_items(dense)), lengths)
    finite, filled = np.isfinite(least) & np.isfinite(most), (least != 0) | (most != 0)
    state[there] = np.where(~finite, _NOT_FINITE, np.where(filled, _FINE, _ZERO))
    return state, width


def _numbers(items: pa.Array) -> NDArray[np.floating[Any]]:
    """The numbers of lists, as floats; a null number is no number."""
    kind = items.type
    if not (pa.types.is_float32(kind) or pa.types.is_float64(kind)):
        items = items.cast(pa.float64())
    if items.null_count:
        items = items.fill_null(float("nan"))
    numbers: NDArray[np.floating[Any]] = items.to_numpy(zero_copy_only=False)
    return numbers


def _extremes(
    numbers: NDArray[np.floating[Any]], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Least and greatest number of each run, NaN where one is NaN; 0 for runs of length 0.

    Of the two follows all that is asked of a vector, in two passes and without a copy of it.
    """
    least, most = (np.zeros(len(lengths), dtype=numbers.dtype) for _ in range(2))
    if not len(numbers):
        return least, most
    if (lengths == lengths[0]).all():
        rows = numbers.reshape(len(lengths), -1)
        return rows.min(1), rows.max(1)
    some = lengths > 0
    starts = (np.cumsum(lengths) - lengths)[some]
    least[some], most[some] = (
        np.minimum.reduceat(numbers, starts),
        np.maximum.reduceat(numbers, starts),
    )
    return least, most


def _numpy(flags: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    if isinstance(flags, pa.ChunkedArray):
        return np.asarray(flags.to_numpy(), dtype=np.bool_)
    return np.asarray(flags.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
