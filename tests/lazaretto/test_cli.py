"""What holds for every command: start-up, exit codes, JSON, safe text, reference pages."""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy.exc
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner
from yard import blobs

from lazaretto.cli.app import app
from lazaretto.cli.application import COMMANDS, NOUNS
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts, grid
from lazaretto.cli.reply import Reply  # noqa: TC001
from lazaretto.cli.session import Session  # noqa: TC001  typer reads annotations
from lazaretto.cli.text import plain
from lazaretto.errors import DeliveryError, LedgerError, PolicyError, SystemFaultError, UsageError
from lazaretto.lazy import few_collections

ROOT = Path(__file__).parents[2]
HEAVY = ("airflow", "alembic", "deltalake", "numpy", "openlineage", "pandera", "polars", "pyarrow")
HEAVY += ("pydantic", "securesystemslib", "sklearn", "sqlalchemy", "torch", "fsspec")


def commands() -> list[tuple[str, typer.models.CommandInfo]]:
    found = [(str(c.name), c) for c in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += [(f"{group.name} {c.name}", c) for c in group.typer_instance.registered_commands]
    return found


def test_help_loads_nothing_heavy():
    assert set(HEAVY) & loaded_by("--help") == set()


def loaded_by(*words: str, **environment: str) -> set[str]:
    """Modules that the console script has loaded in the end."""
    script = (
        "import sys; sys.argv = ['lazaretto', *sys.argv[1:]]\n"
        "from lazaretto.cli.entry import _run; _run(); print('LOADED', *sys.modules)"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return set(done.stdout.splitlines()[-1].split())


def test_a_command_loads_its_own_noun_alone():
    nouns = {f"lazaretto.cli.{name}" for name in (*NOUNS, *COMMANDS)}
    assert nouns & loaded_by("source", "--help") == {"lazaretto.cli.source"}
    assert nouns & loaded_by("doctor", "--help") == {"lazaretto.cli.doctor"}
    assert nouns & loaded_by("--help") == nouns
    assert nouns & loaded_by("no-such-noun") == nouns


def test_a_small_delivery_loads_no_more_than_it_needs(sqlite_yard, tmp_path):
    """Half of its time is loading: each of these would take milliseconds of it for nothing."""
    yard, file = sqlite_yard, tmp_path / "policy.yaml"
    file.write_text(json.dumps(yard.policy.model_dump(mode="json")))  # JSON is YAML, too
    places = {
        "LAZARETTO_CATALOG_URL": str(yard.workspace.catalog.engine.url),
        "LAZARETTO_STORE": yard.workspace.store.root,
        "LAZARETTO_POLICY": str(file),
    }
    delivery = yard.deliver("small", blobs(60, 5))
    loaded = loaded_by("batch", "ingest", str(delivery), "--source", "vendor-a", **places)
    assert "lazaretto.stages.admit" in loaded, "it went all the way"
    needless = {"torch", "sklearn", "polars", "alembic", "openlineage", "jinja2", "scipy"}
    # Pandas is none of them: pyarrow loads it by itself, where it is installed.
    needless |= {"pyarrow.dataset", "pyarrow.csv", "rich.progress", "lazaretto.batch._child"}
    needless |= {"lazaretto.cli.trace", "lazaretto.lineage"}
    assert needless & loaded == set()


def test_no_look_for_garbage_within_a_small_delivery():
    before = gc.get_threshold()
    with few_collections():
        assert gc.get_threshold()[0] >= 1_000_000
    assert gc.get_threshold() == before


@pytest.mark.parametrize(("name", "info"), commands(), ids=[name for name, _ in commands()])
def test_every_command_has_json_debug_and_help_for_each_option(name, info):
    parameters = inspect.signature(info.callback).parameters
    assert {"json", "debug"} <= set(parameters)
    assert inspect.getdoc(info.callback)
    help_of = {p.name: p.annotation.__metadata__[0].help for p in parameters.values()}
    assert [p for p, text in help_of.items() if not text] == []
    assert CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0


def test_the_architecture_page_s_commands_are_there():
    names = {name for name, _ in commands()}
    promised = {
        "catalog": "upgrade check",
        "source": "add list revoke keygen",
        "manifest": "sign verify",
        "policy": "check schema",
        "reference": "fit compare promote list show",
        "batch": "receive validate embed screen gate admit show",
        "quarantine": "list show release reject relabel reweight undo publish",
        "dataset": "log snapshot recall export sanitize",
        "model": "register list bom",
        "trace": "source batch record model key policy reference decision dataset schema",
        "lineage": "ingest check flush",
        "ledger": "verify checkpoint",
    }
    wanted = {f"{noun} {verb}" for noun, verbs in promised.items() for verb in verbs.split()}
    assert (wanted | {"init", "doctor", "demo"}) - names == set()


def failing(error: BaseException) -> typer.Typer:
    one = typer.Typer(pretty_exceptions_enable=False)

    def fail(session: Session) -> Reply:
        """Fail."""
        raise error

    command(one, "fail", needs=Needs.NOTHING)(fail)
    return one


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("no such case"), 2, "no such case"),
        (PolicyError("p.yaml:3: detectors.foo"), 2, "p.yaml:3"),
        (DeliveryError("the key is unknown", code="unknown_key"), 1, "(unknown_key)"),
        (SystemFaultError("the store is away"), 3, "the store is away"),
        (LedgerError("entry 7 was edited"), 3, "entry 7"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 2, "lazaretto[detect]"),
        (OSError(28, "No space left on device"), 3, "No space left"),
        (ZeroDivisionError("division by zero"), 3, "--debug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(error, code, told):
    result = CliRunner().invoke(failing(error), [])
    assert result.exit_code == code
    assert told in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_debug_shows_the_traceback():
    result = CliRunner().invoke(failing(ValueError("deep down")), ["--debug"])
    assert result.exit_code == 3
    assert "Traceback (most recent call last)" in result.stderr


def test_an_error_is_one_json_document_too():
    result = CliRunner().invoke(failing(DeliveryError("seen before", code="replay")), ["--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "error": {
            "type": "DeliveryError",
            "code": "replay",
            "message": "delivery refused (replay): seen before",
        }
    }


def test_a_database_error_does_not_show_statement_or_parameters():
    error = sqlalchemy.exc.OperationalError(
        "SELECT secret", {"key": "s3cret"}, Exception("disk I/O error")
    )
    result = CliRunner().invoke(failing(error), [])
    assert result.exit_code == 3
    assert "disk I/O error" in result.stderr
    assert "ecret" not in result.stderr


HOSTILE = "\x1b]8;;http://evil\x07click\x1b[2J[red]bold[/red]\u202etxt\r\n\x9b31m\u2028\ud800"


@given(st.text())
def test_plain_text_cannot_steer_a_terminal(text):
    shown = plain(text)
    shown.encode("utf-8")
    assert not any(
        ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\u202e\u200b" for c in shown
    )


def test_tables_show_hostile_text_as_text():
    console = Console(
        record=True,
        width=200,
        force_terminal=True,
        color_system="truecolor",
        file=io.StringIO(),
    )
    console.print(grid([f"h{HOSTILE}"], [[HOSTILE]], title=HOSTILE))
    console.print(facts({HOSTILE: HOSTILE}))
    shown = console.export_text()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "[red]bold[/red]" in shown
    assert "\\x1b[2J" in shown


def test_hostile_text_in_an_error_is_escaped():
    result = CliRunner().invoke(failing(UsageError(f"column {HOSTILE}")), [])
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr
    assert "[red]bold[/red]" in result.stderr


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from lazaretto.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_a_usage_error_of_the_parser_is_exit_code_2():
    result = run("source", "revoke")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Missing argument" in result.stderr


def test_an_unreachable_store_folder_is_exit_code_3(tmp_path):
    file = tmp_path / "a-file"
    file.write_text("")
    add = ("source", "add", "vendor", "--trust-tier", "reviewed")
    result = run(*add, LAZARETTO_CATALOG_URL=f"sqlite:///{file}/catalog.db")
    assert result.returncode == 3
    assert "catalog" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_policy_is_checked_where_there_is_no_catalog_yet(tmp_path):
    """The first thing that a newcomer does; whether the policy is in force cannot be said."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ndataset: digits\ncolumns: {embedding: embedding}\n")
    place = f"sqlite:///{tmp_path}/catalog.db"
    done = run("policy", "check", str(policy), "--json", LAZARETTO_CATALOG_URL=place)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["in_force"] is None
    assert not (tmp_path / "catalog.db").exists()


def test_a_pipe_that_closes_early_is_no_error(tmp_path):
    command_line = (
        f"{sys.executable} -c 'from lazaretto.cli import main; main()' policy schema | head -c 1"
    )
    result = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command_line],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0


def test_no_colour_reaches_a_pipe():
    assert "\x1b" not in run("--help").stdout


def on_a_terminal(**environment: str) -> str:
    """What `lazaretto policy schema` shows on a terminal."""
    master, slave = pty.openpty()
    code = "from lazaretto.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "policy", "schema"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        | {"TERM": "xterm-256color"}
        | environment,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_gets_colour_unless_no_color_is_set():
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    assert colour.search(on_a_terminal())
    assert not colour.search(on_a_terminal(NO_COLOR="1"))


def test_every_command_that_a_message_or_a_page_names_exists():
    known = {name for name, _ in commands()} | {name.split()[0] for name, _ in commands()}
    named = re.compile(r"`lazaretto ([a-z]+(?: [a-z][a-z-]+)?)")
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
    files += [
        p for room in ("operators", "lineage", "plugins") for p in ROOT.glob(f"{room}/**/*.*")
    ]
    wrong = [
        f"{file.relative_to(ROOT)}: lazaretto {words}"
        for file in files
        if file.suffix in {".py", ".md", ".html"}
        for words in named.findall(file.read_text("utf-8"))
        if words not in known and words.split()[0] not in {"init", "doctor", "demo"}
    ]
    assert wrong == []
