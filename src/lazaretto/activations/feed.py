"""Bring any data set to the model in batches, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Batch

Inputs = str | Sequence[str] | Callable[[pa.RecordBatch], Any] | None


def batches(
    data: Any, *, inputs: Inputs = None, batch_size: int = 256, workers: int = 0, pin: bool = False
) -> Iterator[Any]:
    """Yields model inputs (a tensor, or a mapping of tensors) in the order of the data.

    Args:
        data: array or tensor (n, ...); `pyarrow.Table`, `RecordBatch` or `lazaretto.batch.Batch`;
            torch `Dataset` or `DataLoader`; or any iterable of batches. Of ``(x, y)`` pairs, x is
            taken.
        inputs: for tables, the column or columns that the model reads (a list column becomes (n,
            width), several numeric columns are stacked), or a function from a record batch to
            model input.
        batch_size: records per batch; a `DataLoader` keeps its own.
        workers: loader processes for a `Dataset`, which must be picklable then.
        pin: whether to use pinned memory.

    Raises:
        UsageError: the data cannot be read so, or its order is not fixed.
    """
    if isinstance(data, (np.ndarray, torch.Tensor)):
        rows = data if isinstance(data, torch.Tensor) else torch.from_numpy(np.asarray(data))
        return iter(torch.split(rows, batch_size))
    if isinstance(data, (pa.Table, pa.RecordBatch)) or hasattr(data, "chunks"):
        return (to_inputs(chunk, inputs) for chunk in _chunks(data, inputs, batch_size))
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
            # A forked worker inherits locks of Arrow's and BLAS's threads, and can wait for ever.
            multiprocessing_context="spawn" if workers else None,
        )
        return (_first(item) for item in loader)
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


def split(batch: Any) -> tuple[Any, Any]:
    """A batch in two halves, tensors inside mappings and sequences alike."""
    half = (length(batch) + 1) // 2
    return _slice(batch, slice(None, half)), _slice(batch, slice(half, None))


def length(batch: Any) -> int:
    """Number of records of a batch."""
    if isinstance(batch, torch.Tensor):
        return len(batch)
    values = batch.values() if isinstance(batch, Mapping) else batch
    return next(length(v) for v in values if isinstance(v, (torch.Tensor, Mapping, list, tuple)))


def move(batch: Any, device: torch.device) -> Any:
    """The batch on `device`."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {k: move(v, device) for k, v in batch.items()}
    return (
        type(batch)(move(v, device) for v in batch) if isinstance(batch, (list, tuple)) else batch
    )


def _slice(batch: Any, part: slice) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[part]
    if isinstance(batch, Mapping):
        return {k: _slice(v, part) for k, v in batch.items()}
    return (
        type(batch)(_slice(v, part) for v in batch) if isinstance(batch, (list, tuple)) else batch
    )


def _first(item: Any) -> Any:
    return item[0] if isinstance(item, (list, tuple)) else item


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
