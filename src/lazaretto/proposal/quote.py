r"""Writes names that somebody else chose into YAML and Python, so that they stay names.

A column may be called ``a: {b`` or ``"); import os``. Everything that a template puts in goes
through one of these functions, comments included.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"})


class Code(str):
    """A piece of Python that is ours, and not quoted."""

    __slots__ = ()


def to_yaml(value: object) -> str:
    r"""A value in YAML's flow style, on one line.

    Example:
        >>> print(to_yaml("age"), to_yaml("no"), to_yaml('a: "b"\n'), to_yaml(["x", 1, True]))
        age "no" "a: \"b\"\n" [x, 1, true]
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            plain = _PLAIN.match(value) and value.lower() not in _WORDS
            return value if plain else f'"{"".join(map(_escaped, value))}"'
        case dict():
            return f"{{{', '.join(f'{to_yaml(k)}: {to_yaml(v)}' for k, v in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(to_yaml, value))}]"
    raise TypeError(f"cannot write {type(value).__name__} as YAML")


def to_python(value: object) -> str:
    r"""A value as a Python literal, in ASCII, on one line.

    Example:
        >>> print(to_python('a"\n'), to_python(("x", 1, None)))
        "a\"\n" ("x", 1, None)
    """
    match value:
        case None | bool() | int() | float():
            return repr(value)
        case Code():
            return str(value)
        case str():
            return f'"{"".join(map(_escaped_ascii, value))}"'
        case list() | tuple():
            inner = ", ".join(map(to_python, value))
            if isinstance(value, list):
                return f"[{inner}]"
            return f"({inner},)" if len(value) == 1 else f"({inner})"
    raise TypeError(f"cannot write {type(value).__name__} as Python")


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter == "\n":
        return "\\n"
    return letter if letter.isprintable() else _code(letter)


def _escaped_ascii(letter: str) -> str:
    return _escaped(letter) if letter.isascii() else _code(letter)


def _code(letter: str) -> str:
    """As YAML and Python both understand it."""
    number = ord(letter)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
