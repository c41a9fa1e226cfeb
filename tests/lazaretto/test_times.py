"""Moments from text: one way for the command line, the operators and foreign lineage events."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.errors import UsageError
from lazaretto.times import asked_time, in_utc, parse_time

_ZONES = st.timedeltas(min_value=timedelta(hours=-14), max_value=timedelta(hours=14)).map(timezone)


_INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=_ZONES
)


@given(_INSTANTS)
def test_a_moment_written_with_its_zone_comes_back(moment: datetime) -> None:
    parsed = parse_time(moment.isoformat())
    assert parsed == moment
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:00-02:00"])
def test_a_moment_outside_the_years_of_utc_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="outside the years 1 to 9999"):
        parse_time(text)


@given(st.datetimes())
def test_only_who_says_so_gets_utc_for_a_missing_zone(moment: datetime) -> None:
    assert parse_time(moment.isoformat(), assume_utc=True) == moment.replace(tzinfo=UTC)
    for refuse in (lambda: parse_time(moment.isoformat()), lambda: in_utc(moment)):
        with pytest.raises(UsageError, match="has no time zone"):
            refuse()


def test_a_date_is_its_first_instant() -> None:
    assert parse_time("2026-03-01", assume_utc=True) == datetime(2026, 3, 1, tzinfo=UTC)


@given(st.text())
def test_any_text_is_a_moment_or_refused_with_a_short_escaped_message(text: str) -> None:
    for assume_utc in (False, True):
        try:
            said = parse_time(text, assume_utc=assume_utc).isoformat()
        except UsageError as error:
            said = str(error)
        assert len(said) < 800
        assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", datetime(2026, 3, 2, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 3, 1, tzinfo=UTC)),
        ("3 days ago", datetime(2026, 2, 27, tzinfo=UTC)),
        (" 1 day  ago ", datetime(2026, 3, 1, tzinfo=UTC)),
        ("3d", datetime(2026, 2, 27, tzinfo=UTC)),
        ("5 hours ago", datetime(2026, 3, 1, 20, 30, tzinfo=UTC)),
        ("5h", datetime(2026, 3, 1, 20, 30, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T14:30:00+01:00", datetime(2026, 3, 1, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_person_may_count_back_from_now(text: str, expected: datetime) -> None:
    """In the day of UTC, whatever zone the clock is told in: 01:30 in Tokyo is the day before."""
    tokyo = timezone(timedelta(hours=9))
    now = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert asked_time(text, now) == asked_time(text, now.astimezone(tokyo)) == expected


@pytest.mark.parametrize("text", ["", "last week", "3", "3m", "-3 days", "٣ days ago", "in 3 days"])
def test_what_is_no_moment_is_not_guessed(text: str) -> None:
    with pytest.raises(UsageError, match="is not a date or time"):
        asked_time(text)


def test_nothing_is_before_the_first_year() -> None:
    with pytest.raises(UsageError, match="before the year 1"):
        asked_time("999999 days ago")
