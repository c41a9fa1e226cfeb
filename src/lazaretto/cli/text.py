"""Text from outside, made safe for a terminal: no escape sequences, no markup, no bidi tricks.

A record's text, a source's name in a refused delivery or a file's column name is chosen by whoever
sent it. Printed raw it could move the cursor, rewrite earlier lines or set a hyperlink.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from rich.style import Style

_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_MAX_CELL = 400


def plain(value: object, *, keep_newlines: bool = False) -> str:
    r"""Shows a value as one line of printable text.

    Control characters (C0, C1, DEL), bidirectional controls and zero-width characters become
    visible escapes such as ``\x1b``; lone surrogates too, since no stream can encode them.

    Args:
        value: anything; datetimes are shown in UTC to the second, enums by value, None as a dash.
        keep_newlines: leave line feeds as they are (error messages of several lines).
    """

    def escape(match: re.Match[str]) -> str:
        character = match.group()
        if keep_newlines and character == "\n":
            return character
        return character.encode("unicode_escape").decode("ascii")

    text = _INVISIBLE.sub(escape, _as_text(value))
    return "".join(c if unicodedata.category(c) != "Cs" else f"\\u{ord(c):04x}" for c in text)


def cell(value: object, style: str | Style = "", *, keep_newlines: bool = False) -> Text:
    """A table cell: `plain` text, never parsed as rich markup, cut after 400 characters."""
    text = plain(value, keep_newlines=keep_newlines)
    if len(text) > _MAX_CELL:
        text = text[:_MAX_CELL] + "…"
    return Text(text, style=style, overflow="fold")


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 record``, ``2 records``, ``3 batches``."""
    ending = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{ending}"


def _as_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
