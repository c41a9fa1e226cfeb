"""Text of others on a page: nothing in it is invisible, and it has an end."""

from __future__ import annotations

from lazaretto.text import cut, visible


def shorten(value: object, length: int) -> str:
    """A value as text of at most so many characters, in which nothing is invisible."""
    text = "" if value is None else visible(cut(str(value), length), keep_newlines=True)
    return cut(text, length)
