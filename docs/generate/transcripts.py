"""Runs the pages' commands and keeps their outputs true: `python docs/generate/transcripts.py`.

A block of kind ``console`` has commands behind ``$`` and what they print. The pages of `PAGES` are
run in one shell, in that order, so that later ones go on from earlier ones; each of `ALONE` is run
in a shell of its own. Ids are made anew in
every run: an id in a page stands for the one that is now printed in its place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

DOCS = Path(__file__).parents[1]
PAGES = (
    "tutorial/first-gate.md",
    "how-to/review-quarantine.md",
    "how-to/watch-a-source.md",
    "how-to/respond-to-an-incident.md",
    "how-to/lineage-of-other-tools.md",
    "how-to/register-a-model.md",
    "how-to/sign-deliveries.md",
    "how-to/drift-or-poison.md",
    "how-to/operations.md",
    "how-to/trust-sources.md",
)
ALONE = ("how-to/own-data.md", "how-to/instruction-data.md")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(
    # A table may fold one.
    r"(?P<kind>vendor|shop|crm|scans|press|logs|desk|labs)/(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])"
    r"|(?P<kind_>case|recall|publication|decision|incident)-[0-9a-f]{16}"
    r"|(?<=@)(?P<version>[0-9]+)-[0-9a-f]{16}"
)
_PERSON = re.compile(r"os:[\w.-]+@[\w.-]+")
_END = "-- the command ended with "


@dataclass(slots=True)
class Shell:
    """A shell that goes on from command to command, in a folder with the pages' scripts.

    Attributes:
        folder: an empty one.
        programs: folder of the programs that it finds first.
        ids: the id of this run for an id of a page.
    """

    folder: Path
    programs: Path = Path(sys.executable).parent
    ids: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] = field(init=False)
    _input: IO[str] = field(init=False)
    _output: IO[str] = field(init=False)

    def __post_init__(self) -> None:
        for script in DOCS.glob("*/*_data.py"):
            shutil.copy(script, self.folder)
        environment = {
            "HOME": str(self.folder),
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "120",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),
        }
        self._process = subprocess.Popen(
            ["/bin/bash", "--norc"],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if value},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._input = cast("IO[str]", self._process.stdin)
        self._output = cast("IO[str]", self._process.stdout)

    def run(self, command: str) -> tuple[str, int]:
        """Runs a command; gives what it printed, and its exit code."""
        self._input.write(f"{command}\necho '{_END}'$?\n")
        self._input.flush()
        lines = []
        for line in self._output:
            if line.startswith(_END):
                return "".join(lines), int(line.removeprefix(_END))
            lines.append(line)
        raise RuntimeError(f"the shell ended while running {command!r}")

    def renamed(self, text: str) -> str:
        """The text with the ids of this run in place of a page's."""
        return _ID.sub(lambda match: self.ids.get(match.group(), match.group()), text)

    def close(self) -> None:
        """Ends the shell."""
        self._input.close()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a page, what the page says that it prints, and what it did print."""

    command: str
    told: str
    printed: str
    code: int

    @property
    def differs(self) -> bool:
        """Whether the page says something else than was printed, apart from ids and numbers."""
        return _shape(self.told) != _shape(self.printed)


def play(shell: Shell, page: Path, *, update: bool = False) -> list[Step]:
    """Runs the commands of a page; with `update`, writes what they print, unless one fails."""
    steps: list[Step] = []

    def run_block(match: re.Match[str]) -> str:
        lines = []
        for command, told in _commands(match.group(1)):
            now = shell.renamed(command)
            printed, code = shell.run(now)
            printed = printed.replace(str(shell.folder), "/home/alice")
            printed = _PERSON.sub(_somebody, printed)
            printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
            old, new = _ids(told), _ids(printed)
            for kind, ids in old.items():
                shell.ids |= dict(zip(ids, new.get(kind, []), strict=False))
            steps.append(Step(now, told, printed, code))
            lines.append(f"$ {now}\n{printed}")
        return f"```console\n{''.join(lines)}```"

    played = _BLOCK.sub(run_block, page.read_text("utf-8"))
    if update and not any(step.code for step in steps):
        page.write_text(played, encoding="utf-8")
    return steps


def _commands(block: str) -> list[tuple[str, str]]:
    """Commands and what follows each."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def _somebody(person: re.Match[str]) -> str:
    """In place of who runs this and where, somebody whose name is as long: tables stay straight."""
    width = len(person.group())
    return ("os:alice@laptop" if width >= 15 else "os:ann@pc").ljust(width)


def _ids(text: str) -> dict[str, list[str]]:
    """The ids in a text by their kind, each once, in order."""
    found: dict[str, list[str]] = {}
    for match in _ID.finditer(text):
        ids = found.setdefault(match["kind"] or match["kind_"] or match["version"], [])
        if match.group() not in ids:
            ids.append(match.group())
    return found


def _shape(text: str) -> str:
    """Words apart from ids, numbers, spaces and the lines of tables: the same in every run."""
    words = re.sub(r"[^\w-]+", " ", _PERSON.sub("", text)).split()
    # Long ids are folded over lines, so what is left of one may be short, or without a digit.
    # So are paths, at a place that depends on the folder: the words are joined again.
    return "".join(word for word in words if not re.search(r"\d|^[a-f]+$", word))


def main() -> int:
    """Writes what every command prints into the pages; stops at the first that fails.

    Args name pages of `ALONE`; without any, all pages are run.
    """
    wanted = [(name,) for name in sys.argv[1:]] or [PAGES, *((name,) for name in ALONE)]
    return 0 if all(_update(pages) for pages in wanted) else 1


def _update(pages: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder).resolve())
        try:
            for name in pages:
                for step in play(shell, DOCS / name, update=True):
                    print(f"{name}: $ {step.command}")
                    if step.code:
                        print(f"exit code {step.code}; {name} is left as it was\n{step.printed}")
                        return False
        finally:
            shell.close()
    return True


if __name__ == "__main__":
    sys.exit(main())
