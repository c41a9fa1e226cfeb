"""A throw-away PostgreSQL server on a unix socket, which a test may stop, start and freeze."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEBIAN = Path("/usr/lib/postgresql")
# Nothing of it outlives the tests, and no query is long enough to be worth compiling.
_QUICK = "-c fsync=off -c full_page_writes=off -c jit=off -c max_wal_size=128MB"
_MEMORY, _ENOUGH = Path("/dev/shm"), 2**30  # noqa: S108  named by mkdtemp


@dataclass(frozen=True, slots=True)
class Server:
    """A server and its folder.

    Attributes:
        binaries: folder of PostgreSQL's programs.
        home: folder of its data, its log and its socket.
        user: whom it runs as; None: whoever we are.
    """

    binaries: Path
    home: Path
    user: str | None

    def url(self, database: str) -> str:
        """URL of a database of this server."""
        return f"postgresql+psycopg://lazaretto@/{database}?host={self.home}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-k {self.home} -c listen_addresses='' -c max_connections=50 {_QUICK}"
        self._run("pg_ctl", "-w", "-l", self.home / "log", "-o", options, "start")

    def stop(self) -> None:
        """Ends it at once, as a power cut does."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def freeze(self) -> None:
        """Lets none of its processes run."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets them run again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        first = int((self.home / "data/postmaster.pid").read_text().splitlines()[0])
        others = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for process in (first, *map(int, others)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: object) -> None:
        words = [self.binaries / program, "-D", self.home / "data", *arguments]
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
        )
        if done.returncode:
            pytest.fail(f"PostgreSQL: {program} {arguments}: {done.stderr[-2000:]}")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that runs, and is gone afterwards."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries (initdb): apt install postgresql")
    user = _user()
    # Not under pytest's own folder: another user could not enter it.
    server = Server(binaries, Path(tempfile.mkdtemp(prefix="lz-pg-", dir=_memory())), user)
    if user is not None:
        shutil.chown(server.home, user=user)
    try:
        server._run("initdb", "-A", "trust", "-U", "lazaretto", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(server.home, ignore_errors=True)


def _memory() -> Path | None:
    """A folder in memory, where a database is copied in a third of the time; None: too little."""
    usable = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH
    return _MEMORY if usable else None


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _user() -> str | None:
    """PostgreSQL refuses to run as root; None: stay who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip(
        "running as root, and there is neither a user postgres nor nobody to start a server"
    )
