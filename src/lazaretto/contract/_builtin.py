"""Rules that every batch must meet, contract or not: about record ids, labels and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import Batch, as_chunks
from lazaretto.batch._digest import list_items, list_lengths
from lazaretto.batch._ids import text_ids, usable_ids
from lazaretto.batch._plain import is_list, plain_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.contract._report import Failures
    from lazaretto.policy import Columns

_ABSENT, _NOT_FINITE, _ZERO, _FINE = 0, 1, 2, 3


def check_columns_present(names: list[str], columns: Columns, failures: Failures) -> None:
    """Every column that the policy names must be there."""
    named = {"record_id": columns.record_id, "label": columns.label, "embedding": columns.embedding}
    wanted = [(part, name) for part, name in named.items() if name is not None]
    wanted += [("payload", name) for name in columns.payload]
    for part, name in wanted:
        if name not in names:
            failures.broken.append(f"there is no column {name!r}, which the policy names as {part}")


def check_record_ids(data: Batch | pa.Table, columns: Columns, failures: Failures) -> None:
    """Ids must be there, fit for use, and not repeat."""
    name = columns.record_id
    if name is None or name not in data.schema.names:
        return
    parts = []
    for chunk in as_chunks(data, columns=[name]):
        ids = text_ids(chunk, columns)
        if ids is None:
            kind = data.schema.field(name).type
            failures.broken.append(
                f"record id column {name!r} has type {kind}; ids are text or numbers"
            )
            return
        parts.append(ids)
    ids = pa.concat_arrays(parts) if parts else pa.array([], pa.string())
    absent = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True).to_numpy(zero_copy_only=False)
    failures.add("record_id.present", name, f"{name} must not be empty", absent)
    unfit = ~usable_ids(ids).to_numpy(zero_copy_only=False) & ~absent
    text = f"{name} must have at most 512 bytes and no control characters"
    failures.add("record_id.usable", name, text, unfit, values=ids)
    series = pl.Series(failures.ids)
    repeated = series.is_duplicated().to_numpy() & ~absent & ~unfit
    failures.add("record_id.unique", name, f"{name} must be unique", repeated, values=ids)


def check_labels(data: Batch | pa.Table, columns: Columns, failures: Failures) -> None:
    """A label must not be null."""
    name = columns.label
    if name is None or name not in data.schema.names:
        return
    if pa.types.is_nested(data.schema.field(name).type):
        failures.broken.append(f"label column {name!r} has type {data.schema.field(name).type}")
        return
    masks = [_missing(chunk.column(0)) for chunk in as_chunks(data, columns=[name])]
    failed = np.concatenate(masks) if masks else np.zeros(0, dtype=np.bool_)
    failures.add("label.present", name, f"{name} must not be null", failed)


def check_embeddings(data: Batch | pa.Table, columns: Columns, failures: Failures) -> None:
    """Embeddings must be there, finite, not zero, and as wide as most of the batch."""
    name = columns.embedding
    if name is None or name not in data.schema.names:
        return
    kind = plain_array(pa.array([], data.schema.field(name).type)).type
    if not is_list(kind) or pa.types.is_map(kind) or not _is_number(kind.value_type):
        failures.broken.append(f"embedding column {name!r} has type {kind}, not a list of numbers")
        return
    states, lengths = [], []
    for chunk in as_chunks(data, columns=[name]):
        state, length = _judge(chunk.column(0))
        states.append(state)
        lengths.append(length)
    if not states:
        return
    state, width = np.concatenate(states), np.concatenate(lengths)
    failures.add("embedding.present", name, f"{name} must not be null", state == _ABSENT)
    text = f"{name} must have only finite numbers"
    failures.add("embedding.finite", name, text, state == _NOT_FINITE)
    failures.add("embedding.nonzero", name, f"{name} must not be all zeros", state == _ZERO)
    there = width[state != _ABSENT]
    if not len(there):
        return
    widths, counts = np.unique(there, return_counts=True)
    usual = int(widths[counts.argmax()])
    text = f"{name} must have {usual} numbers, like most of the batch"
    odd = (width != usual) & (state != _ABSENT)
    failures.add("embedding.width", name, text, odd, values=pa.array(width))


def _judge(values: pa.Array) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """State and width of each embedding of a chunk."""
    there = values.is_valid().to_numpy(zero_copy_only=False)
    dense = values.drop_null()
    lengths = list_lengths(dense)
    items = list_items(dense)
    # A null number is no number.
    numbers = items.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else np.zeros(0, int)
    bad, filled = ~np.isfinite(numbers), numbers != 0
    state = np.full(len(values), _ABSENT, dtype=np.int8)
    width = np.zeros(len(values), dtype=np.int64)
    width[there] = lengths
    any_bad, any_filled = _any(bad, starts, lengths), _any(filled, starts, lengths)
    state[there] = np.where(any_bad, _NOT_FINITE, np.where(any_filled, _FINE, _ZERO))
    return state, width


def _any(
    flags: NDArray[np.bool_], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether any flag of each run is set; runs of length 0 have none."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    result: NDArray[np.bool_] = sums[starts + lengths] > sums[starts]
    return result


def _missing(values: pa.Array) -> NDArray[np.bool_]:
    missing = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return np.asarray(missing, dtype=np.bool_)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
