r"""Numbers of JSON, kept letter by letter: pyarrow's parser would round them.

Each number, true and false (and NaN and Infinity, which Python writes) becomes a text that starts
with the byte ``\xff``, which no UTF-8 text has. So pyarrow finds the records and lists, and the
values are told apart afterwards.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._exact import InexactError

_TEXT = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*"?)', re.DOTALL)
# From what a number, true, false, NaN or Infinity begins with to where a value ends.
_VALUE = re.compile(rb"([-\dtfNI][^\s,\]}\xfe]*)")
_BETWEEN = b"\xfe"
_MARK = b"\xff"
_VALID = r"^(-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|NaN|-?Infinity|true|false)$"
NUMBER, WORD, TEXT = "number", "boolean", "text"
"""Kinds of leaves."""


def marked(lines: bytes) -> bytes:
    r"""JSON in which numbers, true and false are marked texts.

    Raises:
        ValueError: it is not UTF-8.

    Example:
        >>> marked(b'{"a":[1,"2",null]}')
        b'{"a":["\xff1","2",null]}'
    """
    lines.decode()  # so that nothing is marked that is not marked here
    parts = _TEXT.split(lines)
    outside = _VALUE.split(_BETWEEN.join(parts[::2]))
    outside[1::2] = map((b'"' + _MARK).__add__, outside[1::2])
    outside[2::2] = map(b'"'.__add__, outside[2::2])
    parts[::2] = b"".join(outside).split(_BETWEEN)
    return b"".join(parts)


class Leaves:
    """The values of a leaf column, by kind."""

    def __init__(self, values: pa.Array) -> None:
        """Tells marked texts from others.

        Raises:
            InexactError: a mark is at something that is no JSON.
        """
        data = values.cast(pa.binary())
        self.is_marked = pc.equal(pc.binary_slice(data, 0, 1), _MARK)
        rest = pc.binary_replace_slice(data, 0, 1, b"")
        found = pc.if_else(self.is_marked, rest, None).cast(pa.string())
        if pc.all(pc.match_substring_regex(found, _VALID), min_count=0).as_py() is False:
            raise InexactError("")
        self.is_word = pc.fill_null(pc.is_in(found, pa.array(["true", "false"])), False)
        self._found, self._data = found, data

    def kinds(self) -> set[str]:
        """Which kinds there are."""
        there = {
            NUMBER: pc.any(pc.and_not(self.is_marked, self.is_word)).as_py(),
            WORD: pc.any(self.is_word).as_py(),
            TEXT: pc.any(pc.invert(self.is_marked)).as_py(),
        }
        return {kind for kind, found in there.items() if found}

    def texts(self) -> pa.Array:
        """All of them as text, as delivered."""
        return pc.if_else(self.is_marked, self._found, self._unmarked())

    def _unmarked(self) -> pa.Array:
        return pc.if_else(pc.invert(self.is_marked), self._data, None).cast(pa.string())
