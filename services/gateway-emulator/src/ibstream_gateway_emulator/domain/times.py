"""Times as requests write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ibstream.simulation.sessions import NEW_YORK, to_ns
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError

_WITH_ZONE = re.compile(r"(\d{8}) {1,2}(\d\d:\d\d:\d\d)(?: (\S+))?")
_IN_UTC = re.compile(r"(\d{8})-(\d\d:\d\d:\d\d)")


def parse_time(text: str) -> int:
    """A time in nanoseconds since the epoch.

    `20261122 16:00:00 US/Eastern` in a zone, without one in the gateway's, which is New York's, and `20261122-21:00:00` in
    UTC. Raises `RequestError` with code 10314 for anything else.
    """
    utc = _IN_UTC.fullmatch(text)
    if utc is not None:
        return _to_ns(utc[1], utc[2], UTC)
    zoned = _WITH_ZONE.fullmatch(text)
    if zoned is None:
        raise RequestError(codes.BAD_END_TIME)
    return _to_ns(zoned[1], zoned[2], _zone(zoned[3]))


def _to_ns(day: str, time: str, zone: tzinfo) -> int:
    try:
        moment = datetime.strptime(day + time, "%Y%m%d%H:%M:%S").replace(tzinfo=zone)
        return to_ns(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise RequestError(codes.BAD_END_TIME) from None


def _zone(name: str | None) -> tzinfo:
    if not name:
        return NEW_YORK
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RequestError(codes.BAD_END_TIME) from None
