"""What an examination says of one thing: it is well, it is not, or nobody can say; and what to do.

`examined` runs one look at something, and makes a line of whatever error it ends with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lazaretto.errors import LazarettoError
from lazaretto.faults import how_to_install
from lazaretto.redact import error_line, safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta


class State(StrEnum):
    """How something is.

    ``CANNOT_SAY`` is never all clear: whatever is asked may be well or not.
    """

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, slots=True)
class Line:
    """What was found of one thing.

    Attributes:
        subject: what was looked at, such as ``catalog`` or ``disk``.
        state: how it is.
        found: what was found, in words.
        todo: what to do; None where nothing is to be done, or `found` says it.
    """

    subject: str
    state: State
    found: str
    todo: str | None = None


def ok(subject: str, found: str, todo: str | None = None) -> Line:
    """A line that says that something is well."""
    return Line(subject, State.OK, found, todo)


def warning(subject: str, found: str, todo: str) -> Line:
    """A line that says that something works, and soon will not."""
    return Line(subject, State.WARNING, found, todo)


def failure(subject: str, found: str, todo: str) -> Line:
    """A line that says that something does not work."""
    return Line(subject, State.FAILURE, found, todo)


def cannot_say(subject: str, found: str, todo: str) -> Line:
    """A line that says that something could not be looked at."""
    return Line(subject, State.CANNOT_SAY, found, todo)


def examined(subject: str, look: Callable[[], Iterable[Line]]) -> Iterator[Line]:
    """The lines of one look; an error that it ends with is a line of its own.

    Args:
        subject: of that line.
        look: gives lines. What it raises of `lazaretto.errors` says what to do; a Python package
            that is missing, and any other error, mean that nothing can be said.
    """
    try:
        yield from look()
    except ModuleNotFoundError as error:
        found = f"the Python package {error.name!r} is not installed"
        yield cannot_say(subject, found, how_to_install(error))
    except LazarettoError as error:
        yield Line(subject, State.FAILURE, safe_text(str(error)))
    except Exception as error:  # foreign libraries raise anything; the other lines still count
        yield cannot_say(subject, error_line(error), "look into this error first")


def about(span: timedelta) -> str:
    """A span of time in words: ``3 minutes``, ``2 days``."""
    seconds = max(0, int(span.total_seconds()))
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
