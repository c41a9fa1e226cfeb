"""JSON as it is exported, an array of objects or objects one after the other, as JSON Lines.

Only the places where an object begins and ends are looked for. Whether it is JSON is for the reader
of JSON Lines to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lazaretto.batch._source import line_too_long
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What counts outside of a text; and the end of a text.
_OUTSIDE = re.compile(rb'["\[\]{}\r\n]')
_INSIDE = re.compile(rb'["\\\r\n]')
_BLANK = b" \t\r\n"


def as_lines(blocks: Iterator[bytes], name: str, longest: int) -> Iterator[bytes]:
    r"""Each object as a line.

    Args:
        blocks: the file.
        name: of the delivery, for messages.
        longest: bytes that one object may have.

    Raises:
        DeliveryError: ``unreadable``: this is neither an array of objects nor objects;
            ``line_too_long``; ``truncated``: the end is missing.

    Example:
        >>> list(as_lines(iter([b'[{"a": 1},\n {"a":', b" 2}]"]), "x.json", 100))
        [b'{"a": 1}\n', b'{"a": 2}\n']
    """
    splitter = _Splitter(name, longest)
    for block in blocks:
        yield from splitter.take(block)
    splitter.end()


class _Splitter:
    """Where it stands in a file."""

    def __init__(self, name: str, longest: int) -> None:
        self._name, self._longest = name, longest
        self._array: bool | None = None  # None: nothing has come yet
        self._closed = False
        self._comma = True  # whether an object may come
        self._depth = 0
        self._in_text = self._escaped = False
        self._object = bytearray()

    def take(self, block: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(block):
            if self._depth == 0:
                at = self._between(block, at)
            else:
                at = self._within(block, at)
                if self._depth == 0:
                    yield bytes(self._object) + b"\n"
                    self._object.clear()
            if len(self._object) > self._longest:
                raise line_too_long(self._name, self._longest)

    def end(self) -> None:
        """Looks whether all is closed."""
        if self._depth or (self._array and not self._closed):
            raise DeliveryError(
                f"{self._name}: the JSON ends before it is closed; send it again", code="truncated"
            )

    def _between(self, block: bytes, at: int) -> int:
        """Takes one character between objects."""
        char = block[at : at + 1]
        if char in _BLANK:
            return at + 1
        if self._array is None:
            self._array = char == b"["
            if self._array:
                return at + 1
        if char == b"{" and not self._closed and (self._comma or not self._array):
            self._depth, self._comma = 1, False
            self._object += char
        elif char == b"," and self._array and not self._comma and not self._closed:
            self._comma = True
        elif char == b"]" and self._array and not self._closed:
            self._closed = True
        else:
            raise DeliveryError(
                f"{self._name}: it is neither an array of JSON objects nor one object per line",
                code="unreadable",
            )
        return at + 1

    def _within(self, block: bytes, at: int) -> int:
        """Takes what belongs to an object, up to the next character that counts."""
        if self._escaped:
            self._object += block[at : at + 1]
            self._escaped = False
            return at + 1
        found = (_INSIDE if self._in_text else _OUTSIDE).search(block, at)
        if found is None:
            self._object += block[at:]
            return len(block)
        self._object += block[at : found.start()]
        char = found.group()
        if char in b"\r\n":
            if self._in_text:
                raise DeliveryError(
                    f"{self._name}: a text has a line break in it, which JSON writes as \\n",
                    code="unreadable",
                )
            char = b" "
        elif char == b'"':
            self._in_text = not self._in_text
        elif char == b"\\":
            self._escaped = True
        else:
            self._depth += 1 if char in b"[{" else -1
        self._object += char
        return found.end()
