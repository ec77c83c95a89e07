"""Which spans of time the bars of a request cover."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain, groupby
from typing import Literal, get_args

import msgspec

from ibstream.calendar.hours import Group
from ibstream.contracts.data import BarSize
from ibstream.simulation.sessions import day_window, new_york_date, regular_window
from ibstream.simulation.tree import NS_PER_S

_UNIT_SECONDS = {"secs": 1, "min": 60, "mins": 60, "hour": 3600, "hours": 3600}

BAR_SIZES: tuple[BarSize, ...] = get_args(BarSize)
"""IBKR's bar sizes in its own spelling."""

Kind = Literal[
    "TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST",
    "HISTORICAL_VOLATILITY", "OPTION_IMPLIED_VOLATILITY", "FEE_RATE",
]  # fmt: skip
"""What a bar can show, as IBKR's whatToShow has it; the public contract of the data service has the first four."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Window = tuple[int, int]
"""Start and end in nanoseconds since the epoch, the end excluded."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar. `start` is aware, in UTC; prices are in the instrument's currency, the volume as in its quotes.

    `average` is (high + low + close) / 3, a stand-in for the volume-weighted price. `trades` is the number of ticks.
    All three are -1 for every kind but TRADES and ADJUSTED_LAST, as IBKR has none there.
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


def spans(
    start_ns: int, end_ns: int, size: BarSize, *, regular_hours: bool, group: Group = "US_STOCK"
) -> Iterator[Span]:
    """The bars that start in `[start_ns, end_ns)`, oldest first; the last is cut at `end_ns` and may be unfinished.

    Intraday bars start on multiples of their size counted from New York's midnight, and with `regular_hours` at the opening
    of the group's sessions.
    """
    days = _days(_period(new_york_date(start_ns), size), end_ns, group if regular_hours else None)
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


def _days(first: date, end_ns: int, group: Group | None) -> Iterator[_Day]:
    """The days up to `end_ns`, whole, or the sessions of a group; one of these may begin on the evening before its day."""
    day = first
    while day_window(day - timedelta(days=1))[0] < end_ns:
        window = day_window(day) if group is None else regular_window(day, group)
        if window is not None:
            yield day, day_window(day)[0], window
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
