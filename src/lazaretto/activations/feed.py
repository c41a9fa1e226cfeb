"""Bring any data set to the model in batches, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler, default_collate

from lazaretto.activations.model_input import length, piece, pinned, tensors
from lazaretto.errors import UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Batch

Inputs = str | Sequence[str] | Callable[[pa.RecordBatch], Any] | None


def batches(
    data: Any, *, inputs: Inputs = None, batch_size: int = 256, workers: int = 0, pin: bool = False
) -> Iterator[Any]:
    """Yields model inputs (a tensor, or a mapping of tensors) in the order of the data.

    Args:
        data: array or tensor (n, ...), or a mapping of such, as a tokenizer returns it;
            `pyarrow.Table`, `RecordBatch` or `lazaretto.batch.Batch`; torch `Dataset` or
            `DataLoader`; or any iterable of batches. Of ``(x, y)`` pairs, x is taken.
        inputs: for tables, the column or columns that the model reads (a list column becomes (n,
            width), several numeric columns are stacked), or a function from a record batch to
            model input.
        batch_size: records per batch; a `DataLoader` keeps its own.
        workers: loader processes for a `Dataset`, which must be picklable then.
        pin: whether to use pinned memory; a `DataLoader` says that itself.

    Raises:
        UsageError: the data cannot be read so, or its order is not fixed.
    """
    if isinstance(data, DataLoader):
        if isinstance(data.sampler, RandomSampler):
            message = "the data loader shuffles; activations must keep the order of the records"
            raise UsageError(message)
        return (_first(item) for item in data)
    if isinstance(data, Dataset):
        loader: DataLoader[Any] = DataLoader(
            data,
            batch_size,
            sampler=SequentialSampler(data),  # type: ignore[arg-type]
            num_workers=workers,
            pin_memory=pin,
            collate_fn=_collate,
            # A forked worker inherits locks of Arrow's and BLAS's threads, and can wait for ever.
            multiprocessing_context="spawn" if workers else None,
        )
        return (_first(item) for item in loader)
    parts = _parts(data, inputs, batch_size)
    return (pinned(part) for part in parts) if pin else parts


def _parts(data: Any, inputs: Inputs, batch_size: int) -> Iterator[Any]:
    if isinstance(data, (np.ndarray, torch.Tensor, Mapping)):
        return _slices(tensors(data), batch_size)
    if isinstance(data, (pa.Table, pa.RecordBatch)) or hasattr(data, "chunks"):
        return (tensors(to_inputs(chunk, inputs)) for chunk in _chunks(data, inputs, batch_size))
    if isinstance(data, Iterable):
        return (_first(item) for item in data)
    message = f"cannot read records from {type(data).__name__}"
    raise UsageError(message)


def to_inputs(chunk: pa.RecordBatch, inputs: Inputs) -> Any:
    """Model input of a record batch; see `batches`."""
    if callable(inputs):
        return inputs(chunk)
    names = [inputs] if isinstance(inputs, str) else list(inputs or _vector_columns(chunk.schema))
    missing = [name for name in names if name not in chunk.schema.names]
    if missing:
        message = f"columns {missing} are not in the data; it has {chunk.schema.names}"
        raise UsageError(message)
    parts = [_matrix(chunk.column(name), name) for name in names]
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _first(item: Any) -> Any:
    return tensors(item[0] if isinstance(item, (list, tuple)) else item)


def _slices(rows: Any, size: int) -> Iterator[Any]:
    for first in range(0, length(rows), size):
        yield piece(rows, slice(first, first + size))


def _collate(items: list[Any]) -> Any:
    try:
        return default_collate(items)
    except RuntimeError as error:
        message = (
            f"records of the data set do not fit into one batch ({error_line(error)}): pad them, "
            "or give a DataLoader whose collate function does"
        )
        raise UsageError(message) from error


def _chunks(
    data: pa.Table | pa.RecordBatch | Batch, inputs: Inputs, size: int
) -> Iterator[pa.RecordBatch]:
    columns = [inputs] if isinstance(inputs, str) else inputs
    if isinstance(data, pa.RecordBatch):
        data = pa.table(data)
    if isinstance(data, pa.Table):
        for first in range(0, data.num_rows, size):
            yield data.slice(first, size).combine_chunks().to_batches()[0]
        return
    yield from data.chunks(columns=None if callable(columns) else columns, size=size)


def _vector_columns(schema: pa.Schema) -> list[str]:
    found = [
        field.name
        for field in schema
        if (pa.types.is_fixed_size_list(field.type) or pa.types.is_list(field.type))
        and pa.types.is_floating(field.type.value_type)
    ]
    if len(found) == 1:
        return found
    message = f"say which columns the model reads; the data has {schema.names}"
    raise UsageError(message)


def _matrix(column: pa.Array, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    if column.null_count:
        message = (
            f"column {name!r} has {column.null_count} nulls in a batch; the model cannot read them"
        )
        raise UsageError(message)
    kind = column.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        flat = column.flatten().to_numpy(zero_copy_only=False)
        width = len(flat) // max(len(column), 1)
        if len(flat) != width * len(column):
            message = f"column {name!r} holds lists of different lengths"
            raise UsageError(message)
        return np.asarray(flat, np.float32).reshape(len(column), width)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float32).reshape(-1, 1)
