"""When an instrument trades, from IBKR's texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ibstream_feed.domain.hours import is_open, is_told, sessions

START = datetime(2020, 1, 1, tzinfo=ZoneInfo("America/New_York"))
WEEK = "20261125:0930-20261125:1600;20261126:CLOSED;20261127:0930-20261127:1300"
"""Around Thanksgiving: a whole day, none, and half of one."""


def at(text: str, zone: str = "America/New_York") -> float:
    """`20261127 09:30` as seconds since 1970."""
    return datetime.strptime(text, "%Y%m%d %H:%M").replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("20261125 09:29", False),
        ("20261125 09:30", True),
        ("20261125 15:59", True),
        ("20261125 16:00", False),
        ("20261126 12:00", False),
        ("20261127 12:59", True),
        ("20261127 13:00", False),
        ("20261130 12:00", False),
    ],
)
def test_it_is_open_from_the_first_minute_until_before_the_last(moment: str, expected: bool) -> None:
    """A holiday, the early close after it, and a day that is not told."""
    assert is_open(WEEK, "America/New_York", at(moment)) is expected


@pytest.mark.parametrize("name", ["US/Eastern", "EST", "EST5EDT", "America/New_York"])
@pytest.mark.parametrize(("day", "utc_hour"), [("20261127", 14), ("20260727", 13)])
def test_ibkrs_names_of_new_york_have_summer_time(name: str, day: str, utc_hour: int) -> None:
    """IBKR says EST in summer, too; the tz database's EST is five hours from UTC all year."""
    ((opens, closes),) = sessions(f"{day}:0930-{day}:1600", name)
    assert datetime.fromtimestamp(opens, UTC).hour == utc_hour
    assert closes - opens == 6.5 * 3600


@pytest.mark.parametrize(("name", "utc_hour"), [("CST", 14), ("JST", 23), ("MET", 7), ("Europe/Berlin", 7)])
def test_other_exchanges(name: str, utc_hour: int) -> None:
    """Chicago, Tokyo and Frankfurt in summer, at 9:00 (Tokyo at 8:00)."""
    start = "0800" if name == "JST" else "0900"
    ((opens, _),) = sessions(f"20260727:{start}-20260727:1500", name)
    assert datetime.fromtimestamp(opens, UTC).hour == utc_hour


def test_a_session_across_midnight_and_one_until_2400() -> None:
    """Futures open on the evening before; the last minute of a day is the next day's first."""
    assert is_open("20261129:1700-20261130:1600", "US/Central", at("20261130 02:00", "America/Chicago"))
    text = "20261129:0000-20261129:2400"
    assert is_open(text, "US/Central", at("20261129 23:59", "America/Chicago"))
    assert not is_open(text, "US/Central", at("20261130 00:00", "America/Chicago"))


def test_until_2400_on_the_day_on_which_the_clocks_change() -> None:
    """That day has 25 hours: it ends at the next midnight all the same."""
    ((opens, closes),) = sessions("20261101:0000-20261101:2400", "America/New_York")
    assert closes == at("20261102 00:00")
    assert closes - opens == 25 * 3600


def test_two_sessions_on_a_day() -> None:
    """Closed over lunch."""
    text = "20261130:0900-20261130:1130;20261130:1230-20261130:1500"
    assert is_open(text, "JST", at("20261130 11:00", "Asia/Tokyo"))
    assert not is_open(text, "JST", at("20261130 12:00", "Asia/Tokyo"))
    assert is_open(text, "JST", at("20261130 13:00", "Asia/Tokyo"))


@pytest.mark.parametrize("zone", ["", "Nowhere/At_all", "../etc/passwd", "\0"])
def test_a_zone_that_nobody_knows_is_closed(zone: str) -> None:
    """Silence that nobody can judge is no alarm."""
    assert sessions(WEEK, zone) == ()
    assert not is_open(WEEK, zone, at("20261125 12:00"))
    assert not is_told(WEEK, zone, at("20261125 12:00"))


@pytest.mark.parametrize("text", ["", "CLOSED", "20261126:CLOSED", "nonsense", "20261126:0930-1600"])
def test_what_tells_no_session_is_closed(text: str) -> None:
    """Text in another form is not guessed at."""
    assert sessions(text, "America/New_York") == ()


@pytest.mark.parametrize(
    "text", ["20261399:0930-20261399:1600", "20261125:9930-20261125:1600", "00000000:0000-00000000:0100"]
)
def test_digits_that_are_no_moment_are_passed_over(text: str) -> None:
    """One session that makes no sense costs that one alone."""
    assert sessions(text, "America/New_York") == ()
    assert len(sessions(f"{text};{WEEK}", "America/New_York")) == 2


def test_what_lies_beyond_the_days_that_are_named_is_not_told() -> None:
    """Nobody knows whether the exchange is open then: that must not pass for closed."""
    assert is_told(WEEK, "America/New_York", at("20261125 03:00"))
    assert is_told(WEEK, "America/New_York", at("20261127 23:59"))
    assert not is_told(WEEK, "America/New_York", at("20261201 10:00"))
    assert is_told("20261128:CLOSED", "America/New_York", at("20261128 12:00"))
    assert not is_told("", "America/New_York", at("20261128 12:00"))


def test_a_zone_may_have_its_name_in_words_behind_it() -> None:
    """As older Gateways write it; summer time is kept."""
    text = "20260601:0930-20260601:1600"
    assert sessions(text, "EST (Eastern Standard Time)") == sessions(text, "America/New_York")


@given(
    since_start=st.integers(0, 15 * 365 * 24 * 60),
    length=st.integers(1, 3 * 24 * 60),
    offset=st.integers(-5 * 24 * 60, 5 * 24 * 60),
)
def test_any_session(since_start: int, length: int, offset: int) -> None:
    """A moment is in a session where its time by the exchange's clock is; times that come twice or never are left out."""
    opens = START + timedelta(minutes=since_start)
    closes, moment = opens + timedelta(minutes=length), opens + timedelta(minutes=offset)
    assume(all(_is_plain(one) for one in (opens, closes, moment)))
    text = f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}"
    assert is_open(text, "US/Eastern", moment.timestamp()) is (opens <= moment < closes)


def _is_plain(wall: datetime) -> bool:
    """Whether this time of day exists once on that day."""
    return wall.utcoffset() == wall.replace(fold=1).utcoffset()
