"""With --json stdout is one JSON document, whatever goes wrong and in whichever command."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.cli.command import Needs, command
from lazaretto.cli.entry import _run
from lazaretto.cli.session import Session  # noqa: TC001  typer reads annotations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lazaretto.cli.reply import Reply

SLOW = {"demo"}
"""Commands that begin to work before anything can be wrong with what they were told."""


def commands() -> dict[str, Any]:
    found = {str(c.name): c.callback for c in app.registered_commands}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for one in group.typer_instance.registered_commands:
            found[f"{group.name} {one.name}"] = one.callback
    return found


COMMANDS = commands()


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """Runs a command line as the console script does, in an empty folder without a catalog."""
    monkeypatch.chdir(tmp_path)
    for name in ("CATALOG_URL", "STORE", "POLICY"):
        monkeypatch.delenv(f"LAZARETTO_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*words: str) -> tuple[int, Any]:
        monkeypatch.setattr("sys.argv", ["lazaretto", *words])
        code = _run()
        out = capsys.readouterr().out
        document = json.loads(out)  # one document: what follows it would not be read
        assert out.isascii()
        return code, document

    return run


def required(callback: Any) -> list[tuple[str, Any]]:
    """What a command must be given: name of the option (empty: an argument) and its type."""
    found = []
    for parameter in inspect.signature(callback).parameters.values():
        if parameter.default is inspect.Parameter.empty:
            kind, info = get_args(parameter.annotation)[:2]
            declared = [text for text in info.param_decls or () if text.startswith("--")]
            name = f"--{parameter.name.replace('_', '-')}"
            is_argument = isinstance(info, typer.models.ArgumentInfo)
            found.append(("" if is_argument else (declared or [name])[0], kind))
    return found


def typed(callback: Any) -> list[str]:
    """Options whose values are more than text."""
    found = []
    for parameter in inspect.signature(callback).parameters.values():
        kind, info = get_args(parameter.annotation)[:2]
        kinds = get_args(kind) if get_origin(kind) not in (None, list) else (kind,)
        plain = {str, bool, list[str]} & set(kinds) or "Path" in str(kind)
        if not plain and isinstance(info, typer.models.OptionInfo):
            declared = [text for text in info.param_decls or () if text.startswith("--")]
            found.append((declared or [f"--{parameter.name.replace('_', '-')}"])[0])
    return found


def given(callback: Any) -> list[str]:
    """Words that fit, as far as the parser can tell."""
    words = []
    for option, kind in required(callback):
        value = {int: "1", float: "1"}.get(kind, "2026-03-01" if "datetime" in str(kind) else "x@1")
        words += [option, value] if option else [value]
    return words


def is_error(document: Any) -> bool:
    return set(document) == {"error"} and set(document["error"]) == {"type", "code", "message"}


def test_the_walk_sees_every_command() -> None:
    assert len(COMMANDS) > 50
    assert required(COMMANDS["trace source"]) == [("", str)]
    assert {"--since", "--until"} <= set(typed(COMMANDS["trace source"]))
    assert "--limit" in typed(COMMANDS["batch list"])
    assert "--expires" in typed(COMMANDS["manifest sign"])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option(name: str, ask: Callable[..., tuple[int, Any]]) -> None:
    for words in (["--no-such-option", "--json"], ["--json", "--no-such-option=1"]):
        code, document = ask(*name.split(), *words)
        assert code == 2
        assert is_error(document)


@pytest.mark.parametrize("name", [name for name in COMMANDS if required(COMMANDS[name])])
def test_a_missing_argument(name: str, ask: Callable[..., tuple[int, Any]]) -> None:
    code, document = ask(*name.split(), "--json")
    assert code == 2
    assert is_error(document)
    assert "Missing" in document["error"]["message"]


@pytest.mark.parametrize("name", [name for name in COMMANDS if typed(COMMANDS[name])])
def test_a_value_of_another_kind(name: str, ask: Callable[..., tuple[int, Any]]) -> None:
    for option in typed(COMMANDS[name]):
        for value in ("nonsense", "2026-3-1", "\ud800", ""):
            code, document = ask(*name.split(), *given(COMMANDS[name]), option, value, "--json")
            assert code == 2, (option, value, document)
            assert is_error(document), (option, value)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SLOW])
def test_nothing_is_there(name: str, ask: Callable[..., tuple[int, Any]]) -> None:
    """No catalog, no store, no policy, no file: most commands fail, none of them silently."""
    code, document = ask(*name.split(), *given(COMMANDS[name]), "--json")
    assert is_error(document) == (code not in (0, 1, 4) or "error" in document)


@pytest.mark.parametrize("words", [[], ["batch"], ["nothing"], ["batch", "nothing"]])
def test_no_command(words: list[str], ask: Callable[..., tuple[int, Any]]) -> None:
    code, document = ask(*words, "--json")
    assert code == 2
    assert is_error(document)


def test_an_interrupted_command() -> None:
    one = typer.Typer(pretty_exceptions_enable=False)

    def stop(session: Session) -> Reply:
        """Stop."""
        raise KeyboardInterrupt

    command(one, "stop", needs=Needs.NOTHING)(stop)
    result = CliRunner().invoke(one, ["--json"])
    assert result.exit_code == 130
    assert is_error(json.loads(result.stdout))
