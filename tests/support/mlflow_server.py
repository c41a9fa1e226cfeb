"""A real MLflow tracking server on a free port: the Flask application that `mlflow server` runs.

Started as a program it loads MLflow once, and each server is a fork of it. So a server that was
killed is there again at once, at the same address and with what it had on disk.
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ASKED, UNCOMMITTED, UNANSWERED = "asked", "uncommitted", "unanswered"
"""When a server dies that is told to move a name: before it did anything, before its database has
it, and before it answers."""


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers several requests at once."""

    daemon_threads = True
    # The program holds the port, so that nobody takes it while no server runs.
    allow_reuse_port = True


class Quiet(WSGIRequestHandler):
    """Logs nothing: what the test reads is the port."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@dataclass(frozen=True)
class Serving:
    """A server that may be killed.

    Attributes:
        address: of it, now and after it was started again.
        commands: of the program.
        replies: of the program.
    """

    address: str
    commands: IO[str]
    replies: IO[str]

    def start(self, dies: str = "") -> None:
        """Starts it in place of the one that runs, or that died.

        Args:
            dies: when it is told to move a name, it dies by SIGKILL at this moment.
        """
        self.commands.write(f"{dies}\n")
        self.commands.flush()
        assert self.replies.readline() == "up\n"


@contextmanager
def running(folder: Path) -> Iterator[Serving]:
    """A server without anything in it, in processes of its own.

    Args:
        folder: where it keeps what it is told.
    """
    command = [sys.executable, __file__, str(folder)]
    pipe = subprocess.PIPE
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            assert port, (folder / "log").read_text()
            yield Serving(f"http://127.0.0.1:{port}", process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Address of a server without anything in it, in processes of its own.

    Args:
        folder: where it keeps what it is told.
    """
    with running(folder) as server:
        yield server.address


def dying(app: Callable[..., Any], moment: str) -> Callable[..., Any]:
    """The application, which dies at a moment of moving a name."""
    if moment == UNCOMMITTED:
        import sqlalchemy as sa

        sa.event.listen(sa.engine.Engine, "commit", _die_where_moved)

    def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        moves = environ["REQUEST_METHOD"] != "GET" and environ["PATH_INFO"].endswith("/alias")
        if moves and moment == ASKED:
            _die()
        _MOVES["now"] = moves
        answer = list(app(environ, start_response))
        if moves and moment == UNANSWERED:
            _die()
        return answer

    return served


_MOVES = {"now": False}


def _die_where_moved(_: object) -> None:
    if _MOVES["now"]:
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fork(app: Callable[..., Any], port: int, moment: str) -> int:
    """A server in a process of its own; its id, once it listens."""
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        assert os.read(told, 1) == b"+"
        os.close(told)
        return child
    os.close(0)
    server = make_server(
        "127.0.0.1",
        port,
        dying(app, moment) if moment else app,
        server_class=Server,
        handler_class=Quiet,
    )
    os.write(tell, b"+")
    os.close(tell)
    server.serve_forever()
    return 0


def _main(folder: str) -> None:
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = f"{folder}/artifacts"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.server import app

    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        child = _fork(app, port, "")
        print(port, flush=True)
        for line in sys.stdin:
            _end(child)
            child = _fork(app, port, line.strip())
            print("up", flush=True)
        _end(child)


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    _main(sys.argv[1])
    os._exit(0)  # nothing that MLflow has loaded is worth tearing down
