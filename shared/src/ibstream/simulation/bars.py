"""Which spans of time the bars of a request cover."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain, groupby
from typing import get_args

import msgspec

from ibstream.contracts.data import BarSize, WhatToShow
from ibstream.simulation.sessions import day_window, is_session, new_york_date, session_window
from ibstream.simulation.tree import NS_PER_S

_UNIT_SECONDS = {"secs": 1, "min": 60, "mins": 60, "hour": 3600, "hours": 3600}

BAR_SIZES: tuple[BarSize, ...] = get_args(BarSize)
"""IBKR's bar sizes in its own spelling."""
KINDS: tuple[WhatToShow, ...] = get_args(WhatToShow)

Window = tuple[int, int]
"""Start and end in nanoseconds since the epoch, the end excluded."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar. `start` is aware, in UTC; prices are in USD, the volume in shares.

    `average` is (high + low + close) / 3, a stand-in for the volume-weighted price. `trades` is the number of ticks.
    All three are -1 for every kind but TRADES, as IBKR has none there.
    """

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    average: float
    trades: int


class Span(msgspec.Struct, frozen=True, gc=False):
    """What one bar covers: the windows between its start and its end that belong to it, oldest first."""

    windows: tuple[Window, ...]

    @property
    def start_ns(self) -> int:
        """The bar's time stamp, nanoseconds since the epoch."""
        return self.windows[0][0]


def seconds_of(size: BarSize) -> int | None:
    """Seconds in an intraday bar; None for a day, a week and a month, which the calendar cuts."""
    count, unit = size.split(" ")
    per_unit = _UNIT_SECONDS.get(unit)
    return int(count) * per_unit if per_unit else None


def spans(start_ns: int, end_ns: int, size: BarSize, *, regular_hours: bool) -> Iterator[Span]:
    """The bars that start in `[start_ns, end_ns)`, oldest first; the last is cut at `end_ns` and may be unfinished.

    Intraday bars start on multiples of their size counted from New York's midnight, and with `regular_hours` at the opening.
    """
    days = _days(_period(new_york_date(start_ns), size), end_ns, regular_hours=regular_hours)
    seconds = seconds_of(size)
    found: Iterator[Span]
    if seconds is not None:
        found = chain.from_iterable(_intraday(day, start_ns, seconds * NS_PER_S) for day in days)
    else:
        found = _calendar(days, size)
    for span in found:
        if span.start_ns >= end_ns:
            return
        if span.start_ns >= start_ns:
            yield _cut(span, end_ns)


_Day = tuple[date, int, Window]
"""Date, New York's midnight, and the part of the day that is traded."""


def _days(first: date, end_ns: int, *, regular_hours: bool) -> Iterator[_Day]:
    day = first
    while day_window(day)[0] < end_ns:
        if not regular_hours:
            yield day, day_window(day)[0], day_window(day)
        elif is_session(day):
            yield day, day_window(day)[0], session_window(day)
        day += timedelta(days=1)


def _intraday(day: _Day, from_ns: int, length_ns: int) -> Iterator[Span]:
    _, midnight, (opens, closes) = day
    start = opens
    if from_ns > opens:
        start = midnight - (midnight - from_ns) // length_ns * length_ns
    while start < closes:
        following = start + length_ns - (start - midnight) % length_ns
        yield Span(((start, min(following, closes)),))
        start = following


def _calendar(days: Iterator[_Day], size: BarSize) -> Iterator[Span]:
    for _, members in groupby(days, key=lambda day: _period(day[0], size)):
        yield Span(tuple(window for _, _, window in members))


def _period(day: date, size: BarSize) -> date:
    """The first day of the day, week or month that `day` belongs to."""
    if size == "1 week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if size == "1 month" else day


def _cut(span: Span, end_ns: int) -> Span:
    if span.windows[-1][1] <= end_ns:
        return span
    return Span(tuple((start, min(end, end_ns)) for start, end in span.windows if start < end_ns))
