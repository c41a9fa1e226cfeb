"""Buckets on servers that speak S3: moto's, and rclone's, which keeps its files on disk."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import s3fs

# What no output may hold.
SECRET = "hush-secret-of-the-bucket"  # noqa: S105


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Bucket:
    """A bucket on a server that can be killed and started again; moto's forgets all.

    Attributes:
        kind: ``moto`` or ``rclone``.
        folder: where rclone keeps its buckets.
    """

    kind: str
    folder: Path
    port: int = field(default_factory=_free_port)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the server, and makes the bucket."""
        (self.folder / "bucket").mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        if self.kind == "rclone":
            command = [_rclone(), "serve", "s3", str(self.folder)]
            command += ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"key,{SECRET}"]
            command += ["--config", str(self.folder / "none")]
        self._server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while self._server.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
        if self.kind == "moto":
            self.files().mkdir("bucket")

    def stop(self) -> None:
        """Kills it."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def files(self) -> s3fs.S3FileSystem:
        """What lies there, by a client of its own."""
        import s3fs

        return s3fs.S3FileSystem(endpoint_url=self.url, skip_instance_cache=True)


def _rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone") or ""


def require_server(kind: str) -> None:
    """Skips the test where the server is not installed."""
    if kind == "moto":
        pytest.importorskip("moto.server", reason="moto's server is not installed")
    elif not _rclone():
        pytest.skip("rclone is not installed")
