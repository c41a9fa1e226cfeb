"""A device with little memory, for the tests that run out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES = 160 * 2**20


@pytest.fixture
def small_device() -> Iterator[None]:
    """Leaves this process 160 MiB of the device's memory."""
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + _BYTES) / whole)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()
