"""What IBKR's durations mean: how far back `1 D` or `3600 S` reaches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

from ibstream.calendar.hours import Group
from ibstream.simulation.sessions import day_window, new_york_date, regular_window
from ibstream.simulation.tree import NS_PER_S

Unit = Literal["S", "D", "W", "M", "Y"]
"""Seconds, days, weeks, months, years."""

_SECONDS_PER_DAY = 86_400
_EPOCH_DAY = date(1970, 1, 1)
_DAYS = {"D": 1, "W": 7, "M": 31, "Y": 366}


def period_start(
    end_ns: int, count: int, unit: Unit, bar_s: int, *, regular_hours: bool, group: Group = "US_STOCK"
) -> int:
    """Where the period begins that reaches `count` units back from `end_ns`, in nanoseconds since 1970-01-01 UTC.

    `bar_s` is the size of the bars asked for, in seconds: the period begins on their grid. With `regular_hours`, days are
    sessions of the group and seconds are seconds of sessions, as a Gateway counts them.
    """
    hours = group if regular_hours else None
    if unit == "S":
        start = _seconds_back(end_ns, count, hours)
        return start - start % (min(bar_s, 3600) * NS_PER_S)
    if unit == "D" and hours is not None:
        return _sessions_back(end_ns, count, hours)
    days = count * _DAYS[unit]
    if bar_s < _SECONDS_PER_DAY:
        start, grid_ns = end_ns - days * _SECONDS_PER_DAY * NS_PER_S, min(bar_s, 3600) * NS_PER_S
        return start + -start % grid_ns
    # A day that has begun counts: one day of daily bars is today's.
    return day_window(new_york_date(end_ns - 1) - timedelta(days=days - 1))[0]


def _seconds_back(end_ns: int, seconds: int, hours: Group | None) -> int:
    """`seconds` of trading before `end_ns`."""
    wanted_ns = seconds * NS_PER_S
    if hours is None:
        return end_ns - wanted_ns
    for opens, closes in _sessions_before(end_ns, hours):
        traded_ns = closes - opens
        if traded_ns >= wanted_ns:
            return closes - wanted_ns
        wanted_ns -= traded_ns
    return 0


def _sessions_back(end_ns: int, count: int, hours: Group) -> int:
    """The opening of the session that is the `count`-th back from `end_ns`; one that has begun counts."""
    for opens, _ in _sessions_before(end_ns, hours):
        count -= 1
        if not count:
            return opens
    return 0


def _sessions_before(end_ns: int, hours: Group) -> Iterator[tuple[int, int]]:
    """Opening and close of the sessions that began before `end_ns`, latest first and cut there, back to 1970."""
    # The session of a pair begins on the evening before its day.
    day = new_york_date(end_ns - 1) + timedelta(days=1)
    while day > _EPOCH_DAY:
        window = regular_window(day, hours)
        if window is not None and window[0] < end_ns:
            yield window[0], min(window[1], end_ns)
        day -= timedelta(days=1)
