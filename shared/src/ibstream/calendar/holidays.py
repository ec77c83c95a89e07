"""The holidays of the US exchanges by rule, with the closings that followed no rule.

Source: NYSE Rule 7.2 and the exchange's published list of holidays and early closings; a test compares every day from 2018
to 2027 with the `exchange_calendars` package. Outside these years the rules still hold, but closings by decree are missing.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 3, 4, 5, 6
_JUNETEENTH_SINCE = 2022
DAYS_OF_MOURNING = frozenset({date(2018, 12, 5), date(2025, 1, 9)})
"""For the presidents G. H. W. Bush and J. Carter; closings that follow no rule."""


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """The `n`-th `weekday` (Monday is 0) of a month; `n` counts from 1."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def last_weekday(year: int, month: int, weekday: int) -> date:
    """The last `weekday` (Monday is 0) of a month."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(days=(following.weekday() - weekday - 1) % 7 + 1)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the algorithm of Meeus, Jones and Butcher."""
    century, rest = divmod(year, 100)
    leaps, century_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * (year % 19) + century - leaps - correction + 15) % 30
    weekday = (32 + 2 * century_rest + 2 * (rest // 4) - epact - rest % 4) % 7
    late = (year % 19 + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def good_friday(year: int) -> date:
    """The Friday before Easter."""
    return easter(year) - timedelta(days=2)


def thanksgiving(year: int) -> date:
    """The fourth Thursday of November."""
    return nth_weekday(year, 11, _THURSDAY, 4)


@lru_cache(maxsize=512)
def exchange_holidays(year: int) -> frozenset[date]:
    """The weekdays of a year on which the US stock exchanges stay closed."""
    days = {
        nth_weekday(year, 1, _MONDAY, 3),
        nth_weekday(year, 2, _MONDAY, 3),
        good_friday(year),
        last_weekday(year, 5, _MONDAY),
        _observed(date(year, 7, 4)),
        nth_weekday(year, 9, _MONDAY, 1),
        thanksgiving(year),
        _observed(date(year, 12, 25)),
    }
    if year >= _JUNETEENTH_SINCE:
        days.add(_observed(date(year, 6, 19)))
    if date(year, 1, 1).weekday() != _SATURDAY:
        # A New Year's Day on a Saturday is not made up for: the Friday closes the old year's books.
        days.add(_observed(date(year, 1, 1)))
    return frozenset(days | {day for day in DAYS_OF_MOURNING if day.year == year})


@lru_cache(maxsize=512)
def early_closes(year: int) -> frozenset[date]:
    """The days of a year on which the US stock exchanges close at 13:00 New York."""
    candidates = {date(year, 7, 3), thanksgiving(year) + timedelta(days=1), date(year, 12, 24)}
    return frozenset(day for day in candidates if is_business_day(day))


def is_business_day(day: date) -> bool:
    """Whether the US stock exchanges open on `day`."""
    return day.weekday() < _SATURDAY and day not in exchange_holidays(day.year)


def business_day_before(day: date) -> date:
    """The last business day before `day`."""
    day -= timedelta(days=1)
    while not is_business_day(day):
        day -= timedelta(days=1)
    return day


def _observed(day: date) -> date:
    """The weekday on which a holiday is kept: the Friday before a Saturday, the Monday after a Sunday."""
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == _SUNDAY else day
