"""When the nightly restarts come."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.faults.held import Held
from ibstream_gateway_emulator.faults.verbs_connection import NightlyRestart


def nights_between(held: Iterable[Held], after_ns: int, until_ns: int) -> list[NightlyRestart]:
    """The nightly restarts whose time of day came after `after_ns`, and by `until_ns`."""
    return [
        one.verb
        for one in held
        if isinstance(one.verb, NightlyRestart) and next_ns(one.verb, max(after_ns, one.since_ns)) <= until_ns
    ]


def next_ns(verb: NightlyRestart, after_ns: int) -> int:
    """The first moment after `after_ns` at which it is that time of day there; nanoseconds since the epoch."""
    zone, at = ZoneInfo(verb.time_zone), time.fromisoformat(verb.at)
    day = datetime.fromtimestamp(after_ns // NS_PER_S, UTC).astimezone(zone).date()
    # Three days: on the day clocks go forward, the time of day may not exist.
    moments = (datetime.combine(day + timedelta(days=ahead), at, zone) for ahead in range(3))
    return next(ns for moment in moments if (ns := round(moment.timestamp()) * NS_PER_S) > after_ns)
