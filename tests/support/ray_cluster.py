"""A Ray cluster of this machine for tests, whose workers import what is in this folder."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from many import in_full

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 2


@contextlib.contextmanager
def local_cluster() -> Iterator[Any]:
    """Starts one with two processors.

    Skips the test where Ray is not installed, and, unless all is to be tried, where this machine is
    too busy: Ray gives its helpers 15 and 30 seconds to start, in its code.
    """
    ray = pytest.importorskip("ray", reason="ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for again in reversed(range(_TRIES)):
            try:
                ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
                break
            except Exception as error:
                ray.shutdown()
                if "timed out during startup" not in str(error) or (in_full() and not again):
                    raise
                if not again:
                    pytest.skip("this machine is too busy: no Ray node starts within 30 seconds")
        yield ray
        ray.shutdown()
