"""Searches for nearest rows on a device, by torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.errors import SystemFaultError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints

BLOCK = {"cpu": 2**25, "cuda": 2**28}
"""Distances held at once: 128 MiB, or 1 GiB. Fewer, where memory runs out."""


class DeviceSearch:
    """Every row, by products and selections in torch, on any device it knows.

    The same code runs on the CPU, where it is tested; FAISS is faster there. `make test-gpu`
    compares both; ``benchmarks/results/sanitize_gpu.md`` says what was run on a CUDA device.

    Args:
        rows: float32 (n, d), contiguous.
        device: torch device, such as ``cuda``.

    Raises:
        SystemFaultError: the device has too little memory for the rows.
    """

    def __init__(self, rows: Floats, device: str) -> None:
        self.learned: dict[str, Floats] = {}
        try:
            self._rows = torch.from_numpy(rows).to(device)
            self._norms = self._rows.square().sum(1)
        except torch.OutOfMemoryError as error:
            raise _too_little(device, len(rows), error) from error

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `lazaretto.detect.nearest_backends.Backend`.

        Raises:
            SystemFaultError: the device has too little memory for one record.
        """
        squared = np.empty((len(queries), k), dtype=np.float32)
        row = np.empty((len(queries), k), dtype=np.int64)
        size = max(1, BLOCK.get(self._rows.device.type, 2**25) // len(self._rows))
        start = 0
        while start < len(queries):
            block = slice(start, start + size)
            try:
                squared[block], row[block] = self._nearest(queries[block], k)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise _too_little(self._rows.device, len(self._rows), error) from error
                size = max(1, min(size, len(queries)) // 2)
                continue
            start += size
        return squared, row

    def _nearest(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        there = torch.from_numpy(queries).to(self._rows.device)
        # The record's own norm moves no neighbour before another: it is added last.
        partial = torch.addmm(self._norms, there, self._rows.T, alpha=-2)
        value, row = partial.topk(k, largest=False)
        value += there.square().sum(1, keepdim=True)
        return value.cpu().numpy(), row.cpu().numpy()


def _too_little(
    device: str | torch.device, rows: int, error: torch.OutOfMemoryError
) -> SystemFaultError:
    return SystemFaultError(
        f"{device} has too little free memory to search {rows:,} reference rows "
        f"({error_line(error)}). Free some, or search on the CPU"
    )
