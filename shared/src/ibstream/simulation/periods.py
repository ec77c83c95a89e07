"""What IBKR's durations mean: how far back `1 D` or `3600 S` reaches."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from ibstream.simulation.sessions import day_window, is_session, new_york_date, session_window
from ibstream.simulation.tree import NS_PER_S

Unit = Literal["S", "D", "W", "M", "Y"]
"""Seconds, days, weeks, months, years."""

_SECONDS_PER_DAY = 86_400
_DAYS = {"D": 1, "W": 7, "M": 31, "Y": 366}


def period_start(end_ns: int, count: int, unit: Unit, bar_s: int, *, regular_hours: bool) -> int:
    """Where the period begins that reaches `count` units back from `end_ns`, in nanoseconds since 1970-01-01 UTC.

    `bar_s` is the size of the bars asked for, in seconds: the period begins on their grid. With `regular_hours`, days are
    sessions and seconds are seconds of sessions, as a Gateway counts them.
    """
    if unit == "S":
        start = _seconds_back(end_ns, count, regular_hours=regular_hours)
        return start - start % (min(bar_s, 3600) * NS_PER_S)
    if unit == "D" and regular_hours:
        return _sessions_back(end_ns, count)
    days = count * _DAYS[unit]
    if bar_s < _SECONDS_PER_DAY:
        start, grid_ns = end_ns - days * _SECONDS_PER_DAY * NS_PER_S, min(bar_s, 3600) * NS_PER_S
        return start + -start % grid_ns
    # A day that has begun counts: one day of daily bars is today's.
    return day_window(new_york_date(end_ns - 1) - timedelta(days=days - 1))[0]


def _seconds_back(end_ns: int, seconds: int, *, regular_hours: bool) -> int:
    """`seconds` of trading before `end_ns`."""
    wanted_ns = seconds * NS_PER_S
    if not regular_hours:
        return end_ns - wanted_ns
    day = new_york_date(end_ns - 1)
    while True:
        opens, closes = _session_before(day, end_ns)
        traded_ns = closes - opens
        if traded_ns >= wanted_ns:
            return closes - wanted_ns
        wanted_ns -= traded_ns
        day -= timedelta(days=1)


def _session_before(day: date, end_ns: int) -> tuple[int, int]:
    """The part of the day's session before `end_ns`; empty on a day without one."""
    if not is_session(day):
        return end_ns, end_ns
    opens, closes = session_window(day)
    return opens, max(opens, min(closes, end_ns))


def _sessions_back(end_ns: int, count: int) -> int:
    """The opening of the session that is the `count`-th back from `end_ns`; one that has begun counts."""
    day = new_york_date(end_ns - 1)
    while True:
        if is_session(day) and session_window(day)[0] < end_ns:
            count -= 1
            if not count:
                return session_window(day)[0]
        day -= timedelta(days=1)
