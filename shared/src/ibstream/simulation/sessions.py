"""Times as the simulation counts them, New York's days, and the regular sessions of each group of instruments.

The simulated market never closes. Days are New York's, midnight to midnight; what bars of regular hours and day orders call a
session is the exchange's, with its holidays and half days: see `ibstream.calendar`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ibstream.calendar.hours import Group
from ibstream.calendar.sessions import session

NEW_YORK = ZoneInfo("America/New_York")
OPENS, CLOSES = time(9, 30), time(16, 0)
"""The regular session of stocks on a full day."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(moment: datetime) -> int:
    """An aware datetime as nanoseconds since 1970-01-01 UTC, exact to the microsecond."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def from_ns(time_ns: int) -> datetime:
    """Nanoseconds since 1970-01-01 UTC as a datetime in UTC, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def new_york_date(time_ns: int) -> date:
    """The calendar date in New York at `time_ns`."""
    return from_ns(time_ns).astimezone(NEW_YORK).date()


@lru_cache(maxsize=4096)
def _midnight_ns(day: date) -> int:
    return to_ns(datetime.combine(day, time(0), NEW_YORK).astimezone(UTC))


def day_window(day: date) -> tuple[int, int]:
    """Start and end, in nanoseconds, of a New York day, midnight to midnight; 23 or 25 hours where the clock changes."""
    return _midnight_ns(day), _midnight_ns(day + timedelta(days=1))


@lru_cache(maxsize=16_384)
def regular_window(day: date, group: Group = "US_STOCK") -> tuple[int, int] | None:
    """Start and end, in nanoseconds, of the regular session of trading date `day`; None if there is none.

    The session of a currency pair begins on the evening before.
    """
    found = session(group, day)
    return None if found is None else (to_ns(found.liquid_opens), to_ns(found.liquid_closes))


def session_window(day: date, group: Group = "US_STOCK") -> tuple[int, int]:
    """Start and end, in nanoseconds, of the regular session of `day`; ask `is_session` first. Raises ValueError."""
    window = regular_window(day, group)
    if window is None:
        raise ValueError(f"{group} has no session on {day}")
    return window


def is_session(day: date, group: Group = "US_STOCK") -> bool:
    """Whether `day` has a regular session: weekdays have, but for holidays."""
    return regular_window(day, group) is not None
