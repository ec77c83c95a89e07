"""Sessions of a group of instruments, and what follows from them: open or closed, and until when.

Days are the exchange's own trading dates: the session of a future on Monday begins on Sunday. All moments are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from ibstream.calendar.holidays import DAYS_OF_MOURNING, early_closes, exchange_holidays, good_friday
from ibstream.calendar.hours import HOURS, DayKind, Group, Hours

_SATURDAY = 5
_DECEMBER = 12
_NEW_YEAR_ENDS = 2
"""A New Year's Day on a Sunday is kept on the second of January."""
_DAY = timedelta(days=1)
_LONGEST_CLOSURE_DAYS = 10
"""No exchange stays closed for so long; a bound for every search."""


class Session(msgspec.Struct, frozen=True, gc=False):
    """One trading date of a group; all moments in UTC."""

    day: date
    opens: datetime
    """When trading of any kind begins; a stock's early session."""
    closes: datetime
    liquid_opens: datetime
    """When the regular session begins."""
    liquid_closes: datetime
    shortened: bool
    """Whether the day closes early."""


@lru_cache(maxsize=16_384)
def session(group: Group, day: date) -> Session | None:
    """The session of trading date `day`; None if there is none."""
    hours, kind = HOURS[group], _kind_of(group, day)
    if kind is None:
        return None
    closes, liquid_closes = _closings(hours, kind)
    zone = ZoneInfo(hours.zone.name)
    holiday = kind == "holiday"
    # A futures session on a bank holiday has no regular part; IBKR then calls all of it liquid, as a recorded one shows.
    liquid_opens = hours.opens if holiday else hours.liquid_opens
    return Session(
        day,
        _moment(day, hours.opens, zone, before=hours.opens > hours.closes),
        _moment(day, closes, zone),
        _moment(day, liquid_opens, zone, before=liquid_opens > hours.liquid_closes),
        _moment(day, liquid_closes, zone),
        kind != "full" and closes != hours.closes,
    )


def sessions(group: Group, start: date, end: date) -> Iterator[Session]:
    """The sessions of the trading dates in `[start, end)`, oldest first."""
    for offset in range((end - start).days):
        found = session(group, start + offset * _DAY)
        if found is not None:
            yield found


def is_open(group: Group, at: datetime, *, extended: bool = False) -> bool:
    """Whether the group trades at an aware moment: in its regular session or, with `extended`, at all."""
    return any(opens <= at < closes for opens, closes in _windows(group, at, extended=extended))


def next_open(group: Group, at: datetime, *, extended: bool = False) -> datetime:
    """The next opening after an aware moment, in UTC."""
    return next(opens for opens, _ in _windows(group, at, extended=extended) if opens > at)


def next_close(group: Group, at: datetime, *, extended: bool = False) -> datetime:
    """The next closing after an aware moment, in UTC; of the present session if there is one."""
    return next(closes for _, closes in _windows(group, at, extended=extended) if closes > at)


def _windows(group: Group, at: datetime, *, extended: bool) -> Iterator[tuple[datetime, datetime]]:
    first = at.astimezone(UTC).date() - 2 * _DAY
    for found in sessions(group, first, first + _LONGEST_CLOSURE_DAYS * _DAY):
        if extended:
            yield found.opens, found.closes
        else:
            yield found.liquid_opens, found.liquid_closes


def _kind_of(group: Group, day: date) -> DayKind | None:
    """How the group keeps `day`; None if it stays closed."""
    if day.weekday() >= _SATURDAY:
        return None
    hours = HOURS[group]
    if not hours.closed_on_holidays:
        return None if (day.month, day.day) in ((1, 1), (12, 25)) else "full"
    if day in exchange_holidays(day.year):
        return "holiday" if hours.holiday_closes is not None and not _closed_everywhere(day) else None
    return "half" if day in early_closes(day.year) else "full"


def _closed_everywhere(day: date) -> bool:
    """Without futures as well: New Year, Good Friday, Christmas and days of mourning."""
    new_year = day.month == 1 and day.day <= _NEW_YEAR_ENDS
    return new_year or day.month == _DECEMBER or day == good_friday(day.year) or day in DAYS_OF_MOURNING


def _closings(hours: Hours, kind: DayKind) -> tuple[time, time]:
    if kind == "half":
        return hours.half_day_closes, hours.half_day_liquid_closes
    if kind == "holiday" and hours.holiday_closes is not None:
        return hours.holiday_closes, hours.holiday_closes
    return hours.closes, hours.liquid_closes


def _moment(day: date, at: time, zone: ZoneInfo, *, before: bool = False) -> datetime:
    return datetime.combine(day - _DAY if before else day, at, zone).astimezone(UTC)
