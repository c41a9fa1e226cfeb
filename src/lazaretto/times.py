"""Moments: how text becomes one, and how every one of them is brought to UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from lazaretto.errors import UsageError

_MOST_SHOWN = 64


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
            + (" or 2026-03-01" if assume_utc else "")
        ) from error
    if assume_utc and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return in_utc(moment)


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
