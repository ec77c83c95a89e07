"""The last trading days of futures and options, by the exchanges' rules.

Sources: the contract specifications of CME, NYMEX, COMEX and CBOT; recorded contracts (MESM6 20260618, a Thursday before a
holiday; XWZ6 20261214; ESM5 20250620; QQQ options of 20270115).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

from ibstream.calendar.holidays import business_day_before, is_business_day, nth_weekday
from ibstream.simulation.catalog import Root

_FRIDAY = 4
_WEEKLY_EXPIRIES = 9
_MONTHLY_EXPIRIES = 12
_JANUARIES = 2


def last_trading_day(root: Root, year: int, month: int) -> date:
    """The day on which the future of a contract month trades last."""
    match root.expiry:
        case "third_friday":
            return _on_or_before(nth_weekday(year, month, _FRIDAY, 3))
        case "crude_oil":
            return _crude_oil(year, month)
        case "third_last":
            return _business_days_before(_first_of_next(year, month), 3)
        case "before_fifteenth":
            return business_day_before(date(year, month, 15))


def listed_months(root: Root, today: date) -> list[tuple[int, int]]:
    """The contract months (year, month) that can be traded on `today`, nearest first."""
    upcoming = (found for found in _months(root, today.year - 1) if last_trading_day(root, *found) >= today)
    return [next(upcoming) for _ in range(root.listed)]


def expired_months(root: Root, today: date, years: int = 2) -> list[tuple[int, int]]:
    """The contract months that ended in the `years` before `today`, latest first."""
    since = today - timedelta(days=366 * years)
    found: list[tuple[int, int]] = []
    for year, month in _months(root, since.year):
        last = last_trading_day(root, year, month)
        if last >= today:
            break
        if last >= since:
            found.append((year, month))
    return found[::-1]


@lru_cache(maxsize=64)
def option_expiries(today: date) -> tuple[date, ...]:
    """The expiries of options listed on `today`: weeklies, then a year of monthlies, then the Januaries after it."""
    friday = today + timedelta(days=(_FRIDAY - today.weekday()) % 7)
    days = {_on_or_before(friday + timedelta(weeks=n)) for n in range(_WEEKLY_EXPIRIES)}
    for ahead in range(_MONTHLY_EXPIRIES + 1):
        years, month = divmod(today.month - 1 + ahead, 12)
        days.add(_on_or_before(nth_weekday(today.year + years, month + 1, _FRIDAY, 3)))
    for ahead in range(1, _JANUARIES + 2):
        days.add(_on_or_before(nth_weekday(today.year + ahead, 1, _FRIDAY, 3)))
    return tuple(sorted(day for day in days if day >= today))


def expiry_of_week(week: date) -> date:
    """The day on which the options of the week of Friday `week` expire: the Friday, or the day before a holiday."""
    return _on_or_before(week)


def is_option_expiry(day: date) -> bool:
    """Whether options can expire on `day`."""
    return expiry_of_week(day + timedelta(days=(_FRIDAY - day.weekday()) % 7)) == day


def _months(root: Root, year: int) -> Iterator[tuple[int, int]]:
    while True:
        for month in root.months:
            yield year, month
        year += 1


def _crude_oil(year: int, month: int) -> date:
    """Three business days before the 25th of the month before, or before the last business day ahead of that 25th."""
    years, before = divmod(year * 12 + month - 2, 12)
    day = date(years, before + 1, 25)
    return _business_days_before(_on_or_before(day), 3)


def _business_days_before(day: date, count: int) -> date:
    for _ in range(count):
        day = business_day_before(day)
    return day


def _on_or_before(day: date) -> date:
    return day if is_business_day(day) else business_day_before(day)


def _first_of_next(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)
