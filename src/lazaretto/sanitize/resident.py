"""Rows that stay on a CUDA device, so that no method and no pass copies them there again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.inputs import Inputs

_SHARE = 0.5
"""Of the device's free memory that rows may take; what is computed of them needs the rest."""

_PART_BYTES = 64 * 2**20


class Resident(NamedTuple):
    """One layer's rows on the device, in the order of the inputs.

    Attributes:
        train: (n, d) of the training set.
        trusted: (m, d) of the trusted rows; None: there are none.
    """

    train: torch.Tensor
    trusted: torch.Tensor | None


def make_resident(inputs: Inputs, layer: str, device: torch.device) -> Resident | None:
    """The layer's rows on the device; None where they would not fit, or would gain nothing there.

    On a CPU they are where they are computed already.
    """
    if device.type != "cuda":
        return None
    rows = inputs.layers[layer]
    clean = None if inputs.trusted is None else inputs.trusted[layer]
    needed = rows.nbytes + (0 if clean is None else clean.nbytes)
    if needed > _SHARE * free_bytes(device):
        return None
    try:
        there = on_device(rows, device)
        return Resident(there, None if clean is None else on_device(clean, device))
    except torch.OutOfMemoryError:
        # Others took it meanwhile, or this process may not have it: rows are streamed then.
        return None


def free_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that is free, or that torch keeps for reuse."""
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free) + int(kept)


def on_device(rows: NDArray[np.floating], device: torch.device) -> torch.Tensor:
    """A copy of rows (n, d) on a CUDA device, through two pinned buffers that take turns."""
    source = torch.from_numpy(rows)
    out = torch.empty(rows.shape, dtype=source.dtype, device=device)
    if not len(rows):
        return out
    step = max(1, min(len(rows), _PART_BYTES // (source.itemsize * max(1, rows.shape[1]))))
    room = (step, *rows.shape[1:])
    buffers = [torch.empty(room, dtype=source.dtype, pin_memory=True) for _ in range(2)]
    copied: list[torch.cuda.Event | None] = [None, None]
    for turn, begin in enumerate(range(0, len(rows), step)):
        part, event = source[begin : begin + step], copied[turn % 2]
        if event is not None:
            event.synchronize()
        buffer = buffers[turn % 2][: len(part)]
        buffer.copy_(part)
        out[begin : begin + len(part)].copy_(buffer, non_blocking=True)
        copied[turn % 2] = torch.cuda.current_stream(device).record_event()
    return out
