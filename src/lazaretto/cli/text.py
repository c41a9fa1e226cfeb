"""Values as the terminal shows them: never parsed as markup, nothing in them obeyed.

A record's text, a source's name in a refused delivery or a file's column name is chosen by whoever
sent it. Printed raw it could move the cursor, rewrite earlier lines or set a hyperlink.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.containers import Lines
from rich.text import Text

from lazaretto.text import cut, visible

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod, OverflowMethod
    from rich.style import Style

_MAX_CELL = 400
_WORD = re.compile(r"^\s+|\S+\s*")


def plain(value: object, *, keep_newlines: bool = False) -> str:
    r"""Shows a value as one line of printable text; see `lazaretto.text.visible`.

    Args:
        value: anything; datetimes are shown in UTC to the second, enums by value, None as a dash.
        keep_newlines: leave line feeds as they are (error messages of several lines).
    """
    return visible(_as_text(value), keep_newlines=keep_newlines)


class Words(Text):
    """Text that wraps between words only: a word that is wider than its place is one to copy."""

    def wrap(
        self,
        console: Console,
        width: int,
        *,
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        tab_size: int = 8,
        no_wrap: bool | None = None,
    ) -> Lines:
        """The lines that it takes, of which a word alone may be too long; see `rich.text.Text`."""
        if overflow == "fold" and not no_wrap:
            return super().wrap(
                console, width, justify=justify, overflow=overflow, tab_size=tab_size
            )
        found = Lines()
        for line in self.split("\n", allow_blank=True):
            for part in line.divide([] if no_wrap else _line_starts(line.plain, width)):
                part.rstrip()
                found.append(part)
        return found


def _line_starts(text: str, width: int) -> list[int]:
    """Where lines begin, but for the first."""
    starts, used = [], 0
    for word in _WORD.finditer(text):
        if used and used + cell_len(word.group().rstrip()) > width:
            starts.append(word.start())
            used = 0
        used += cell_len(word.group())
    return starts


def cell(
    value: object, style: str | Style = "", *, keep_newlines: bool = False, limit: int = _MAX_CELL
) -> Words:
    """Text of a table or a line: `plain`, never parsed as rich markup, cut after 400 characters."""
    return Words(cut(plain(value, keep_newlines=keep_newlines), limit), style=style)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 record``, ``2 records``, ``3 batches``, ``4 entries``."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("ry"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"


def _as_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        kinds = {b"\x89PNG": "PNG image", b"\xff\xd8\xff": "JPEG image"}
        kind = next((name for head, name in kinds.items() if value.startswith(head)), None)
        return str(value) if kind is None else f"{kind}, {len(value):,} bytes"
    return str(value)
