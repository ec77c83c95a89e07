"""Hours in the text form of IBKR's contract details, in the time zone of the exchange.

20261123:0400-20261123:2000;20261128:CLOSED                stocks
20250521:1700-20250522:1600;20250524:CLOSED                futures and FX, whose sessions begin on the day before
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ibstream.calendar.hours import HOURS, Group
from ibstream.calendar.sessions import session

_SUNDAY = 6


def time_zone_id(group: Group) -> str:
    """The group's time zone as contract details name it: `US/Eastern`, `US/Central`."""
    return HOURS[group].zone.ib_name


def trading_hours(group: Group, first: date, days: int = 6) -> str:
    """All hours of `days` entries from trading date `first`."""
    return _text(group, first, days, liquid=False)


def liquid_hours(group: Group, first: date, days: int = 6) -> str:
    """The regular hours of `days` entries from trading date `first`."""
    return _text(group, first, days, liquid=True)


def _text(group: Group, first: date, days: int, *, liquid: bool) -> str:
    # A Sunday on which the session of Monday begins has no entry of its own, as in recorded details of a future.
    skipped = _SUNDAY if HOURS[group].opens > HOURS[group].closes else None
    entries: list[str] = []
    day = first
    while len(entries) < days:
        if day.weekday() != skipped:
            entries.append(_entry(group, day, liquid=liquid))
        day += timedelta(days=1)
    return ";".join(entries)


def _entry(group: Group, day: date, *, liquid: bool) -> str:
    found = session(group, day)
    if found is None:
        return f"{day:%Y%m%d}:CLOSED"
    opens, closes = (found.liquid_opens, found.liquid_closes) if liquid else (found.opens, found.closes)
    zone = ZoneInfo(HOURS[group].zone.name)
    return f"{_stamp(opens, zone)}-{_stamp(closes, zone)}"


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y%m%d:%H%M}"
