"""When the gate is closed for the Gateway's daily restart."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream_broker.domain.restart_window import GIVEN_UP_AFTER, LEAD, RestartWindow

NEW_YORK = ZoneInfo("America/New_York")
SECOND = timedelta(seconds=1)
NIGHTLY = RestartWindow(time(23, 50), NEW_YORK)
RESTART = datetime(2026, 11, 24, 4, 50, tzinfo=UTC)
"""23:50 in New York on 23 November."""
LONG_BEFORE = RESTART - timedelta(hours=8)


@pytest.mark.parametrize(
    ("after", "session_after", "closed"),
    [
        (-LEAD - SECOND, None, False),
        (-LEAD, None, True),
        (-LEAD, -8 * 3600 * SECOND, True),
        (-SECOND, -30 * SECOND, True),
        (timedelta(0), -8 * 3600 * SECOND, True),
        (40 * SECOND, -8 * 3600 * SECOND, True),
        (40 * SECOND, None, True),
        (40 * SECOND, timedelta(0), True),
        (40 * SECOND, 39 * SECOND, False),
        (GIVEN_UP_AFTER - SECOND, -SECOND, True),
        (GIVEN_UP_AFTER, -SECOND, False),
        (GIVEN_UP_AFTER, None, False),
    ],
)
def test_closed_from_a_minute_before_until_a_new_session(
    after: timedelta, session_after: timedelta | None, closed: bool
) -> None:
    """A session of before the restart opens nothing, one of after it does; ten minutes end the waiting."""
    session = None if session_after is None else RESTART + session_after
    assert NIGHTLY.closes(RESTART + after, session) == (RESTART if closed else None)


@pytest.mark.parametrize("at", [time(0, 0), time(0, 0, 30), time(23, 59), time(12, 0)])
def test_midnight_is_no_edge(at: time) -> None:
    """The minute before may lie on the day before, the ten minutes after on the day after."""
    window = RestartWindow(at, NEW_YORK)
    restart = datetime.combine(datetime(2026, 11, 24, tzinfo=UTC).date(), at, NEW_YORK).astimezone(UTC)
    assert window.closes(restart - LEAD, None) == restart
    assert window.closes(restart + GIVEN_UP_AFTER - SECOND, None) == restart
    assert window.closes(restart - LEAD - SECOND, None) is None
    assert window.closes(restart + GIVEN_UP_AFTER, None) is None


@pytest.mark.parametrize(("month", "hour"), [(1, 4), (7, 3)])
def test_it_follows_the_clocks_of_its_zone(month: int, hour: int) -> None:
    """23:50 in New York is 04:50 UTC in winter and 03:50 in summer."""
    restart = datetime(2026, month, 15, hour, 50, tzinfo=UTC)
    assert NIGHTLY.closes(restart, None) == restart
    assert NIGHTLY.closes(restart + timedelta(hours=1), None) is None
    assert NIGHTLY.closes(restart - timedelta(hours=1), None) is None


def test_a_time_that_comes_twice_closes_twice() -> None:
    """In the night in which clocks go back nobody says which of the two the Gateway means; a session between them is none."""
    window = RestartWindow(time(1, 30), NEW_YORK)
    first, second = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert window.closes(first, None) == first
    assert window.closes(first + 2 * SECOND, first + SECOND) is None
    assert window.closes(second, first + SECOND) == second


def test_a_time_that_is_skipped_comes_once() -> None:
    """In the night in which clocks go forward 02:30 is as long after midnight as ever: 03:30 by the new clocks."""
    window = RestartWindow(time(2, 30), NEW_YORK)
    restart = datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert window.closes(restart, None) == restart
    day = [datetime(2026, 3, 8, tzinfo=UTC) + minutes * timedelta(minutes=1) for minutes in range(24 * 60)]
    assert {closed for now in day if (closed := window.closes(now, None)) is not None} == {restart}


@given(
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.sampled_from(
        ["America/New_York", "Europe/Zurich", "Asia/Hong_Kong", "UTC", "Pacific/Apia", "Australia/Lord_Howe"]
    ),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_each_day_is_closed_for_eleven_minutes(at: time, zone: str, start: datetime) -> None:
    """Whatever the time and the zone: in two days without a session about two windows, never more than clocks going back add."""
    window, now = RestartWindow(at, ZoneInfo(zone)), start.replace(tzinfo=UTC)
    minutes = [now + number * timedelta(minutes=1) for number in range(48 * 60)]
    closed = {one: restart for one in minutes if (restart := window.closes(one, None)) is not None}
    assert 11 <= len(closed) <= 4 * 12
    for one, restart in closed.items():
        assert restart - LEAD <= one < restart + GIVEN_UP_AFTER
        assert window.closes(one, one) == (None if one > restart else restart), (
            "a session made now is new only after it"
        )
