"""The doctor: whatever can be wrong is told, with what to do, and nothing is made by asking."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner
from yard import Yard, blobs

from lazaretto import lineage
from lazaretto.cli.app import app
from lazaretto.errors import NotFoundError
from lazaretto.health.doctor import examine
from lazaretto.health.examined import Line, State, about, examined, ok
from lazaretto.sources.manifest import keygen
from lazaretto.sources.registry import add_key, revoke_key
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.alike
POLICY = """
version: 1
dataset: blobs
columns: {record_id: id, label: label, embedding: vector, payload: [text]}
sources: {require_signature: false}
screen:
  false_quarantine_rate: 0.02
  min_poison_share: 0.5
  detectors: {mahalanobis: {}, knn_label: {k: 5}}
  batch: {alpha: 1.0e-9, hold_when_held_fraction: 0.9}
"""
CONNECTION = "AIRFLOW_CONN_LAZARETTO_DEFAULT"


@pytest.fixture(autouse=True)
def no_airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Airflow is installed here, and not configured, unless a test does that."""
    for name in os.environ:
        if name.startswith(("AIRFLOW", "LAZARETTO", "OPENLINEAGE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def look(yard: Yard, policy: Path | None = None, **more: Any) -> dict[str, list[Line]]:
    """The lines by what they are about."""
    found: dict[str, list[Line]] = {}
    for line in examine(lambda: yard.workspace, policy=policy, **more).lines:
        found.setdefault(line.subject, []).append(line)
    return found


def one(lines: dict[str, list[Line]], subject: str) -> Line:
    (line,) = lines[subject]
    return line


def later(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


def tree(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime for path in folder.rglob("*")}


def test_a_sound_installation_is_well(yard: Yard, policy: Path) -> None:
    yard.judge("one", blobs(60, 5))
    lineage.flush(yard.workspace)
    found = examine(lambda: yard.workspace, policy=policy)
    assert [line for line in found.lines if line.state is not State.OK] == []
    assert found.state is State.OK
    lines = look(yard, policy)
    assert "workspace" in one(lines, "catalog").found
    assert "can judge batches" in one(lines, "reference").found
    assert "at 50 %" in one(lines, "reference").found
    assert "vector can be used" in one(lines, "encoder").found
    assert "in force" in one(lines, "policy").found
    assert "blobs" in one(lines, "policies").found
    agrees = yard.workspace.catalog.engine.dialect.name == "postgresql"
    assert ("agrees with the database's" in one(lines, "clock").found) == agrees


def test_without_a_policy_those_in_force_are_looked_at(yard: Yard) -> None:
    assert "none is in force yet" in one(look(yard), "policies").found
    yard.judge("one", blobs(60, 5))
    lines = look(yard)
    assert "can judge batches" in one(lines, "reference").found
    assert one(lines, "encoder").state is State.OK


def test_where_there_is_no_catalog_it_says_so_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    places = ["--catalog", f"sqlite:///{tmp_path}/work/catalog.db"]
    places += ["--store", str(tmp_path / "work/store")]
    before = tree(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--json", *places])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["state"] == "failure"
    (catalog,) = [line for line in told["lines"] if line["subject"] == "catalog"]
    assert "catalog upgrade" in catalog["found"]
    assert tree(tmp_path) == before


def test_an_older_catalog_is_named_and_left_as_it_is(sqlite_yard: Yard) -> None:
    catalog = sqlite_yard.workspace.catalog
    with catalog.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
    url = catalog.engine.url.render_as_string(hide_password=False)
    done = CliRunner().invoke(
        app, ["doctor", "--catalog", url, "--store", sqlite_yard.workspace.store.root]
    )
    assert done.exit_code == 1
    assert "catalog upgrade" in " ".join(done.stdout.replace("│", " ").split())
    assert Catalog.at(url).version() == "0002"


def test_a_store_of_another_workspace(sqlite_yard: Yard, tmp_path: Path) -> None:
    from lazaretto.storage.workspace import open_workspace

    other = open_workspace(
        catalog_url=f"sqlite:///{tmp_path}/other.db", store=tmp_path / "other-store"
    )
    other.store.put("notes/one", [b"1"])
    opened = open_workspace(
        catalog_url=str(sqlite_yard.workspace.catalog.engine.url), store=other.store.root
    )
    line = one(look(Yard(opened, sqlite_yard.policy, tmp_path)), "store")
    assert line.state is State.FAILURE
    assert "of workspace" in line.found


def test_a_clock_that_is_behind_the_ledger(yard: Yard) -> None:
    line = one(look(yard, now=later(hours=-3)), "clock")
    assert line.state is State.FAILURE
    assert line.found.startswith("it is 2 hours before") or "3 hours" in line.found
    assert "NTP" in str(line.todo)


def test_keys_that_end(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    keys = [keygen()[1] for _ in range(4)]
    add_key(workspace, "vendor-a", keys[0], valid_to=later(days=9, minutes=1))
    assert "vendor-a ends in 9 days" in one(look(sqlite_yard), "keys").found
    assert "source add vendor-a" in str(one(look(sqlite_yard), "keys").todo)
    assert "ended 90 days ago" in one(look(sqlite_yard, now=later(days=99, hours=1)), "keys").found
    # A second key that goes on: nobody has to do anything.
    second = add_key(workspace, "vendor-a", keys[1])
    assert one(look(sqlite_yard), "keys").state is State.OK
    revoke_key(workspace, "vendor-a", second.key_id, reason="lost")
    assert one(look(sqlite_yard), "keys").state is State.WARNING
    add_key(workspace, "vendor-b", keys[2], valid_to=later(days=31))
    assert len(look(sqlite_yard)["keys"]) == 1


def test_open_cases_have_an_age_and_an_end(yard: Yard) -> None:
    assert one(look(yard), "cases").found == "none is open"
    yard.judge("one", blobs(60, 5, flips=6))
    line = one(look(yard, now=later(days=3, minutes=1)), "cases")
    assert (line.state, line.found) == (State.OK, "1 open for blobs, the oldest for 3 days")
    line = one(look(yard, now=later(days=91)), "cases")
    assert line.state is State.WARNING
    assert "quarantine expire" in str(line.todo)


def test_events_that_wait(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(look(yard), "lineage").state is State.OK
    line = one(look(yard, now=later(hours=2)), "lineage")
    assert line.state is State.WARNING
    assert "lineage flush" in str(line.todo)
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert one(look(yard, now=later(hours=2)), "lineage").state is State.OK
    monkeypatch.delenv("OPENLINEAGE_DISABLED")
    lineage.flush(yard.workspace)
    assert "all ledger entries were sent" in one(look(yard, now=later(hours=2)), "lineage").found


@pytest.mark.parametrize(
    ("change", "subject", "state", "words"),
    [
        (("dataset: blobs", "dataset: ["), "policy", State.FAILURE, "policy.yaml"),
        (("rate: 0.02", "rate: 0.01"), "policy", State.WARNING, "in shadow"),
        (("screen:", "embed: {encoder: tabular, model: no.json}\nscreen:"), "encoder", None, ""),
        (("screen:", "screen:\n  reference: others"), "reference", State.FAILURE, "no reference"),
        (("rate: 0.02", "rate: 1.0e-9"), "reference", State.WARNING, "can judge"),
    ],
)
def test_what_is_wrong_with_a_policy(
    sqlite_yard: Yard,
    policy: Path,
    change: tuple[str, str],
    subject: str,
    state: State | None,
    words: str,
) -> None:
    sqlite_yard.judge("one", blobs(60, 5))
    policy.write_text(POLICY.replace(*change))
    line = one(look(sqlite_yard, policy), subject)
    assert line.state is (state or State.FAILURE)
    assert words in line.found
    assert line.todo or words in line.found


def test_a_policy_is_looked_at_without_a_catalog(policy: Path) -> None:
    def nothing() -> Any:
        raise NotFoundError("there is no catalog")

    lines = examine(nothing, policy=policy).lines
    states = {line.subject: line.state for line in lines}
    assert (states["policy"], states["encoder"]) == (State.CANNOT_SAY, State.OK)


def test_a_disk_that_is_nearly_full(sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((2**29, State.WARNING), (2**20, State.FAILURE), (2**40, State.OK)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert {line.state for line in look(sqlite_yard)["disk"]} == {state}


def test_a_bucket_takes_no_disk_of_this_machine(sqlite_yard: Yard) -> None:
    from dataclasses import replace

    remote = replace(sqlite_yard.workspace, store=Store.at("memory://bucket/lazaretto"))
    found = look(Yard(remote, sqlite_yard.policy, sqlite_yard.folder))["disk"]
    assert all("store" not in line.found for line in found)


def test_airflow_that_is_not_configured_is_left_alone(sqlite_yard: Yard, tmp_path: Path) -> None:
    assert "not configured" in one(look(sqlite_yard), "airflow").found
    assert not (tmp_path / "home").exists()


def extra(yard: Yard, **more: str) -> dict[str, str]:
    url = yard.workspace.catalog.engine.url.render_as_string(hide_password=False)
    return {"catalog_url": url, "store": yard.workspace.store.root} | more


@pytest.mark.parametrize("written", ["json", "json in json", "uri"])
def test_the_connection_of_tasks(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    from urllib.parse import urlencode

    def connect(values: dict[str, str]) -> Line:
        text = {
            "json": lambda: json.dumps({"conn_type": "lazaretto", "extra": values}),
            "json in json": lambda: json.dumps({"extra": json.dumps(values)}),
            "uri": lambda: f"lazaretto://?{urlencode(values)}",
        }[written]()
        monkeypatch.setenv(CONNECTION, text)
        return one(look(sqlite_yard), "airflow")

    assert connect(extra(sqlite_yard)).state is State.OK
    line = connect({"store": "s3://bucket/x"})
    assert (line.state, "lacks catalog_url" in line.found) == (State.FAILURE, True)
    line = connect(extra(sqlite_yard, store="/elsewhere"))
    assert (line.state, line.found.endswith("tasks use another store")) == (State.WARNING, True)
    line = connect(extra(sqlite_yard, catalog_url="postgresql://u:hush@db/lazaretto"))
    assert "another catalog" in line.found
    assert "hush" not in f"{line.found}{line.todo}"


def test_a_connection_that_cannot_be_read(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION, "{")
    assert one(look(sqlite_yard), "airflow").state is State.CANNOT_SAY


def test_the_configuration_of_airflow_comes_before_its_connection(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = extra(sqlite_yard)["catalog_url"]
    (tmp_path / "airflow.cfg").write_text(f"[lazaretto]\ncatalog_url = {url}\n")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__LAZARETTO__STORE", sqlite_yard.workspace.store.root)
    assert one(look(sqlite_yard), "airflow").state is State.OK


@pytest.mark.airflow
def test_the_connection_in_the_database_of_airflow(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "airflow"
    home.mkdir()
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    line = one(look(sqlite_yard), "airflow")
    assert (line.state, "not made yet" in line.found) == (State.CANNOT_SAY, True)
    assert list(home.iterdir()) == []

    def airflow(*words: str) -> None:
        command = [sys.executable, "-m", "airflow", *words]
        subprocess.run(command, check=True, capture_output=True)

    airflow("db", "migrate")
    line = one(look(sqlite_yard), "airflow")
    assert (line.state, "no connection" in line.found) == (State.FAILURE, True)
    assert "airflow connections add" in str(line.todo)
    told = json.dumps(extra(sqlite_yard))
    add = ["connections", "add", "lazaretto_default", "--conn-type", "lazaretto"]
    airflow(*add, "--conn-extra", told)
    line = one(look(sqlite_yard), "airflow")
    assert (line.state, "connection lazaretto_default" in line.found) == (State.OK, True)


def test_on_the_base_install_it_cannot_say_which_batches_can_be_judged(
    sqlite_yard: Yard, policy: Path
) -> None:
    """And it says what is missing; no line is lost by it."""
    sqlite_yard.judge("one", blobs(60, 5))
    lineage.flush(sqlite_yard.workspace)
    places = [f"--catalog={extra(sqlite_yard)['catalog_url']}"]
    places += [f"--store={sqlite_yard.workspace.store.root}", f"--policy={policy}", "--json"]
    script = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'faiss', 'scipy', 'airflow', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['lazaretto', 'doctor', *{places!r}]\n"
        "from lazaretto.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    told = {line["subject"]: line for line in json.loads(done.stdout)["lines"]}
    assert done.returncode == 4, done.stdout + done.stderr
    assert told["reference"]["state"] == "cannot say"
    assert "lazaretto[detect]" in told["reference"]["todo"]
    assert told["encoder"]["state"] == told["policy"]["state"] == "ok"


def test_an_error_of_one_look_hides_no_other() -> None:
    def fails() -> Iterator[Line]:
        yield ok("thing", "first")
        raise ZeroDivisionError("deep down")

    found = list(examined("thing", fails))
    assert [line.state for line in found] == [State.OK, State.CANNOT_SAY]
    assert "deep down" in found[1].found


def test_exit_codes_follow_the_worst_line(
    sqlite_yard: Yard, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_yard.judge("one", blobs(60, 5))
    lineage.flush(sqlite_yard.workspace)
    words = ["doctor", f"--catalog={extra(sqlite_yard)['catalog_url']}"]
    words += [f"--store={sqlite_yard.workspace.store.root}", f"--policy={policy}"]
    assert CliRunner().invoke(app, words).exit_code == 0
    monkeypatch.setenv(CONNECTION, "{")
    assert CliRunner().invoke(app, words).exit_code == 4
    policy.write_text(POLICY.replace("rate: 0.02", "rate: 0.01"))
    assert CliRunner().invoke(app, words).exit_code == 1


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-5), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(days=400), "400 days"),
    ],
)
def test_spans_in_words(span: timedelta, words: str) -> None:
    assert about(span) == words
