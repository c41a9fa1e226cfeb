"""Whether a JSON text is in the form of RFC 8785, in a tenth of the time of writing it anew."""

from __future__ import annotations

import json

import rfc8785

_LARGEST = 2**53 - 1
# No text of ASCII alone holds these, and a canonical one does not hold their escapes either.
_OPEN, _CLOSE = "\ue000", "\ue001"


def is_canonical(text: str) -> bool:
    """Whether this is what RFC 8785 makes of the value that it says.

    What `json` writes with sorted keys is the same but for numbers that are no integers, and for
    the order of keys beyond ASCII. So each number is looked at while it is read, and put back as it
    stands; a text with other letters is written anew.

    Args:
        text: a JSON document.

    Raises:
        ValueError: it is no JSON, or says something that RFC 8785 cannot.
        RecursionError: it is nested too deeply.
    """
    if not text.isascii():
        return rfc8785.dumps(json.loads(text, parse_int=_number)).decode() == text
    value = json.loads(text, parse_float=_marked, parse_int=_whole, parse_constant=_refused)
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return written.replace(f'"{_OPEN}', "").replace(f'{_CLOSE}"', "") == text


def _marked(text: str) -> str:
    """A number with a point or an exponent, checked, to be put back as it stands."""
    value = float(text)
    # Without an exponent Python's shortest form is that of RFC 8785, but for a zero after a point.
    plain = repr(value) == text and "e" not in text and not text.endswith(".0")
    if not plain and rfc8785.dumps(value).decode() != text:
        raise ValueError(f"{text} is not in canonical form")
    return f"{_OPEN}{text}{_CLOSE}"


def _whole(text: str) -> int | str:
    """A number without either; a large one can only be a float's."""
    value = _number(text)
    return value if isinstance(value, int) else _marked(text)


def _number(text: str) -> int | float:
    value = int(text)
    return value if -_LARGEST <= value <= _LARGEST else float(text)


def _refused(text: str) -> object:
    raise ValueError(f"{text} is no JSON")
