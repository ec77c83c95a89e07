"""The times in a recording, in every form that Gateways and their recorders write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_BERLIN, _LONDON, _TOKYO = "Europe/Berlin", "Europe/London", "Asia/Tokyo"
_NEW_YORK, _CHICAGO, _DENVER, _LOS_ANGELES = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
)
_ZONES = {
    "Central European Standard Time": _BERLIN,
    "Central European Summer Time": _BERLIN,
    "Central European Time": _BERLIN,
    "W. Europe Standard Time": _BERLIN,
    "Romance Standard Time": "Europe/Paris",
    "Central Europe Standard Time": "Europe/Budapest",
    "CET": _BERLIN,
    "CEST": _BERLIN,
    "MET": _BERLIN,
    "Eastern European Time": "Europe/Helsinki",
    "Eastern European Standard Time": "Europe/Helsinki",
    "FLE Standard Time": "Europe/Helsinki",
    "Greenwich Mean Time": _LONDON,
    "GMT Standard Time": _LONDON,
    "British Summer Time": _LONDON,
    "GMT": "UTC",
    "Coordinated Universal Time": "UTC",
    "Eastern Standard Time": _NEW_YORK,
    "Eastern Daylight Time": _NEW_YORK,
    "US Eastern Standard Time": _NEW_YORK,
    "EST": _NEW_YORK,
    "EDT": _NEW_YORK,
    "Central Standard Time": _CHICAGO,
    "Central Daylight Time": _CHICAGO,
    "CST": _CHICAGO,
    "CDT": _CHICAGO,
    "Mountain Standard Time": _DENVER,
    "Mountain Daylight Time": _DENVER,
    "MST": _DENVER,
    "MDT": _DENVER,
    "Pacific Standard Time": _LOS_ANGELES,
    "Pacific Daylight Time": _LOS_ANGELES,
    "PST": _LOS_ANGELES,
    "PDT": _LOS_ANGELES,
    "Japan Standard Time": _TOKYO,
    "Tokyo Standard Time": _TOKYO,
    "JST": _TOKYO,
    "Hong Kong Time": "Asia/Hong_Kong",
    "Hong Kong Standard Time": "Asia/Hong_Kong",
    "China Standard Time": "Asia/Shanghai",
    "Singapore Standard Time": "Asia/Singapore",
    "India Standard Time": "Asia/Kolkata",
    "AUS Eastern Standard Time": "Australia/Sydney",
}
"""What Gateways call their time zone, after Java and after Windows; other names are those of the time zone database."""
_LOCAL = re.compile(r"(\d{8})[ -]+(\d{2}:\d{2}:\d{2}) *(.*)")
_SLEEP = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def moment_of(text: str) -> datetime:
    """A time in UTC: `20260412 15:27:04 Central European Standard Time`, `20260412-15:27:04`, `2026-04-12T15:27:04Z`.

    Without a zone it is UTC. Raises `ValueError` for what is no time, and `KeyError` for a zone that is not known.
    """
    found = _LOCAL.fullmatch(text.strip())
    if found is None:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    day, clock, zone = found.groups()
    moment = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - the zone follows
    return moment.replace(tzinfo=ZoneInfo(_ZONES.get(zone, zone or "UTC"))).astimezone(UTC)


def seconds_of(text: str) -> float:
    """A pause: `100ms`, `1.5s`, `2m`. Raises `ValueError`."""
    found = _SLEEP.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration")
    return float(found[1]) * _SECONDS[found[2]]
