"""Text that somebody else wrote, made safe to show: escaped and bounded, in this one place.

A record's value, a file's name or a library's error may hold what a terminal or a log obeys: escape
sequences, marks that reverse the direction of text, line breaks that forge a line of their own.
"""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"


def visible(text: str, *, keep_newlines: bool = False) -> str:
    r"""Shows what cannot be seen: the text with escapes such as ``\x1b`` for invisible characters.

    Escaped are control characters (C0, C1, DEL), marks of direction, characters without width, line
    and paragraph separators, half surrogate pairs and code points without a character. What is left
    can be printed, encoded as UTF-8 and stored in any database.

    Args:
        text: any text.
        keep_newlines: leave line feeds as they are, for text of several lines.

    Examples:
        >>> visible("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        or unicodedata.category(character) == "Zs"  # no-break and other wide spaces
        or (keep_newlines and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text; an ellipsis stands for what was cut off."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + ELLIPSIS


def excerpt(value: object, limit: int = 200) -> str:
    """The beginning of a value as one line that can be shown: `visible`, then `cut`.

    Args:
        value: anything; ``str(value)`` is shown.
        limit: most characters of the result.
    """
    # Cut before, too: escaping a long text only to throw it away takes long.
    return cut(visible(cut(str(value), limit)), limit)
