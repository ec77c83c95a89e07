"""Times as requests write them, and as answers do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from ibstream.simulation.sessions import NEW_YORK, from_ns, to_ns
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError

EPOCH_SECONDS = 2
"""The date format in which intraday times are seconds since 1970-01-01 UTC; format 1 is a local time with its zone."""

_WITH_ZONE = re.compile(r"(?:(\d{8}) {1,2})?(\d\d?:\d\d:\d\d)(?: ([A-Za-z]\S*))?")
_DATED = re.compile(r"\s*\d{8}\D")
_IN_UTC = re.compile(r"(\d{8})-(\d\d:\d\d:\d\d)")


class Moment(msgspec.Struct, frozen=True):
    """A time of a request, understood."""

    time_ns: int
    """Nanoseconds since the epoch."""
    zone_is_named: bool
    """Whether the request said in what zone; where it did not, a Gateway warns."""


def read_moment(text: str, now_ns: int, *, objection: Code = codes.BAD_END_TIME) -> Moment:
    """A time in any of the forms IBKR takes; without a date it is today's.

    `20261122 16:00:00 US/Eastern` in a zone, without one in the Gateway's, which is New York's, and `20261122-21:00:00` in UTC.
    Raises `RequestError` with `objection` for anything else.
    """
    utc = _IN_UTC.fullmatch(text.strip())
    if utc is not None:
        return Moment(_to_ns(utc[1], utc[2], UTC, objection), zone_is_named=True)
    zoned = _WITH_ZONE.fullmatch(text.strip())
    if zoned is None:
        raise RequestError(objection)
    zone = _zone(zoned[3], objection)
    day = zoned[1] or f"{from_ns(now_ns).astimezone(zone):%Y%m%d}"
    return Moment(_to_ns(day, zoned[2], zone, objection), zone_is_named=bool(zoned[3]))


def parse_time(text: str) -> int:
    """A time with its date, in nanoseconds since the epoch. Raises `RequestError` with code 10314 for anything else."""
    if not _DATED.match(text):
        raise RequestError(codes.BAD_END_TIME)
    return read_moment(text, 0).time_ns


def utc_text(time_ns: int) -> str:
    """`20261122-21:00:00`, in UTC."""
    return f"{from_ns(time_ns):%Y%m%d-%H:%M:%S}"


def zoned_text(time_ns: int, zone_name: str) -> str:
    """`20261122 16:00:00 US/Eastern`, in the zone of that name."""
    return f"{from_ns(time_ns).astimezone(ZoneInfo(zone_name)):%Y%m%d %H:%M:%S} {zone_name}"


def _to_ns(day: str, time: str, zone: tzinfo, objection: Code) -> int:
    try:
        moment = datetime.strptime(day + time, "%Y%m%d%H:%M:%S").replace(tzinfo=zone)
        return to_ns(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        raise RequestError(objection) from None


def _zone(name: str | None, objection: Code) -> tzinfo:
    if not name:
        return NEW_YORK
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RequestError(objection) from None
