"""Searches for nearest rows on a device, by torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints

BLOCK = 2**25
"""Distances held at once: 128 MiB."""


class DeviceSearch:
    """Every row, by products and selections in torch, on any device it knows.

    The same code runs on the CPU, where it is tested; FAISS is faster there. It has not been run on
    a CUDA device yet: a test for one waits, and is skipped where there is none.

    Args:
        rows: float32 (n, d), contiguous.
        device: torch device, such as ``cuda``.
    """

    def __init__(self, rows: Floats, device: str) -> None:
        self.learned: dict[str, Floats] = {}
        self._rows = torch.from_numpy(rows).to(device)
        self._norms = self._rows.square().sum(1)

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `lazaretto.detect.nearest_backends.Backend`."""
        squared, rows = [], []
        size = max(1, BLOCK // len(self._rows))
        for start in range(0, len(queries), size):
            there = torch.from_numpy(queries[start : start + size]).to(self._rows.device)
            # The record's own norm moves no neighbour before another: it is added last.
            partial = torch.addmm(self._norms, there, self._rows.T, alpha=-2)
            value, row = partial.topk(k, largest=False)
            squared.append((value + there.square().sum(1, keepdim=True)).cpu().numpy())
            rows.append(row.cpu().numpy())
        if not squared:
            return np.empty((0, k), dtype=np.float32), np.empty((0, k), dtype=np.int64)
        return np.concatenate(squared), np.concatenate(rows)
