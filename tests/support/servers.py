"""A real Airflow as processes of one folder: its four parts, started, watched and ended.

What `make airflow` and `make ui` have in common. Everything listens on the loopback interface
only, and nothing is written outside of the folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_OPTIONS = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}
STOPPING = 10.0
_TAIL = 3000
_GIVE_UP = 180.0


class ServerError(RuntimeError):
    """Something of the deployment does not run; the message says what, and ends with its log."""


@dataclass(slots=True)
class Servers:
    """Processes that share a folder and an environment.

    Attributes:
        folder: of everything that they write; each one's log is here.
        port: of Airflow's API server.
        environment: of every process.
        processes: by the name of the part.
        pause: waits some seconds; may raise what ends the waiting.
    """

    folder: Path
    port: int
    environment: dict[str, str] = field(repr=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    pause: Callable[[float], Any] = time.sleep

    @property
    def address(self) -> str:
        """Of Airflow."""
        return f"http://127.0.0.1:{self.port}"

    def log(self, part: str) -> Path:
        """What a part prints."""
        return self.folder / f"{part}.log"

    def tail(self, part: str) -> str:
        """The end of what a part printed."""
        with contextlib.suppress(OSError):
            return self.log(part).read_text(errors="replace")[-_TAIL:].strip()
        return ""

    def start(self, part: str, *command: str, environment: Mapping[str, str] | None = None) -> None:
        """Starts a part, in a session of its own: a terminal's Ctrl-C does not reach it.

        Args:
            part: its name.
            command: default: the part of Airflow that has this name.
            environment: another one than that of all parts.
        """
        with self.log(part).open("ab") as log:
            self.processes[part] = subprocess.Popen(
                command or (str(BIN / "airflow"), part, *_OPTIONS.get(part, ())),
                env=environment or self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, part: str, *, seconds: float, watch: Callable[[], None] | None = None) -> None:
        """Waits until a part has ended by itself.

        Args:
            part: which one; started before.
            seconds: how long it may take.
            watch: called while it runs, and once afterwards.

        Raises:
            ServerError: it failed, or it takes too long.
        """
        process, until = self.processes[part], time.monotonic() + seconds
        while process.poll() is None:
            if time.monotonic() > until:
                raise ServerError(f"{part} takes longer than {seconds:.0f} s: {self.tail(part)}")
            if watch:
                watch()
            self.pause(0.2)
        del self.processes[part]
        if watch:
            watch()
        if process.returncode:
            raise ServerError(f"{part} ended with {process.returncode}: {self.tail(part)}")

    def run(self, *command: str) -> str:
        """Runs a command of the environment's ``bin`` to its end, and returns what it printed.

        Raises:
            ServerError: it failed.
        """
        part = "-".join(command[:3]).replace("/", "-")
        self.log(part).unlink(missing_ok=True)
        self.start(part, str(BIN / command[0]), *command[1:])
        self.finish(part, seconds=_GIVE_UP)
        return self.log(part).read_text(errors="replace")

    def kill(self, part: str) -> None:
        """Ends a part at once, as a machine that is lost does."""
        process = self.processes.pop(part)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def require_running(self) -> None:
        """Raises ServerError where a part has ended by itself."""
        for part, process in self.processes.items():
            if process.poll() is not None:
                raise ServerError(f"{part} ended with {process.returncode}: {self.tail(part)}")

    def wait(self, what: str, found: Callable[[], Any], *, seconds: float = _GIVE_UP) -> Any:
        """Asks until the answer is something.

        Raises:
            ServerError: a part has ended, or it takes too long.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.require_running()
            if answer := found():
                return answer
            self.pause(0.5)
        raise ServerError(f"waited {seconds:.0f} s for {what}")

    def wait_for_port(self, port: int, *, seconds: float = _GIVE_UP) -> None:
        """Waits until something listens.

        Raises:
            ServerError: a part has ended, or it takes too long.
        """

        def listens() -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            return False

        self.wait(f"something that listens on port {port}", listens, seconds=seconds)

    def stop(self, *, patience: float = STOPPING) -> None:
        """Ends all parts and what they have started, politely first.

        Args:
            patience: seconds for them to end by themselves.
        """
        family = list(self.family())
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + patience
        for part, process in list(self.processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0))
            self.kill(part)  # the group may hold what the part has started
        for one in family:  # and what has left the group
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(family, timeout=STOPPING)

    def family(self) -> Iterable[psutil.Process]:
        """All processes: the parts, and whatever they have started."""
        for process in self.processes.values():
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(process.pid)
                yield from (first, *first.children(recursive=True))


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def processes_of(folder: Path) -> list[str]:
    """Processes that work in a folder or were told of it, as one line each: there must be none.

    Looks at all processes of the machine, so that one is found that left its parent, too.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            told = [process.cwd(), *words, *process.environ().values()]
            if process.pid != os.getpid() and any(str(folder) in word for word in told):
                found.append(f"{process.pid} {' '.join(words)}")
    return found
