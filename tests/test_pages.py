"""Whatever a page or a message tells people to type exists: commands, options, values."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pages
import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Options of other programs that pages name in a sentence.
OTHERS = {"--check", "--no-deps", "--extra-index-url", "--resolution"}
PAGES = {path.relative_to(pages.ROOT).as_posix(): path for path in pages.pages()}
SOURCES = {
    path.relative_to(pages.ROOT).as_posix(): path
    for folder in ("src", "operators", "lineage", "plugins", "dags", "docker")
    for kind in ("*.py", "*.html", "*.yaml", "*.yml")
    for path in sorted((pages.ROOT / folder).rglob(kind))
}


def mentioned(text: str) -> list[str]:
    """What sentences name between backticks and begins with `lazaretto`."""
    return [code for code in pages.inline_code(text) if code.startswith("lazaretto ")]


def faults(code: str) -> list[str]:
    """What is wrong with a mentioned command, which may be incomplete."""
    words = shlex.split(code.split(" #", maxsplit=1)[0].replace("'", ""))
    found = pages.fault(words[1:], whole=False)
    return [f"`{code}`: {found}"] if found else []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_block_exists_and_is_whole(page: str) -> None:
    wrong = [
        f"line {block.line}: {line}: {fault}"
        for block in pages.blocks(PAGES[page])
        if block.language in pages.SHELLS
        for line in pages.shell_lines(block)
        for words in pages.lazaretto_commands(line)
        if (fault := pages.fault(words, whole=True))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_that_a_sentence_names_exists(page: str) -> None:
    text = pages.prose(PAGES[page].read_text("utf-8"))
    wrong = [fault for code in mentioned(text) for fault in faults(code)]
    known = pages.options() | OTHERS
    wrong += [
        f"`{code}`"
        for code in pages.inline_code(text)
        if code.startswith("--")
        for name in re.split(r"[/|]", re.split(r"[= ]", code)[0])
        if name not in known
    ]
    assert wrong == []


def test_every_command_that_a_message_names_exists() -> None:
    """Errors, docstrings, templates: where a user is told what to run next."""
    wrong = [
        f"{name}: {fault}"
        for name, path in SOURCES.items()
        for text in texts(path)
        for code in mentioned(text)
        for fault in faults(code)
    ]
    assert wrong == []


def texts(path: Path) -> list[str]:
    """What a source file says to people."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return pages.messages(text)
    return [re.sub(r"\{\{.*?\}\}", "X", text)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lazaretto source keygen vendor --public x.pem", "--public"),
        ("FOO=1 lazaretto source add v --tier reviewed && echo", "--tier"),
        ("cat x | lazaretto sources list", "sources"),
        ("docker compose exec scheduler lazaretto source add --trust-tier good", "needs"),
        ("lazaretto source add vendor --trust-tier excellent", "excellent"),
        ("lazaretto reference fit", "needs"),
        ("lazaretto reference fit trusted.parquet --name", "--name"),
        ("lazaretto init one two three", "takes no"),
        ("lazaretto batch", "needs a command"),
    ],
)
def test_a_wrong_command_is_found(line: str, words: str) -> None:
    (command,) = pages.lazaretto_commands(line)
    assert words in str(pages.fault(command, whole=True))


@pytest.mark.parametrize(
    "line",
    [
        "lazaretto --version",
        "lazaretto source add vendor --trust-tier=REVIEWED --json  # once",
        'lazaretto batch ingest x.parquet --source v || echo "exit code $?"',
        "docker compose exec scheduler lazaretto reference fit --help",
    ],
)
def test_a_right_command_is_none(line: str) -> None:
    (command,) = pages.lazaretto_commands(line)
    assert pages.fault(command, whole=True) is None


def test_installing_a_package_of_that_name_is_no_command() -> None:
    assert list(pages.lazaretto_commands("pip install lazaretto && cd lazaretto")) == []
