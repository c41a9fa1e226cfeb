"""A Ray cluster of this machine for tests, in a process of its own that cannot outlive them.

Ray starts a dozen processes and threads in whoever joins it, and forks while they run. Where one of
them hangs, no test behind it would end, and what outlives a run keeps its output open. So `apart`
runs a file of tests by itself: it has a time, and every process that it started is ended with it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from many import in_full

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK = "LAZARETTO_TEST_CLUSTER"
"""In the environment of every process of a cluster, wherever it was forked off to."""
_STORE_BYTES = 80 * 2**20
"""Ray takes no less than 75 MiB. Where /dev/shm has less, it takes a file in its folder."""
_START_SECONDS, _PATIENCE = 60, 10
"""For each node, and so many times as much where all is to be tried."""


def apart(path: Path, *, seconds: int) -> None:
    """Runs a file of tests in a process of its own, within a time.

    Skips where all of them are skipped.

    Args:
        path: of the file; one that the suite does not collect.
        seconds: until it is ended, with all that it started, and fails.
    """
    pytest.importorskip("ray", reason="ray is not installed")
    mark = secrets.token_hex(16)
    # The paths of sockets lie below it, and may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="lz-", dir="/tmp"))
    command = [sys.executable, "-m", "pytest", str(path), "-q", "-x", "-p", "no:cacheprovider"]
    try:
        with (folder / "output").open("w+b") as output:
            process = subprocess.Popen(
                command,
                env=_environment(mark, folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                ended: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                ended = None
                process.send_signal(signal.SIGABRT)  # pytest tells then where it is
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            finally:
                _end(mark, process.pid)
                process.wait()
            told = (folder / "output").read_text(errors="replace")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if ended is None:
        pytest.fail(f"not done after {seconds} s:\n{told}", pytrace=False)
    if ended != 0:
        pytest.fail(told, pytrace=False)
    if " passed" not in told.splitlines()[-1]:
        pytest.skip("; ".join(line for line in told.splitlines() if line.startswith("SKIPPED")))


def _environment(mark: str, folder: Path) -> dict[str, str]:
    """Of the process of the tests, and so of all that a cluster consists of."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "PYTEST_"))
    }
    return kept | {
        _MARK: mark,
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONFAULTHANDLER": "1",
        "PYTEST_TIMEOUT": "0",  # all of them have one time
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
        # By its name not for Linux: all that it says is that nodes are found at 127.0.0.1, not at
        # an address that a container may have and cannot reach.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # By default workers get what other work on the machine leaves, which may be nothing.
        "RAY_worker_niceness": "0",
        # Else a machine with little memory left has its tasks killed, and tried again for ever.
        "RAY_memory_monitor_refresh_ms": "0",
    }


def _end(mark: str, session: int) -> None:
    """Ends all that carries the mark or is of the session, and what that starts meanwhile."""
    while found := _started(mark, session):
        for one in found:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(found, timeout=5)


def _started(mark: str, session: int) -> list[psutil.Process]:
    """Those that live. What has a session of its own has the mark; Ray's agents hide theirs."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = os.getsid(one.pid) == session or one.environ().get(_MARK) == mark
            if ours and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


@contextlib.contextmanager
def local_cluster(nodes: int = 1, cpus: int = 2) -> Iterator[Any]:
    """Starts one and joins it, in a process that `apart` started.

    Without what Ray has for people who look at it: dashboard, log monitor, autoscaler.

    Skips the tests where this machine is too busy for that; but for where all is to be tried.

    Args:
        nodes: of the cluster, all on this machine.
        cpus: of each of them.
    """
    assert _MARK in os.environ, "run this file by `apart`, or its tests may leave processes behind"
    import ray  # not before its settings are there

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    own = {"num_cpus": cpus, "object_store_memory": _STORE_BYTES, "include_log_monitor": False}
    head = own | {"no_monitor": True, "include_dashboard": False}
    cluster: Any = None
    try:
        try:
            with _at_most(_START_SECONDS * nodes * (_PATIENCE if in_full() else 1)):
                cluster = _cluster([head, *[own] * (nodes - 1)])
                ray.init(address=cluster.address, log_to_driver=False)
        except TimeoutError as error:
            if in_full():
                raise
            pytest.skip(f"this machine is too busy, no Ray cluster starts: {error}")
        yield ray
    finally:
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()


def _end_with(parent: int) -> None:
    """Ends this process, and with it the cluster, where whoever runs the tests was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _cluster(nodes: list[dict[str, Any]]) -> Any:
    """Starts nodes, again and again where Ray finds them too slow: it gives each 30 seconds."""
    from ray.cluster_utils import Cluster

    while True:
        cluster = Cluster()
        try:
            for node in nodes:
                cluster.add_node(**node)
        except Exception as error:
            for left in _started(os.environ[_MARK], os.getsid(0)):  # of a node that is no object
                with contextlib.suppress(psutil.Error):
                    if left.pid != os.getpid():
                        left.kill()
            if "timed out during startup" not in str(error):
                raise
        else:
            return cluster


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Raises TimeoutError in the midst of what takes longer."""

    def over(*_: object) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
