"""The New York calendar the simulated market is cut by.

The simulated market never closes. Days, and the regular session of 09:30 to 16:00 on weekdays, are New York's; exchange
holidays and half days are not modelled.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPENS, CLOSES = time(9, 30), time(16, 0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SATURDAY = 5


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
def _local_ns(day: date, at: time) -> int:
    return to_ns(datetime.combine(day, at, NEW_YORK).astimezone(UTC))


def day_window(day: date) -> tuple[int, int]:
    """Start and end, in nanoseconds, of a New York day, midnight to midnight; 23 or 25 hours where the clock changes."""
    return _local_ns(day, time(0)), _local_ns(day + timedelta(days=1), time(0))


def session_window(day: date) -> tuple[int, int]:
    """Start and end, in nanoseconds, of the regular session of `day`; ask `is_session` first."""
    return _local_ns(day, OPENS), _local_ns(day, CLOSES)


def is_session(day: date) -> bool:
    """Whether `day` has a regular session: every weekday has."""
    return day.weekday() < _SATURDAY
