"""When an instrument trades, from the hours that IBKR tells of its contract. What is not told, or makes no sense, is taken for
closed: silence that nobody can judge is no alarm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SESSION = re.compile(r"(\d{8}):(\d{4})-(\d{8}):(\d{4})")
_DAY = re.compile(r"(\d{8}):")
_IB_ZONES = {"EST": "America/New_York", "EST5EDT": "America/New_York", "CST": "America/Chicago", "JST": "Asia/Tokyo"}
"""IBKR's names that the tz database lacks, or takes for a zone without summer time."""

Sessions = tuple[tuple[float, float], ...]
"""From when to when, in seconds since 1970."""


def is_open(text: str, time_zone: str, at_s: float) -> bool:
    """Whether a session of `text` (`20261127:0930-20261127:1300;20261128:CLOSED`) lies around a moment, in seconds since 1970."""
    return any(opens <= at_s < closes for opens, closes in sessions(text, time_zone))


def is_told(text: str, time_zone: str, at_s: float) -> bool:
    """Whether `text` says anything of a moment: it names the sessions of some days, and those without one."""
    return at_s < _told_until(text, time_zone)


@lru_cache(maxsize=4096)
def _told_until(text: str, time_zone: str) -> float:
    """The end of the last day that is named; 0 where nothing is."""
    zone, days = _zone(time_zone), _DAY.findall(text)
    if zone is None or not days:
        return 0.0
    with suppress(ValueError, OverflowError):  # digits that are no day
        return _moment(max(days), "2400", zone)
    return 0.0


@lru_cache(maxsize=4096)
def sessions(text: str, time_zone: str) -> Sessions:
    """The sessions that are told; none where the zone is not known."""
    zone = _zone(time_zone)
    return () if zone is None else tuple(_told(text, zone))


def _zone(name: str) -> ZoneInfo | None:
    """Also by IBKR's names, which may have theirs in words behind them: `EST (Eastern Standard Time)`."""
    short = name.partition(" ")[0]
    try:
        return ZoneInfo(_IB_ZONES.get(short, short))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _told(text: str, zone: ZoneInfo) -> Iterator[tuple[float, float]]:
    for day, at, end_day, end in _SESSION.findall(text):
        with suppress(ValueError, OverflowError):  # digits that are no moment
            yield _moment(day, at, zone), _moment(end_day, end, zone)


def _moment(day: str, at: str, zone: ZoneInfo) -> float:
    """The last minute of a day can be written as 2400, which is the next day's first."""
    hour, minute = int(at[:2]), int(at[2:])
    midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=zone)
    if hour == 24:  # by the exchange's clock: the day on which it is put back has 25 hours
        midnight, hour = midnight + timedelta(days=1), 0
    return midnight.replace(hour=hour, minute=minute).astimezone(UTC).timestamp()
