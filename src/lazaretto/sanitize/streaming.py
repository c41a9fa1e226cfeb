"""Rows of a side on their way to the device: in bounded chunks, and stacked group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side

CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}
"""On a CPU, chunks and what is computed from them should stay in its caches, and below the 32 MB
from which the C library gives memory back to the system after each use."""

_STACKED_ROWS = {"cpu": 64, "cuda": 2**14}
"""Groups of up to so many rows are worked on together: alone, each costs more in calls than in
arithmetic. A CPU with BLAS has less to gain, for it multiplies triangles one matrix at a time."""

_PADDING = 1.25
"""Room of a stack over its rows, at most."""


class Stack(NamedTuple):
    """Rows of consecutive groups of about the same size, one group in each layer of `x`.

    Attributes:
        groups: the groups, ``class * folds + fold``; one for each layer.
        x: (S, m, d), zero where a group has fewer rows; to be overwritten at will.
        real: bool (S, m), which rows there are; None: all.
        places: int64 (S, m), where they are among the rows of the chunk; the chunk's length where
            there is no row. None: they are the chunk's rows from `first` on.
        first: the first row's place in the chunk.
    """

    groups: slice
    x: torch.Tensor
    real: torch.Tensor | None
    places: torch.Tensor | None
    first: int


class GroupedRows(NamedTuple):
    """Rows of consecutive groups on the device.

    Attributes:
        x: (rows, d) tensor; the chunk's own, to be overwritten at will.
        positions: int64 (rows,), where the rows stand on their side.
        begin: where they begin among the rows of `stream`, which come in group order.
        segments: ``(group, first, last)`` with ``group = class * folds + fold`` and slices into
            ``x``.
    """

    x: torch.Tensor
    positions: NDArray[np.int64]
    begin: int
    segments: list[tuple[int, int, int]]

    def stacks(self) -> Iterator[Stack]:
        """All rows, as stacks: short groups many at a time, long ones each by itself."""
        longest = _STACKED_ROWS.get(self.x.device.type, 64)
        for part in _alike(self.segments, longest):
            group, first, _ = part[0]
            groups = slice(group, group + len(part))
            sizes = np.array([end - begin for _, begin, end in part])
            if (sizes == sizes[0]).all():
                x = self.x[first : part[-1][2]].view(len(part), int(sizes[0]), -1)
                yield Stack(groups, x, None, None, first)
                continue
            span = np.arange(sizes.max())
            real = torch.from_numpy(span < sizes[:, None]).to(self.x.device)
            starts = np.array([begin for _, begin, _ in part])
            where = torch.from_numpy(starts[:, None] + span).to(self.x.device)
            x = self.x[where.clamp(max=len(self.x) - 1)].mul_(real[:, :, None])
            yield Stack(groups, x, real, where.masked_fill(~real, len(self.x)), first)


def _alike(
    segments: list[tuple[int, int, int]], longest: int
) -> Iterator[list[tuple[int, int, int]]]:
    """Runs of neighbouring groups that fill a stack well."""
    run: list[tuple[int, int, int]] = []
    most = total = 0
    for segment in segments:
        size = segment[2] - segment[1]
        room = max(most, size) * (len(run) + 1)
        fits = max(most, size) <= longest and room <= _PADDING * (total + size) + len(run)
        if run and not (fits and segment[0] == run[-1][0] + 1):
            yield run
            run, most, total = [], 0, 0
        run.append(segment)
        most, total = max(most, size), total + size
    if run:
        yield run


def stream(layer: LayerData, side: Side, classes: range) -> Iterator[GroupedRows]:
    """Yields the rows of `classes` in group order, in bounded chunks on the layer's device."""
    groups = range(classes.start * layer.folds, classes.stop * layer.folds)
    first, last = int(side.starts[groups.start]), int(side.starts[groups.stop])
    chunk_bytes = CHUNK_BYTES.get(layer.device.type, 2**26)
    step = max(1, chunk_bytes // (layer.dtype.itemsize * layer.width))
    begins = range(first, last, step)
    parts = [side.order[begin : min(begin + step, last)] for begin in begins]
    for begin, positions, x in zip(begins, parts, gathered(layer, side, parts), strict=True):
        end = begin + len(positions)
        g0 = int(np.searchsorted(side.starts, begin, side="right")) - 1
        g1 = int(np.searchsorted(side.starts, end, side="left"))
        segments = [
            (g, max(int(side.starts[g]), begin) - begin, min(int(side.starts[g + 1]), end) - begin)
            for g in range(g0, g1)
            if side.starts[g + 1] > side.starts[g]
        ]
        yield GroupedRows(x, positions, begin - first, segments)


def gathered(
    layer: LayerData, side: Side, parts: Iterable[NDArray[np.int64]]
) -> Iterator[torch.Tensor]:
    """Yields the rows (n, d) at the positions of each part, on the layer's device and of its type.

    Rows that are resident on the device are gathered there. Others go to a CUDA device through
    pinned memory, on a stream of their own, while the caller's kernels run on the part before; two
    parts are under way at most.
    """
    device = layer.device
    if side.resident is not None:
        for positions in parts:
            where = torch.from_numpy(positions).to(device)
            yield side.resident.index_select(0, where).to(layer.dtype)
        return
    source = torch.from_numpy(side.rows)
    if device.type != "cuda":
        for positions in parts:
            yield source.index_select(0, torch.from_numpy(positions)).to(device, layer.dtype)
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    computed: list[torch.cuda.Event] = []
    for positions in parts:
        host = torch.empty(len(positions), layer.width, dtype=source.dtype, pin_memory=True)
        torch.index_select(source, 0, torch.from_numpy(positions), out=host)
        if len(computed) > 1:
            computed.pop(0).synchronize()
        with torch.cuda.stream(copies):
            x = host.to(device, non_blocking=True)
        current = torch.cuda.current_stream(device)
        current.wait_stream(copies)
        x.record_stream(current)
        yield x.to(layer.dtype)
        computed.append(torch.cuda.current_stream(device).record_event())
