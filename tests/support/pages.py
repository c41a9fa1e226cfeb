"""What pages and messages tell people to type: code blocks, commands of `lazaretto`, options."""

from __future__ import annotations

import ast
import atexit
import inspect
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from forked_cli import forked_cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
SHELLS = ("bash", "console", "sh")
_FENCE = re.compile(r"^([ ]*)```([^\n`]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_HTML = re.compile(r"<code>(.+?)</code>", re.DOTALL)
_OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}
_PLACEHOLDER = re.compile(r"\[OPTIONS\]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path from the root.
        line: where it begins, from 1.
        language: the first word behind the fence; may be empty.
        title: its ``title="…"``; may be empty.
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """How a list of blocks names it: page, language and title, first line."""
        first = next((line for line in self.text.splitlines() if line.strip()), "")
        return f"{self.page} {self.title or self.language}: {first.strip()[:60]}"


def pages() -> list[Path]:
    """Every page that people read, the generated ones included."""
    docs = [p for p in (ROOT / "docs").rglob("*.md") if "generate" not in p.parts]
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docker").glob("*.md")), *sorted(docs)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, rest = match[2].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        line = text.count("\n", 0, match.start()) + 1
        path = page.relative_to(ROOT).as_posix()
        found.append(Block(path, line, language, title[1] if title else "", match[3]))
    return found


def prose(text: str) -> str:
    """A page without its blocks."""
    return _FENCE.sub("", text)


def inline_code(text: str) -> list[str]:
    """What stands between backticks, or in ``<code>``, each on one line."""
    found = [match[2] for match in _INLINE.finditer(text)] + _HTML.findall(text)
    return [" ".join(code.split()) for code in found]


def shell_lines(block: Block) -> list[str]:
    """The commands of a shell block, continued lines joined, without what they print."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def lazaretto_commands(line: str) -> Iterator[list[str]]:
    """The words behind each `lazaretto` that a shell line runs."""
    lexer = shlex.shlex(_without_inner_commands(line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _OPERATORS:
            command.append(word)
            continue
        while command and re.match(r"\w+=", command[0]):  # variables for this command alone
            command = command[1:]
        at = next((i for i, w in enumerate(command) if Path(w).name == "lazaretto"), None)
        if at == 0 or (at and command[0] == "docker"):
            yield command[at + 1 :]
        command = []


def _without_inner_commands(line: str) -> str:
    """A shell line with a word in place of each ``$(…)``."""
    while (start := line.find("$(")) >= 0:
        depth, end = 0, start + 1
        while end < len(line):
            depth += {"(": 1, ")": -1}.get(line[end], 0)
            end += 1
            if depth == 0:
                break
        line = f"{line[:start]}X{line[end:]}"
    return line


def messages(source: str) -> list[str]:
    """The texts of a Python file: strings as they come out, with X for what is filled in."""
    found, parts = [], set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
            pieces = [v.value if isinstance(v, ast.Constant) else "X" for v in node.values]
            found.append("".join(str(piece) for piece in pieces))
        elif isinstance(node, ast.Constant) and id(node) not in parts:
            found += [node.value] if isinstance(node.value, str) else []
    return found


@cache
def application() -> Any:
    """The command line as one tree of commands."""
    from typer.main import get_command

    from lazaretto.cli.app import app

    return get_command(app)


@cache
def options() -> frozenset[str]:
    """Every option of every command."""
    return frozenset(_options(application()))


def _options(command: Any) -> Iterator[str]:
    yield from ("--help", "-h")
    for parameter in command.params:
        yield from (o for o in (*parameter.opts, *parameter.secondary_opts) if o.startswith("-"))
    for child in getattr(command, "commands", {}).values():
        yield from _options(child)


def fault(words: Sequence[str], *, whole: bool) -> str | None:
    """What is wrong with a command that a page shows; None if nothing.

    Args:
        words: what follows `lazaretto`.
        whole: whether it must be complete: what a reader copies, not what a sentence mentions.
    """
    command, rest, path = application(), list(words), "lazaretto"
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"{path} has no command {rest[0]!r}"
        command = command.commands[rest[0]]
        path += f" {rest.pop(0)}"
    if hasattr(command, "commands") and whole and not rest:
        return f"{path} needs a command"
    rest = [word for word in rest if not _PLACEHOLDER.fullmatch(word)]
    if not whole and rest and rest[-1].startswith("--"):  # a sentence may name an option alone
        known = next((p for p in command.params if rest[-1] in (*p.opts, *p.secondary_opts)), None)
        rest += ["X"] if known and not getattr(known, "is_flag", False) else []
    context = command.context_class(command, info_name=path)
    parser = command.make_parser(context)
    try:
        values, extra, _ = parser.parse_args(rest)
    except Exception as error:
        return f"{path}: {error.format_message() if hasattr(error, 'format_message') else error}"
    if extra:
        return f"{path} takes no {extra!r}"
    return _wrong_value(command, path, values, whole=whole and "help" not in values)


def _wrong_value(command: Any, path: str, values: dict[str, Any], *, whole: bool) -> str | None:
    for parameter in command.params:
        value = values.get(parameter.name)
        if whole and parameter.required and value in (None, (), []):
            return f"{path} needs {parameter.opts[0]}"
        known = _choices(command, parameter.name)
        for one in value if isinstance(value, list | tuple) else [value]:
            if known and one is not None and str(one).lower() not in known:
                return f"{path} {parameter.opts[0]}: {one!r} is none of {sorted(known)}"
    return None


def _choices(command: Any, name: str) -> set[str]:
    """The values that a parameter takes, in lower case; none where it takes any."""
    declared = inspect.signature(command.callback or print).parameters.get(name)
    kinds = [get_args(declared.annotation)[0]] if declared and get_args(declared.annotation) else []
    kinds += [inner for kind in kinds for inner in get_args(kind)]
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    return {str(member.value).lower() for kind in enums for member in kind}


@cache
def quick_commands() -> Path:
    """The folder of a `lazaretto` that starts quickly; see `forked_cli`."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forked_cli())


def run_lines(
    text: str, folder: Path, *, installed: bool = False, **environment: str
) -> list[tuple[str, int, str]]:
    """Runs the lines of a shell block one by one, in one shell; a missing program is an error.

    Args:
        text: the block.
        folder: where the shell is.
        installed: `lazaretto` is the installed program; default: a fork of a process that is ready.
        environment: of the shell, in addition.

    Returns:
        For each line: what was run, its exit code, and what it printed.
    """
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    first = [] if installed else [str(quick_commands())]
    mark = "-- the line ended with "
    script = "".join(f"{line}\necho '{mark}'$?\n" for line in lines)
    done = subprocess.run(
        ["/bin/bash", "--norc"],
        cwd=folder,
        input=script,
        env={
            "HOME": str(folder),
            "PATH": ":".join([*first, str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    parts = re.split(rf"^{mark}(\d+)\n", done.stdout, flags=re.MULTILINE)
    return [
        (line, int(code), printed)
        for line, printed, code in zip(lines, parts[::2], parts[1::2], strict=False)
    ]
