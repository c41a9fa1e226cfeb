"""Fixtures of the library's tests: a yard on each database, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yard import Yard, make_yard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """A yard, once on each database."""
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.fixture
def sqlite_yard(sqlite_workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """A yard on SQLite."""
    return make_yard(sqlite_workspace, fitted_reference, tmp_path)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has: one goes through BLAS, two through torch."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
