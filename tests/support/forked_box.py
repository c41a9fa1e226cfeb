"""A box that is forked from a process with its libraries loaded, in place of one started anew.

To start Python and to load Arrow takes a hundred times as long as to decode what a test delivers.
All else is as in `lazaretto.batch._box`: a process of its own, which limits itself, in the same
environment. Files of tests with the mark `box` get the real one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.policy import Limits

_PAUSE = 0.002
_LOOK = 5.0


class ForkedBox:
    """Stands in for `lazaretto.batch._box._run`; its process is started when it is first needed."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # a fork gets a process of its own

    def _begin(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket | None = None
        self._line: Any = None

    def __call__(
        self, request: dict[str, Any], folder: Path, answer: Path, log: Path, limits: Limits
    ) -> int | None:
        with self._one_at_a_time:
            if self._line is None:
                self._start()
            return _asked(self._line, request, folder, answer, log, limits)

    def _start(self) -> None:
        ours, its = socket.socketpair()
        self._parent = _served("serve", its)
        self._ours, self._line = ours, ours.makefile("rwb")

    def close(self) -> None:
        """Ends its process; what was forked meanwhile may keep the socket open."""
        if self._parent is not None and self._ours is not None:
            self._ours.shutdown(socket.SHUT_RDWR)
            self._line.close()
            self._ours.close()
            self._parent.wait()


class SharedBox:
    """The same for processes that come and go: each delivery has a connection of its own.

    Args:
        address: of a socket where nothing is yet.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(16)
            self._parent = _served("serve_all", listener)

    def __call__(
        self, request: dict[str, Any], folder: Path, answer: Path, log: Path, limits: Limits
    ) -> int | None:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(self._address)
            with ours.makefile("rwb") as line:
                return _asked(line, request, folder, answer, log, limits)


def _asked(
    line: Any, request: dict[str, Any], folder: Path, answer: Path, log: Path, limits: Limits
) -> int | None:
    """Gives a delivery to a process that serves; how its box ended."""
    job = {
        "request": json.dumps(request),
        "folder": str(folder.absolute()),
        "answer": str(answer.absolute()),
        "log": str(log.absolute()),
        "seconds": limits.wall_seconds,
    }
    line.write(json.dumps(job).encode() + b"\n")
    line.flush()
    ended: int | None = json.loads(line.readline())
    return ended


def _served(function: str, its: socket.socket) -> subprocess.Popen[bytes]:
    """A process that serves its end of a line."""
    from lazaretto.batch._box import environment

    paths = [path for path in sys.path if Path(path).is_absolute()]
    start = "import json, sys; sys.path += json.loads(sys.argv[1]); import forked_box; "
    command = [sys.executable, "-I", "-c", f"{start}forked_box.{function}(int(sys.argv[2]))"]
    command += [json.dumps(paths), str(its.fileno())]
    return subprocess.Popen(command, env=environment(), pass_fds=[its.fileno()])


def serve_all(number: int) -> None:
    """Forks a process that serves for each connection, until whoever started it has ended."""
    import gc

    from lazaretto.batch._child import main

    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    started_by = os.getppid()
    with socket.socket(fileno=number) as listener:
        listener.settimeout(_LOOK)
        while os.getppid() == started_by:
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    listener.close()
                    connection.setblocking(True)
                    with connection.makefile("rwb") as line:
                        _serve(line, main)
                    os._exit(0)
                connection.close()


def serve(number: int) -> None:
    """Forks a box for each line that a socket brings, until it is closed."""
    import gc

    from lazaretto.batch._child import main

    gc.freeze()
    with socket.socket(fileno=number) as ours, ours.makefile("rwb") as line:
        _serve(line, main)


def _serve(line: Any, main: Callable[[], None]) -> None:
    for job in line:
        ended = _box(json.loads(job), main)
        line.write(json.dumps(ended).encode() + b"\n")
        line.flush()


def _box(job: dict[str, Any], main: Callable[[], None]) -> int | None:
    """How the process of one delivery ended; None: it was ended for its time by the clock."""
    child = os.fork()
    if not child:
        try:
            _become(job)
            main()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(1)
    deadline = time.monotonic() + job["seconds"]
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_PAUSE)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(job: dict[str, Any]) -> None:
    """What `subprocess.run` would have made of it: its folder, its input and outputs, no other."""
    os.chdir(job["folder"])
    with (
        tempfile.TemporaryFile() as given,
        Path(job["answer"]).open("wb") as answer,
        Path(job["log"]).open("wb") as log,
    ):
        given.write(job["request"].encode())
        given.seek(0)
        for number, file in enumerate((given, answer, log)):
            os.dup2(file.fileno(), number)
    os.closerange(3, 1024)
