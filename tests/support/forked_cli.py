"""The command `lazaretto` for shells of tests: forked from a process with its libraries loaded.

To start Python and to import the library takes most of the time of a short command, and the pages
have hundreds. A shell finds the command first in its PATH; it hands its folder, its environment and
its three streams to a process that is ready, which forks, runs `lazaretto.cli.main` and tells how
that ended. What a command loads is loaded once, for all that follow. Deliveries are decoded in
`forked_box`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 2**20
_COMMAND = """\
#!{python} -ISB
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
given = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(line, [json.dumps(given).encode() + b"\\n"], [0, 1, 2])
ended = int(line.makefile().readline() or 1)
if ended < 0:
    signal.signal(-ended, signal.SIG_DFL)
    os.kill(os.getpid(), -ended)
os._exit(ended)
"""


@contextmanager
def forked_cli() -> Iterator[Path]:
    """A folder with the command `lazaretto`, to be first in a PATH."""
    with tempfile.TemporaryDirectory(prefix="lz-cli-") as name:
        folder = Path(name)
        address = str(folder / "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(16)
        command = folder / "bin/lazaretto"
        command.parent.mkdir()
        command.write_text(_COMMAND.format(python=sys.executable, address=address))
        command.chmod(0o755)
        # As a shell of a page starts one: what is read while modules load must not be pytest's.
        kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "HOME": name}
        script = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import forked_cli; "
        script += f"forked_cli.serve({listener.fileno()}, {str(folder / 'box')!r})"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", script], env=kept, pass_fds=[listener.fileno()]
        )
        listener.close()
        try:
            yield command.parent
        finally:
            process.kill()
            process.wait()


def serve(number: int, box: str) -> None:
    """Runs one command after the other; those of a pipe at the same time.

    Args:
        number: of the socket that commands come by.
        box: address for the socket of the box in which they decode deliveries.
    """
    from forked_box import SharedBox

    importlib.import_module("lazaretto.cli.app")
    importlib.import_module("lazaretto.batch._box")._run = SharedBox(box)
    listener = socket.socket(fileno=number)
    told, tell = os.pipe()
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _ = listener.accept()
        _load(told)
        gc.freeze()  # a fork looks at none of it again, and copies no page of it
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            os.close(told)
            _answer(line, tell)
            os._exit(0)
        line.close()


def _load(told: int) -> None:
    """Loads what earlier commands had to load."""
    with suppress(BlockingIOError):
        for name in os.read(told, _MOST).decode().split():
            with suppress(Exception):  # of a user's folder, say
                importlib.import_module(name)


def _answer(line: socket.socket, tell: int) -> None:
    text, streams, *_ = socket.recv_fds(line, _MOST, 3)
    while not text.endswith(b"\n"):
        text += line.recv(_MOST)
    child = os.fork()
    if child == 0:
        line.close()
        _run(json.loads(text), streams, tell)
    for stream in streams:
        os.close(stream)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line.sendall(f"{ended}\n".encode())


def _run(given: dict[str, Any], streams: list[int], tell: int) -> None:
    """The command, in a process of its own; never returns."""
    before = set(sys.modules)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(given["folder"])
    os.environ.clear()
    os.environ.update(given["environment"])
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["lazaretto", *given["words"]]
    atexit.register(_tell, tell, before)
    try:
        from lazaretto.cli import main

        main()  # ends this process
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    os._exit(1)


def _tell(tell: int, before: set[str]) -> None:
    """Names what was loaded."""
    os.set_blocking(tell, False)
    with suppress(OSError):
        os.write(tell, (" ".join(sys.modules.keys() - before) + " ").encode())


if __name__ == "__main__":
    with forked_cli() as found:
        line = f"PATH={found}:$PATH; {shlex.join(sys.argv[1:])}"
        sys.exit(subprocess.run(["/bin/bash", "-c", line], check=False).returncode)
