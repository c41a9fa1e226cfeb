"""`make ui`: what it refuses, how it ends, and how the servers behind it are ended.

Starting all of it takes a minute or two: `make airflow` does that.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import servers
from airflow_settings import kept
from servers import ServerError, Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

UI = Path(__file__).with_name("deployment") / "ui.py"
# Ignores a polite signal, as does its child, which leaves the session of its parent.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
    print("ready", flush=True)
time.sleep(600)
"""


def asked(**variables: str) -> subprocess.CompletedProcess[str]:
    """What it says to settings that cannot be used."""
    return subprocess.run(
        [sys.executable, str(UI)],
        env=kept(os.environ) | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("UI_DATABASE", "mysql", "must be sqlite or postgresql"),
        ("UI_PORT", "http", "must be a number"),
        ("UI_PORT", "65536", "must be a number"),
        ("UI_PORT", "-1", "must be a number"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, words: str) -> None:
    done = asked(**{name: value})
    assert done.returncode == 2
    assert f"{name} is '{value}'" in done.stderr
    assert words in done.stderr


def test_a_port_that_is_taken_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = asked(UI_PORT=str(port))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} of 127.0.0.1 cannot be used" in done.stderr
    assert "make ui UI_PORT=" in done.stderr


@pytest.mark.airflow
def test_a_signal_ends_it_while_the_week_plays_and_nothing_is_left(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(UI)],
        env=kept(os.environ) | {"UI_PORT": "0", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "playing the demo's week" in line:
                break
        (folder,) = tmp_path.glob("lazaretto-ui-*")
        begun = Servers(tmp_path, 0, {})
        begun.wait("the process that plays", lambda: servers.processes_of(folder))
        for _ in range(2):  # an impatient person
            running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 0, rest
    assert "nothing is left of it" in rest
    assert servers.processes_of(folder) == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path, 0, dict(os.environ))
    yield found
    found.stop(patience=0)


def test_what_ignores_a_polite_signal_and_what_left_its_session_are_ended(
    group: Servers, tmp_path: Path
) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    group.start("stubborn", sys.executable, str(script))
    group.wait("its child", lambda: "ready" in group.tail("stubborn"))
    family = list(group.family())
    assert len(family) == 2
    group.stop(patience=0)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
    assert servers.processes_of(tmp_path) == []


def test_a_part_that_ends_is_named_with_the_end_of_its_log(group: Servers) -> None:
    group.start("scheduler", sys.executable, "-c", "raise SystemExit('no such database')")
    with pytest.raises(ServerError, match="scheduler ended with 1: no such database"):
        group.wait("what never comes", lambda: None)


def test_a_command_that_fails_is_named_with_what_it_printed(group: Servers) -> None:
    with pytest.raises(ServerError, match=r"python-.* ended with 2: .*no_such_file"):
        group.run("python", "no_such_file.py")


def test_what_takes_too_long_is_said(group: Servers) -> None:
    with pytest.raises(ServerError, match="waited 0 s for a token"):
        group.wait("a token", lambda: None, seconds=0)


def test_nothing_of_somebody_s_real_airflow_is_handed_on(tmp_path: Path) -> None:
    mine = {"AIRFLOW_HOME": "/real", "LAZARETTO_STORE": "s3://real", "PATH": "/bin"}
    assert kept(mine) == {"PATH": "/bin"}
