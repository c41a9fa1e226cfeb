"""Moments: how text becomes one, and how every one of them is brought to UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lazaretto.errors import UsageError

_MOST_SHOWN = 64
_DAYS = {"today": 0, "yesterday": 1}
_AGO = re.compile(r"([0-9]{1,6}) ?(d|days?|h|hours?)( ago)?", re.ASCII)


def parse_time(text: str, *, assume_utc: bool = False) -> datetime:
    """Reads a moment in ISO 8601; a date is its first instant.

    Args:
        text: such as ``2026-03-01T14:30:00+01:00``.
        assume_utc: what has no time zone is UTC, as a person writes it who was told so. What a
            machine writes must have one.

    Returns:
        The moment in UTC.

    Raises:
        UsageError: not a moment, without a zone where one is needed, or before the year 1.

    >>> parse_time("2026-03-01", assume_utc=True).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text[:_MOST_SHOWN]!r} is not a date or time; write 2026-03-01T14:30:00+01:00"
            + (", 2026-03-01, yesterday or '3 days ago'" if assume_utc else "")
        ) from error
    if assume_utc and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return in_utc(moment)


def asked_time(text: str, now: datetime | None = None) -> datetime:
    """Reads a moment as a person writes it: in ISO 8601, or counted back from now.

    Args:
        text: as `parse_time` takes it, or ``today``, ``yesterday``, ``3 days ago``, ``5 hours ago``
            (``3d``, ``5h``). A day is its first instant in UTC, hours are counted from `now`.
        now: the moment that is counted from; None: the clock's.

    Returns:
        The moment in UTC.

    Raises:
        UsageError: not a moment.

    >>> asked_time("yesterday", datetime(2026, 3, 2, 15, tzinfo=UTC)).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    word = " ".join(text.lower().split())
    counted = _AGO.fullmatch(word)
    if word not in _DAYS and counted is None:
        return parse_time(text, assume_utc=True)
    moment = in_utc(now or datetime.now(UTC))
    try:
        if counted and counted[2].startswith("h"):
            return moment - timedelta(hours=int(counted[1]))
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=int(counted[1]) if counted else _DAYS[word])
    except OverflowError as error:
        raise UsageError(f"{text[:_MOST_SHOWN]!r} is before the year 1") from error


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        UsageError: it has no time zone, or no place in UTC's years 1 to 9999.
    """
    if moment.tzinfo is None:
        written = moment.isoformat()
        raise UsageError(f"{written} has no time zone; write {written}+00:00 if it is UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"{moment.isoformat()} is outside the years 1 to 9999 in UTC") from error
