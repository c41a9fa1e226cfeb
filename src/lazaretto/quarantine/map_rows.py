"""The rows that a map shows, streamed out of the store by two threads with a chunk each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto.batch._canonical import read_chunks
from lazaretto.batch._columns import vectors
from lazaretto.errors import ReferenceMismatchError, SystemFaultError
from lazaretto.quarantine.held import LABEL, POSITION, REASON, SCORE
from lazaretto.quarantine.map_plane import FIT_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from lazaretto.quarantine.map_files import MapFiles
    from lazaretto.quarantine.map_plane import Plane
    from lazaretto.storage.store import Store

T = TypeVar("T")

OTHER, NONE = 254, 255
"""Index of a label that the reference does not know, and of a record without a label."""
_THREADS = 2
_LOOKED_AT = 8
_BEGINNING = 8192
_BUFFER = 2**20
_CHUNK_BYTES = 2 * 2**20
_SIDE_CAR = "embedding"


@dataclass(frozen=True, slots=True)
class HeldIndex:
    """What is on record of the held records of a case, in order of position. H of them.

    Attributes:
        position: uint32 (H,).
        score: float32 (H,); NaN where there is none.
        label: uint8 (H,), index among the reference's classes, `OTHER` or `NONE`.
        broken: bool (H,), whether the contract failed it.
    """

    position: npt.NDArray[np.uint32]
    score: npt.NDArray[np.float32]
    label: npt.NDArray[np.uint8]
    broken: npt.NDArray[np.bool_]


def read_held(store: Store, files: MapFiles, classes: Sequence[str]) -> HeldIndex:
    """Reads what is on record of the held records.

    Raises:
        ChangedFileError: the file is gone, or is not the one that is on record.
        SystemFaultError: it does not hold what it should.
    """
    known = pa.array(list(classes)[:OTHER], pa.string())

    def read(groups: Sequence[int]) -> list[tuple[npt.NDArray[np.generic], ...]]:
        found: list[tuple[npt.NDArray[np.generic], ...]] = []
        with store.open(files.held_records) as opened:
            parquet = pq.ParquetFile(opened, pre_buffer=False)
            for chunk in parquet.iter_batches(
                row_groups=list(groups),
                columns=[POSITION, SCORE, LABEL, REASON],
                use_threads=False,
            ):
                label = pc.fill_null(pc.index_in(chunk.column(LABEL), known), OTHER)
                label = pc.if_else(pc.is_null(chunk.column(LABEL)), NONE, label)
                broken = pc.starts_with(chunk.column(REASON), "contract:")
                found.append(
                    (
                        chunk.column(POSITION).to_numpy(zero_copy_only=False).astype(np.uint32),
                        chunk.column(SCORE).to_numpy(zero_copy_only=False).astype(np.float32),
                        np.asarray(label).astype(np.uint8),
                        np.asarray(pc.fill_null(broken, fill_value=False), dtype=bool),
                    )
                )
        return found

    with store.open(files.held_records) as opened:
        count = pq.ParquetFile(opened, pre_buffer=False).num_row_groups
    parts = _shared_out(range(count), read)
    if sum(len(part[0]) for part in parts) != files.held:
        raise SystemFaultError(f"the file of {files.case} does not have its {files.held} records")
    position, score, label, broken = (np.concatenate(column) for column in zip(*parts, strict=True))
    return HeldIndex(
        position.astype(np.uint32),
        score.astype(np.float32),
        label.astype(np.uint8),
        broken.astype(bool),
    )


def some_held_vectors(
    store: Store, files: MapFiles, held: HeldIndex, width: int
) -> npt.NDArray[np.float32]:
    """Usable vectors of some held records, evenly chosen, float32 (N, D); to fit a plane on."""
    # Where the batch brought its vectors, the held rows have them as well, and can be found there
    # by their number: the batch's own copy does not say how many rows its chunks have.
    beside = files.column is None
    file, column = (files.vectors, _SIDE_CAR) if beside else (files.held_records, files.column)
    found: list[npt.NDArray[np.float32]] = []
    with store.open(file) as opened:
        # Read bit by bit: of a large piece only its beginning is wanted.
        parquet = pq.ParquetFile(opened, pre_buffer=False, buffer_size=_BUFFER)
        sizes = [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)]
        first = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        groups = list(range(len(sizes)))
        at = np.searchsorted(held.position, first)
        if beside:
            groups = [n for n in groups if at[n + 1] > at[n]]
        chosen = _spread(groups, _LOOKED_AT)
        for number in chosen:
            wanted = np.arange(sizes[number])
            if beside:
                wanted = held.position[at[number] : at[number + 1]] - first[number]
            wanted = wanted[wanted - wanted[0] < _BEGINNING]
            even = np.linspace(0, len(wanted) - 1, FIT_ROWS // len(chosen), dtype=np.int64)
            found += _at(parquet, number, str(column), np.unique(wanted[even]), width)
    return np.concatenate(found) if found else np.zeros((0, width), np.float32)


def _at(
    parquet: pq.ParquetFile, group: int, column: str, wanted: npt.NDArray[np.int64], width: int
) -> Iterator[npt.NDArray[np.float32]]:
    """Usable vectors of some rows of a group, whose numbers are ascending."""
    start = 0
    size = min(_BEGINNING, _chunk_rows(width))
    for chunk in parquet.iter_batches(
        batch_size=size, row_groups=[group], columns=[column], use_threads=False
    ):
        here = wanted[(wanted >= start) & (wanted < start + chunk.num_rows)] - start
        usable, values = _usable(chunk.column(0), width)
        yield values[here][usable[here]]
        start += chunk.num_rows
        if start > wanted[-1]:
            return


def place_batch(
    store: Store, files: MapFiles, plane: Plane, width: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Where every record of the batch is on the map, uint16 (rows, 2), and which have a place.

    Raises:
        ChangedFileError: the file with the vectors is gone, or is not the one that is on record.
        SystemFaultError: it has not one vector for each record.
    """

    def place(numbers: Sequence[int]) -> list[tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]]:
        found = []
        for column in _vector_chunks(store, files, numbers, width):
            usable, values = _usable(column, width)
            found.append((plane.place(values), usable))
        return found

    parts = _shared_out(range(_count_pieces(store, files)), place)
    if sum(len(usable) for _, usable in parts) != files.rows:
        raise SystemFaultError(f"there is not one vector for each record of {files.batch}")
    if not parts:
        return np.zeros((0, 2), np.uint16), np.zeros(0, bool)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _count_pieces(store: Store, files: MapFiles) -> int:
    with store.open(files.vectors) as opened:
        if files.column is None:
            return int(pq.ParquetFile(opened, pre_buffer=False).num_row_groups)
        return int(pa.ipc.open_file(pa.PythonFile(opened, mode="r")).num_record_batches)


def _vector_chunks(
    store: Store, files: MapFiles, numbers: Sequence[int], width: int
) -> Iterator[pa.Array]:
    """The vectors of some pieces of their file, in order."""
    with store.open(files.vectors) as opened:
        if files.column is not None:
            for chunk in read_chunks(opened, [files.column], numbers):
                yield from _sliced(chunk.column(0), width)
            return
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        for chunk in parquet.iter_batches(
            batch_size=_chunk_rows(width),
            row_groups=list(numbers),
            columns=[_SIDE_CAR],
            use_threads=False,
        ):
            yield chunk.column(0)


def _sliced(column: pa.Array, width: int) -> Iterator[pa.Array]:
    size = _chunk_rows(width)
    for start in range(0, len(column), size):
        yield column.slice(start, size)


def _usable(column: pa.Array, width: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Which rows have a vector that can be compared, and the vectors, zero for the others."""
    usable = np.ones(len(column), bool)
    try:
        read = vectors(column, "of the map", width)
    except ReferenceMismatchError:  # all of them have another width, or are no vectors
        return ~usable, np.zeros((len(column), width), np.float32)
    usable[list(read.problems)] = False
    return usable, read.values


def _chunk_rows(width: int) -> int:
    return max(256, _CHUNK_BYTES // (4 * max(1, width)))


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of some numbers, evenly chosen."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[at] for at in np.linspace(0, len(numbers) - 1, most, dtype=np.int64)]


def _shared_out(pieces: range, work: Callable[[Sequence[int]], list[T]]) -> list[T]:
    """Lets threads of our own work on halves of the pieces of a file; the results are in order.

    Checking digests and unpacking take most of the time, and both run beside other threads.
    """
    if len(pieces) < _THREADS:
        return work(pieces)
    middle = len(pieces) // _THREADS
    with ThreadPoolExecutor(_THREADS) as threads:
        first, second = threads.submit(work, pieces[:middle]), threads.submit(work, pieces[middle:])
        return [*first.result(), *second.result()]
