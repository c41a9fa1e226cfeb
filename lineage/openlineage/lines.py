"""Reads events from a JSON Lines file that anybody may have written: bounded, one at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lazaretto.errors import NotFoundError, SystemFaultError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE_BYTES = 32 * 2**20  # the largest events seen in the field are 23 MB


class Line(NamedTuple):
    """One line: its number from 1, and its object or what is wrong with it."""

    number: int
    event: dict[str, Any] | None
    problem: str | None = None


def read_lines(file: str | Path) -> Iterator[Line]:
    """Reads a JSON Lines file; blank lines are left out.

    Raises:
        NotFoundError: there is no such file.
        SystemFaultError: it cannot be read.
    """
    try:
        with Path(file).open("rb") as stream:
            number = 0
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES:
                    while raw and not raw.endswith(b"\n"):
                        raw = stream.readline(MAX_LINE_BYTES)
                    yield Line(number, None, f"longer than {MAX_LINE_BYTES} bytes")
                elif raw.strip():
                    yield _parse(number, raw)
    except FileNotFoundError as error:
        raise NotFoundError(f"no such file: {file}") from error
    except OSError as error:
        raise SystemFaultError(f"cannot read {file}: {error.strerror}") from error


def _parse(number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw, parse_constant=_refuse)
    except RecursionError:
        return Line(number, None, "nested too deeply")
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, NaN, endless digits
        return Line(number, None, f"not JSON: {error_line(error)}")
    if not isinstance(value, dict):
        return Line(number, None, f"not a JSON object but {type(value).__name__}")
    return Line(number, value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
