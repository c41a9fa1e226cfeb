"""Activations as an Arrow side-car: written pass by pass, keyed by record id, read as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lazaretto.activations.capture import stream
from lazaretto.batch._lists import as_lists
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn


def capture_to(
    path: Path,
    model: nn.Module,
    data: Any,
    record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    *,
    half: bool = False,
    **options: Any,
) -> int:
    """Captures to an Arrow IPC file; memory is bounded by one pass.

    Args:
        path: local file to write; it appears whole or not at all.
        model: any torch module.
        data: as for `lazaretto.capture`.
        record_ids: (n,) record ids, in the order of the data.
        half: whether to keep float16 instead of float32.
        options: as for `lazaretto.capture`.

    Returns:
        number of records written.

    Raises:
        UsageError: there are more or fewer record ids than records.

    Examples:
        >>> import torch
        >>> rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> from pathlib import Path
        >>> capture_to(Path("layers.arrow"), model, rows, list("abcdefgh"), layers=["0"])
        8
    """
    ids = (
        record_ids if isinstance(record_ids, (pa.Array, pa.ChunkedArray)) else pa.array(record_ids)
    )
    ids = ids.cast(pa.string())
    partial = path.with_name(path.name + ".part")
    done = 0
    try:
        with pa.OSFile(str(partial), "wb") as sink:
            writer = None
            for batch in _batches(stream(model, data, **options), ids, half=half):
                writer = writer or pa.ipc.new_file(sink, batch.schema)
                writer.write_batch(batch)
                done += batch.num_rows
            if writer is None:
                raise UsageError("there is no record to run the model on")
            writer.close()
        if done != len(ids):
            raise UsageError(f"{len(ids)} record ids for {done} records; give one per record")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return done


def read_activations(path: Path) -> tuple[pa.Array, dict[str, NDArray[np.floating]]]:
    """Record ids and {layer: floats (n, d)} of a side-car.

    Examples:
        >>> import torch
        >>> rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
        >>> from pathlib import Path
        >>> _ = capture_to(Path("a.arrow"), model, rows, list("abcdefgh"), layers=["0"])
        >>> ids, layers = read_activations(Path("a.arrow"))
        >>> ids[0].as_py(), layers["0"].shape
        ('a', (8, 3))
    """
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    layers = {}
    for name in table.column_names[1:]:
        column = table[name].combine_chunks()
        width = column.type.list_size
        layers[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return table["record_id"].combine_chunks(), layers


def _batches(
    parts: Iterator[dict[str, NDArray[np.float32]]], ids: pa.Array | pa.ChunkedArray, *, half: bool
) -> Iterator[pa.RecordBatch]:
    first = 0
    for part in parts:
        n = len(next(iter(part.values())))
        mine = ids.slice(first, n)
        if len(mine) != n:
            raise UsageError(f"{len(ids)} record ids, but the data goes on after them")
        mine = mine.combine_chunks() if isinstance(mine, pa.ChunkedArray) else mine
        columns = {"record_id": mine}
        for name, values in part.items():
            columns[name] = as_lists(values.astype(np.float16) if half else values)
        yield pa.record_batch(columns)
        first += n
