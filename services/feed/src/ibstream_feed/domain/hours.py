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
_IB_ZONES = {"EST": "America/New_York", "EST5EDT": "America/New_York", "CST": "America/Chicago", "JST": "Asia/Tokyo"}
"""IBKR's names that the tz database lacks, or takes for a zone without summer time."""

Sessions = tuple[tuple[float, float], ...]
"""From when to when, in seconds since 1970."""


def is_open(text: str, time_zone: str, at_s: float) -> bool:
    """Whether a session of `text` (`20261127:0930-20261127:1300;20261128:CLOSED`) lies around a moment, in seconds since 1970."""
    return any(opens <= at_s < closes for opens, closes in sessions(text, time_zone))


def last_close(text: str, time_zone: str, at_s: float) -> float | None:
    """When the latest session that is told and over ended; None where none is."""
    return max((closes for _, closes in sessions(text, time_zone) if closes <= at_s), default=None)


@lru_cache(maxsize=4096)
def sessions(text: str, time_zone: str) -> Sessions:
    """The sessions that are told; none where the zone is not known."""
    try:
        zone = ZoneInfo(_IB_ZONES.get(time_zone, time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ()
    return tuple(_told(text, zone))


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
