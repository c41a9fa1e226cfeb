"""A deployment's parts on this machine: PostgreSQL, an S3-compatible server, Airflow's four."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
DATASET = "handwriting"
STORE = "s3://lazaretto/store"
DROP = "drop"
_STOPPING = 10.0


@dataclass(slots=True)
class Deployment:
    """What runs, and how to reach it.

    Attributes:
        folder: of everything that it writes; gone afterwards.
        server: PostgreSQL, with a database for Airflow and one for the catalog.
        api: port of Airflow's API server.
        objects: port of the S3-compatible server.
        password: of Airflow's user ``admin``.
        environment: of every process of it.
        processes: by the name of the part.
    """

    folder: Path
    server: Server
    api: int
    objects: int
    password: str = field(repr=False)
    environment: dict[str, str] = field(repr=False)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def catalog_url(self) -> str:
        """Of Lazaretto's catalog."""
        return self.server.url("lazaretto")

    @property
    def told(self) -> Path:
        """Where the test DAGs' notifier writes."""
        return self.folder / "told.txt"

    def log(self, part: str) -> Path:
        """What a part prints."""
        return self.folder / f"{part}.log"

    def start(self, part: str, *command: str) -> None:
        """Starts a part, in a process group of its own."""
        with self.log(part).open("ab") as log:
            self.processes[part] = subprocess.Popen(
                command or (str(BIN / "airflow"), part, *_OPTIONS.get(part, ())),
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, part: str) -> None:
        """Ends a part at once, as a machine that is lost does."""
        process = self.processes.pop(part)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, *command: str) -> str:
        """Runs a command of the environment's ``bin`` to its end, and returns what it printed.

        Raises:
            RuntimeError: it failed.
        """
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def require_running(self) -> None:
        """Raises RuntimeError where a part has ended by itself."""
        for part, process in self.processes.items():
            if process.poll() is not None:
                tail = self.log(part).read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{part} ended with {process.returncode}: {tail}")

    def stop(self) -> None:
        """Ends all parts, politely first."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + _STOPPING
        for part, process in list(self.processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.1))
            self.kill(part)  # the group may hold what the part has started


_OPTIONS = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}


@contextlib.contextmanager
def deployment(folder: Path, server: Server) -> Iterator[Deployment]:
    """Brings the parts up in a folder, and takes them down again."""
    found = _prepare(folder, server)
    try:
        found.start("objects", sys.executable, "-m", "moto.server", "-p", str(found.objects))
        _create_databases(server)
        wait_for_port(found, found.objects)
        _make_buckets(found)
        found.run("airflow", "db", "migrate")
        place = ("--catalog", found.catalog_url, "--store", STORE)
        found.run("lazaretto", "catalog", "upgrade", *place)
        for part in PARTS:
            found.start(part)
        wait_for_port(found, found.api)
        yield found
    finally:
        found.stop()


def wait_for_port(found: Deployment, port: int, *, seconds: float = 180) -> None:
    """Waits until something listens.

    Raises:
        RuntimeError: a part has ended, or it takes too long.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found.require_running()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.2)
    raise RuntimeError(f"nothing listens on port {port} after {seconds:.0f} s")


def _prepare(folder: Path, server: Server) -> Deployment:
    api, objects = _free_port(), _free_port()
    password = secrets.token_urlsafe(16)
    home = folder / "airflow"
    (folder / "dags").mkdir()
    home.mkdir()
    examples = (ROOT / "dags").glob("lazaretto_ingest*.py")
    for dag in (*examples, Path(__file__).with_name("dags") / "more.py"):
        shutil.copy(dag, folder / "dags")
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": password}))
    here = f"http://127.0.0.1:{api}"
    airflow = server.url("airflow")
    ours = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": here,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{here}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": airflow,
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "deployment",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
        ),
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{objects}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HOME": str(folder / "home"),  # nothing may be made there
        "LAZARETTO_DATASET": DATASET,
        "LAZARETTO_POLICY": str(folder / "policy.yaml"),
        "OMP_NUM_THREADS": "1",
        "TOLD": str(folder / "told.txt"),
    }
    (folder / "home").mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "AWS_", "LAZARETTO_", "OTEL_", "OPENLINEAGE"))
    }
    return Deployment(folder, server, api, objects, password, kept | ours)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _create_databases(server: Server) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("airflow", "lazaretto"):
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()


def _make_buckets(found: Deployment) -> None:
    import s3fs

    os.environ |= {name: value for name, value in found.environment.items() if "AWS_" in name}
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    for bucket in (STORE.split("/")[2], DROP):
        files.mkdir(bucket)
