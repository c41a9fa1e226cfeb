"""The tests of engines on a Ray cluster, in a process that they cannot keep from ending."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from many import in_full
from ray_cluster import apart

_DAEMON = """
import os, pathlib, subprocess, sys

def test_leaves_a_process():
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(sleeping, start_new_session=True)
    pathlib.Path(__file__).with_name("pid").write_text(str(left.pid))
    assert not left.pid, "as planned"
"""


_SECONDS = 3600 if in_full() else 420


@pytest.mark.timeout(_SECONDS + 60)
def test_engines_on_ray() -> None:
    apart(Path(__file__).with_name("engine_on_ray.py"), seconds=_SECONDS)


def test_what_runs_apart_leaves_no_process(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text(_DAEMON)
    with pytest.raises(pytest.fail.Exception, match="as planned"):
        apart(file, seconds=120)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
