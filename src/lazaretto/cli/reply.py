"""What a command answers: a value for JSON and a view for people; and how both are printed."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType

from lazaretto.cli.text import Words
from lazaretto.redact import safe_text

_WIDTH_WITHOUT_TERMINAL = 160
_MOST_OF_A_TRACEBACK = 100_000


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a command.

    Attributes:
        data: JSON-able value, or a dataclass of such; printed by ``--json``.
        view: what people see; built of `lazaretto.cli.layout` and `cell`, so nothing in it is
            parsed as markup.
        found: something was found or held: exit code 1 instead of 0.
        cannot_say: there was too little to answer from: exit code 4 where nothing was found.
    """

    data: object
    view: RenderableType = field(default_factory=Group)
    found: bool = False
    cannot_say: bool = False


def print_reply(reply: Reply, *, as_json: bool) -> None:
    """Prints the answer on stdout: one JSON document, or the view."""
    if as_json:
        print_json(reply.data)
    else:
        console = _console(stderr=False)
        with console.capture() as capture:
            # Not cropped: what is wider than the terminal is a word to copy, which stays whole.
            console.print(Group(reply.view), crop=False)
        # Tables pad their last column with blanks, which only a terminal with colours needs.
        lines = capture.get().splitlines()
        sys.stdout.writelines(
            f"{line if console.is_terminal else line.rstrip()}\n" for line in lines
        )


def print_json(value: object) -> None:
    """Prints one JSON document; everything outside printable ASCII is escaped."""
    from lazaretto.values import to_json

    sys.stdout.write(
        json.dumps(to_json(value), indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    )


def print_error(message: str) -> None:
    """Prints an error on stderr, marked as such."""
    console = _console(stderr=True)
    shown = Words("error: ", "bold red").append(safe_text(message), "not bold default")
    console.print(Group(shown), crop=False, overflow="ignore")  # a path to copy stays whole


def print_traceback() -> None:
    """Prints the running exception's traceback on stderr: its errors' words are escaped, too."""
    shown = safe_text(traceback.format_exc(), limit=_MOST_OF_A_TRACEBACK)
    sys.stderr.write(f"{shown.rstrip()}\n")


def print_note(message: str) -> None:
    """Prints a remark on stderr: what was done besides the answer."""
    shown = Group(Words(safe_text(message)))
    _console(stderr=True).print(shown, crop=False, overflow="ignore")


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console
