"""``make ui``: a real Airflow on this machine, with the demo's week in its quarantine.

It listens on the loopback interface only, lives in a temporary folder, and ends with Ctrl-C or
SIGTERM; then neither a process nor a file of it is left. In the environment:

* ``UI_PORT``: where Airflow listens; default 8088, 0 for any that is free.
* ``UI_DATABASE``: ``sqlite`` (default) or ``postgresql``, which starts a server of its own.

``--once`` starts it, looks at it as every user would, stops it, and looks for what is left.
Exit codes: 0 it ran until it was told to stop, or all is well; 1 something is not as it must be;
2 a setting is wrong; 3 it did not run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from airflow_settings import (  # noqa: E402  what must be found first
    User,
    airflow_environment,
    create_databases,
    kept,
    lineage_to,
)
from servers import (  # noqa: E402
    PARTS,
    ROOT,
    STOPPING,
    ServerError,
    Servers,
    free_port,
    processes_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lazaretto.storage.workspace import Workspace

PORT = 8088
PAGE = "/plugin/quarantine"
_WEEK = 600.0


class SettingError(Exception):
    """A setting that cannot be used; the message says why and what to do."""


class Stopped(BaseException):
    """Somebody wants it to end."""


@dataclass(slots=True)
class Host:
    """What is asked for, and what is told meanwhile.

    Attributes:
        port: where Airflow listens.
        database: ``sqlite`` or ``postgresql``.
        once: whether to check it and to stop.
        users: who may sign in.
        signals: what came so far that asks for the end.
        started: seconds of a clock that only goes forward.
    """

    port: int
    database: str
    once: bool
    users: tuple[User, ...]
    signals: list[int] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Prints a line, with the seconds since the start."""
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", flush=True)

    def pause(self, seconds: float) -> None:
        """Waits; only here a signal ends what is going on, so that no process is forgotten."""
        time.sleep(seconds)
        if self.signals:
            raise Stopped


def main() -> int:
    """Starts it, shows it or checks it, and takes it down."""
    try:
        host = _asked(os.environ, once="--once" in sys.argv[1:])
    except SettingError as error:
        print(f"make ui: {error}", file=sys.stderr)
        return 2
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda number, _frame: host.signals.append(number))
    folder = Path(tempfile.mkdtemp(prefix="lazaretto-ui-"))
    code = 0
    try:
        _run(host, folder)
    except Stopped:
        pass
    except AssertionError as error:
        code = 1
        print(f"make ui: {error}", file=sys.stderr)
    except ServerError as error:
        code = 3
        print(f"make ui: {error}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    left = [*processes_of(folder), *([str(folder)] if folder.exists() else [])]
    if left:
        print("make ui: this is left behind:", *left, sep="\n  ", file=sys.stderr)
        return code or 1
    host.say("stopped; nothing is left of it")
    return code


def _asked(environment: Mapping[str, str], *, once: bool) -> Host:
    """Reads the settings.

    Raises:
        SettingError: one of them cannot be used.
    """
    database = environment.get("UI_DATABASE") or "sqlite"
    if database not in ("sqlite", "postgresql"):
        raise SettingError(f"UI_DATABASE is {database!r}: it must be sqlite or postgresql")
    words = environment.get("UI_PORT") or str(0 if once else PORT)
    if not (words.isascii() and words.isdigit() and int(words) < 2**16):
        raise SettingError(f"UI_PORT is {words!r}: it must be a number from 0 to 65535")
    port = int(words) or free_port()
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise SettingError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): end what listens there, "
            "or name another port: make ui UI_PORT=8089 (UI_PORT=0 takes any that is free)"
        ) from error
    users = User("reviewer", "op"), User("second", "admin"), User("viewer", "viewer")
    return Host(port, database, once, users)


def _run(host: Host, folder: Path) -> None:
    """Until somebody stops it, or until it was checked."""
    with _databases(host) as databases:
        servers = _servers(host, folder, databases)
        try:
            _start(host, servers, databases)
            _show(host)
            if host.once:
                _check(host, servers)
            while not host.once:
                servers.require_running()
                host.pause(0.5)
        finally:
            host.say("stopping")
            # The demo, where it still plays, has nothing to finish that will be kept.
            servers.stop(patience=0 if "week" in servers.processes else STOPPING)


@contextlib.contextmanager
def _databases(host: Host) -> Iterator[dict[str, str]]:
    """Variables that name the databases, where they are not files in the demo's folder."""
    if host.database == "sqlite":
        yield {}
        return
    import pytest
    from postgres import running_server

    with contextlib.ExitStack() as stack:
        host.say("starting PostgreSQL")
        try:
            server = stack.enter_context(running_server())
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            if host.signals:
                raise Stopped from error
            raise ServerError(str(error)) from error
        create_databases(server.url("postgres"), ("airflow", "lazaretto"))
        yield {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url("airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": server.url("airflow"),
            "LAZARETTO_CATALOG_URL": server.url("lazaretto"),
        }


def _servers(host: Host, folder: Path, databases: dict[str, str]) -> Servers:
    """Airflow as it runs after the demo, in the demo's own home and with its own catalog."""
    from lazaretto.demo.scene import DATASET

    week = folder / "week"
    files = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{week / 'airflow/airflow.db'}",
        "LAZARETTO_CATALOG_URL": f"sqlite:///{week / 'catalog.db'}",
    }
    chosen = files | databases
    airflow = airflow_environment(
        folder,
        host.port,
        host.users,
        home=week / "airflow",
        dags=ROOT / "dags",
        database=chosen["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        parallelism=2,
    )
    ours = {
        "LAZARETTO_CATALOG_URL": chosen["LAZARETTO_CATALOG_URL"],
        "LAZARETTO_DATASET": DATASET,
        "LAZARETTO_MODELS": str(week / "models"),
        "LAZARETTO_POLICY": str(week / "policy.yaml"),
        "LAZARETTO_STORE": str(week / "store"),
        **lineage_to(week / "openlineage.jsonl", "lazaretto-demo"),
    }
    return Servers(folder, host.port, airflow | ours, pause=host.pause)


def _start(host: Host, servers: Servers, databases: dict[str, str]) -> None:
    import httpx
    from api import Api
    from ui_check import all_healthy, unpause

    _play(host, servers, databases)
    host.say(f"starting Airflow: {', '.join(PARTS)}")
    for part in PARTS:
        servers.start(part)
    with httpx.Client(base_url=servers.address, timeout=10, trust_env=False) as client:
        servers.wait("all parts of Airflow to be healthy", lambda: all_healthy(client))
    (admin,) = (user for user in host.users if user.role == "admin")
    unpause(Api.sign_in(servers, admin))


def _play(host: Host, servers: Servers, databases: dict[str, str]) -> None:
    """Plays the week in a process of its own, and says what it says."""
    told = 0

    def watch() -> None:
        nonlocal told
        lines = servers.log("week").read_text(errors="replace").splitlines(keepends=True)
        whole = [line.rstrip() for line in lines if line.endswith("\n")]
        for line in whole[told:]:
            host.say(line)
        told = len(whole)

    host.say("playing the demo's week: about a minute")
    words = [f"{name}={url}" for name, url in databases.items()]
    command = (sys.executable, str(HERE / "ui_week.py"), str(servers.folder / "week"), *words)
    # The demo makes its own settings: with those of the servers, its days would start trainings.
    home = {name: servers.environment[name] for name in ("HOME", "OMP_NUM_THREADS", "TMPDIR")}
    servers.start("week", *command, environment=kept(os.environ) | home)
    servers.finish("week", seconds=_WEEK, watch=watch)


def _show(host: Host) -> None:
    wide = max(len(user.name) for user in host.users)
    people = [f"  {user.name:{wide}}  {user.password}  {_MAY[user.role]}" for user in host.users]
    head = f"\nThe quarantine, in Airflow: http://127.0.0.1:{host.port}{PAGE}\nSign in as\n"
    end = "\n\nCtrl-C stops it and removes everything.\n"
    print(head + "\n".join(people) + end, flush=True)


_MAY = {
    "op": "decides and publishes",
    "admin": "a second person; sees all of Airflow",
    "viewer": "only looks",
}


def _check(host: Host, servers: Servers) -> None:
    from ui_check import check_site

    check_site(servers, host.users, _workspace(servers))
    host.say("every user can sign in, and sees what they may see")


def _workspace(servers: Servers) -> Workspace:
    from lazaretto.storage.workspace import open_workspace

    there = servers.environment
    return open_workspace(
        catalog_url=there["LAZARETTO_CATALOG_URL"], store=there["LAZARETTO_STORE"], create=False
    )


if __name__ == "__main__":
    sys.exit(main())
