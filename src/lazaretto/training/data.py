"""A snapshot as a torch data set: streamed, checked, with weight, source, batch and record id."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import IterableDataset, get_worker_info

from lazaretto.dataset.delta import BATCH, FLAGS, RECORD, SOURCE, WEIGHT
from lazaretto.errors import UsageError
from lazaretto.values import SnapshotRead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from lazaretto.stages.taken import Snapshot
    from lazaretto.values import DataFile

_RUN = 8192
"""Records from which on stretches of one file are a run of their own: to begin one, row groups of
about as many are read."""
_OURS = (BATCH, RECORD, SOURCE, FLAGS)
USUAL_WEIGHT = 1.0


class TrainingBatch:
    """Some rows of a snapshot. What is taken from it counts as read.

    Not a mapping, so that a `DataLoader` hands it on as it is.

    Attributes:
        sources: who delivered each row.
        batches: id of the delivery of each row.
        records: record id of each row, unique within its delivery.
    """

    __slots__ = ("_read", "_rows", "batches", "records", "sources")

    def __init__(self, rows: pa.Table, read: set[str]) -> None:
        self._rows, self._read = rows, read
        self.sources: list[str] = rows[SOURCE].to_pylist()
        self.batches: list[str] = rows[BATCH].to_pylist()
        self.records: list[str] = rows[RECORD].to_pylist()

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def __getitem__(self, column: str) -> Tensor | list[Any]:
        """A column: float32 or int64 (n,), float32 (n, d) of number lists, else a list of values.

        Raises:
            UsageError: there is no such column, it was not asked for, or it cannot be a tensor: a
                whole number or list is null, or lists differ in length.
        """
        if column == WEIGHT:
            return self.sample_weight
        if column not in self._rows.column_names:
            there = [name for name in self._rows.column_names if name not in _OURS]
            raise UsageError(f"no column {column!r} was read of the snapshot; there is: {there}")
        self._read.add(column)
        return as_values(self._rows[column].combine_chunks(), column)

    @property
    def sample_weight(self) -> Tensor:
        """Float32 (n,): the weight that reviewers gave, 1 where they gave none.

        Raises:
            UsageError: it was not among the columns that were asked for.
        """
        if WEIGHT not in self._rows.column_names:
            raise UsageError(f"{WEIGHT} was not read: name it in `columns`")
        self._read.add(WEIGHT)
        weights = pc.fill_null(self._rows[WEIGHT].combine_chunks(), USUAL_WEIGHT)
        return torch.from_numpy(weights.to_numpy(zero_copy_only=False).astype(np.float32))


class TrainingData(IterableDataset[TrainingBatch]):
    """A frozen snapshot, batch by batch. Make it by `training_data`.

    Every iteration reads the snapshot again and checks every byte. Memory holds one row group and
    the rows that are being shuffled.

    Attributes:
        snapshot: what is read.
        columns: that are read.
        batch_size: rows of a batch; the last one may have fewer.
        shuffle: rows that are mixed at a time; 0: the snapshot's own order.
        seed: of the order.
        shard: number of this reader, from 0, and how many share the snapshot.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        columns: tuple[str, ...],
        batch_size: int,
        shuffle: int,
        seed: int,
        shard: tuple[int, int],
    ) -> None:
        super().__init__()
        self.snapshot, self.columns, self.batch_size = snapshot, columns, batch_size
        self.shuffle, self.seed, self.shard = shuffle, seed, shard
        self._epoch = 0
        self._read: set[str] = set()

    @property
    def rows(self) -> int:
        """Rows of the snapshot, over all shards."""
        return self.snapshot.rows

    @property
    def reads(self) -> SnapshotRead:
        """What was read, for `lazaretto.register_model`.

        Where nothing was taken from a batch in this process, because worker processes read, all
        columns that were asked for count as read.
        """
        read = self._read or set(self.columns)
        columns = tuple(name for name in self.columns if name in read)
        return SnapshotRead(self.snapshot.dataset, self.snapshot.id, columns)

    def set_epoch(self, epoch: int) -> None:
        """The order of the next iteration follows from the seed and this number."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[TrainingBatch]:
        """Batches of this shard, in order.

        Raises:
            ChangedFileError: a data file is gone, or is not the one that is on record.
        """
        number, of = self.shard
        worker = get_worker_info()
        if worker is not None:
            number, of = number * worker.num_workers + worker.id, of * worker.num_workers
        for index, rows in enumerate(_batched(self._mixed(), self.batch_size)):
            if index % of == number:
                yield TrainingBatch(rows, self._read)

    def _mixed(self) -> Iterator[pa.Table]:
        random = np.random.default_rng([self.seed, self._epoch])
        taken, wanted = self.snapshot, [*self.columns, SOURCE, BATCH, RECORD]
        if self.shuffle:
            runs = _runs(taken.files)
            files = [file for i in random.permutation(len(runs)) for file in runs[i]]
            taken = replace(taken, files=files)
        held: list[pa.Table] = []
        count = 0
        for chunk in taken.chunks(wanted):
            rows = pa.Table.from_batches([chunk])
            if not self.shuffle:
                yield rows
                continue
            held.append(rows)
            count += rows.num_rows
            if count >= self.shuffle:
                # Half stays, to be mixed with what comes next.
                mixed = _permuted(held, random)
                out = mixed.num_rows - self.shuffle // 2
                yield mixed.slice(0, out)
                held, count = [mixed.slice(out)], mixed.num_rows - out
        if held:
            yield _permuted(held, random)


def _runs(files: Iterable[DataFile]) -> list[list[DataFile]]:
    """What is read in one go, in whatever order: a file, or stretches that follow each other."""
    runs: list[list[DataFile]] = []
    rows = 0
    for file in files:
        last = runs[-1][-1] if runs else None
        joins = last is not None and file.start is not None and last.file == file.file
        if joins and rows < _RUN:
            runs[-1].append(file)
            rows += file.rows
        else:
            runs.append([file])
            rows = file.rows
    return runs


def training_data(
    snapshot: Snapshot,
    columns: Sequence[str] | None = None,
    *,
    batch_size: int = 256,
    shuffle: int = 0,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> TrainingData:
    """Reads a snapshot into a training, batch by batch.

    A `DataLoader` takes it with ``batch_size=None``; its workers share the batches, and each of
    them reads and checks the whole snapshot. A plain ``for`` loop needs no loader.

    Args:
        snapshot: that was taken, by `lazaretto.stages.snapshot` or `open_snapshot`.
        columns: to read; default: all. Without ``sample_weight`` among them the weights that
            reviewers gave are not read, and registration says so.
        batch_size: rows of a batch.
        shuffle: rows that are mixed at a time; 0 for the snapshot's own order. A data file holds
            rows of one delivery, so fewer rows than the snapshot has mix its deliveries in part.
        seed: of the order; `TrainingData.set_epoch` gives another order.
        shard: number of this reader, from 0, and how many share the snapshot (ranks).

    Raises:
        UsageError: a column is not in the snapshot, or a number is out of range.

    Examples:
        >>> from lazaretto import stages
        >>> taken = stages.open_snapshot(workspace, "reviews", "2")
        >>> data = training_data(taken, ["vector", "label", "sample_weight"], batch_size=64)
        >>> [(len(batch), batch["vector"].shape[1]) for batch in data]
        [(64, 8), (50, 8)]
        >>> data.reads.columns
        ('vector',)
    """
    there = [name for name in snapshot.schema.names if name not in _OURS]
    named = there if columns is None else list(dict.fromkeys(columns))
    strange = [name for name in named if name not in there]
    if strange:
        raise UsageError(f"snapshot {snapshot.dataset}@{snapshot.id} has no column {strange[0]!r}")
    number, of = shard
    if batch_size < 1 or shuffle < 0 or not 0 <= number < of:
        raise UsageError(
            "batch_size must be at least 1, shuffle at least 0, and a shard's number from 0 and "
            "below how many there are"
        )
    return TrainingData(snapshot, tuple(named), batch_size, shuffle, seed, (number, of))


def as_values(array: pa.Array, name: str) -> Tensor | list[Any]:
    """An Arrow column as a tensor, or as a list where it holds no numbers.

    Raises:
        UsageError: a whole number or list is null, or lists differ in length.
    """
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _stacked(array, name) if _is_number(kind.value_type) else array.to_pylist()
    if not _is_number(kind):
        return list(array.to_pylist())
    if pa.types.is_floating(kind):
        numbers = array.to_numpy(zero_copy_only=False).astype(np.float32)
        return torch.from_numpy(numbers)
    if array.null_count:
        raise UsageError(f"column {name!r} has nulls, which whole numbers cannot show in a tensor")
    return torch.from_numpy(array.to_numpy(zero_copy_only=False).astype(np.int64))


def _stacked(array: pa.Array, name: str) -> Tensor:
    lengths = pc.list_value_length(array)
    if array.null_count or pc.count_distinct(lengths).as_py() > 1:
        raise UsageError(f"column {name!r}: lists that are null or differ in length are no tensor")
    flat = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return torch.from_numpy(flat.reshape(len(array), -1))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _permuted(held: list[pa.Table], random: np.random.Generator) -> pa.Table:
    rows = pa.concat_tables(held).combine_chunks()
    return rows.take(pa.array(random.permutation(rows.num_rows)))


def _batched(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    rest: pa.Table | None = None
    for table in tables:
        rows = table if rest is None else pa.concat_tables([rest, table])
        whole = rows.num_rows - rows.num_rows % size
        for first in range(0, whole, size):
            yield rows.slice(first, size)
        rest = rows.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest
