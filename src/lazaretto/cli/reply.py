"""What a command answers: a value for JSON and a view for people; and how both are printed."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lazaretto.cli.text import cell
from lazaretto.redact import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_WIDTH_WITHOUT_TERMINAL = 160
_MOST_OF_A_TRACEBACK = 100_000


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a command.

    Attributes:
        data: JSON-able value, or a dataclass of such; printed by ``--json``.
        view: what people see; built with `cell`, so nothing in it is parsed as markup.
        found: something was found or held: exit code 1 instead of 0.
        cannot_say: there was too little to answer from: exit code 4 where nothing was found.
    """

    data: object
    view: RenderableType = field(default_factory=Group)
    found: bool = False
    cannot_say: bool = False


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    whole: int = 0,
) -> Table:
    """A table of cells; long ones are folded over lines, never cut.

    Args:
        columns: heads.
        rows: values; one may be a `cell` already.
        title: above the table.
        whole: so many columns at the left are not folded: ids to copy.
    """
    table = Table(
        title=None if title is None else cell(title), title_justify="left", header_style="bold"
    )
    for position, column in enumerate(columns):
        table.add_column(cell(column), overflow="fold", no_wrap=position < whole)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return table


def paged(table: RenderableType, onward: str | None) -> RenderableType:
    """A table, and below it what shows the next page; None where it is whole."""
    return table if onward is None else Group(table, cell(f"more: add {onward}"))


def facts(values: Mapping[str, object], *, title: str | None = None) -> Table:
    """Name and value pairs, one per line."""
    table = Table(
        title=None if title is None else cell(title),
        title_justify="left",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(cell(name), cell(value))
    return table


def print_reply(reply: Reply, *, as_json: bool) -> None:
    """Prints the answer on stdout: one JSON document, or the view."""
    if as_json:
        print_json(reply.data)
    else:
        console = _console(stderr=False)
        with console.capture() as capture:
            console.print(reply.view)
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
    console.print(cell("error:", "bold red"), safe_text(message))


def print_traceback() -> None:
    """Prints the running exception's traceback on stderr: its errors' words are escaped, too."""
    shown = safe_text(traceback.format_exc(), limit=_MOST_OF_A_TRACEBACK)
    sys.stderr.write(f"{shown.rstrip()}\n")


def print_note(message: str) -> None:
    """Prints a remark on stderr: what was done besides the answer."""
    _console(stderr=True).print(safe_text(message))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console
