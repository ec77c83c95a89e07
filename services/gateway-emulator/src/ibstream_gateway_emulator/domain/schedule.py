"""The trading sessions of a period, as a request for SCHEDULE is answered."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from ibstream.calendar.hours import HOURS
from ibstream.calendar.sessions import Session as TradingSession
from ibstream.calendar.sessions import sessions
from ibstream.simulation.sessions import from_ns
from ibstream_gateway_emulator.domain import history_rules
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.history import Query
from ibstream_gateway_emulator.protocol.messages import HistoricalSchedule, Session

_ONE_DAY = timedelta(days=1)
_STAMP = "%Y%m%d-%H:%M:%S"


def schedule(query: Query) -> HistoricalSchedule:
    """The sessions of the period, oldest first, in the exchange's own time; the regular ones where regular hours were asked.

    One that has not begun at the end of the period is none of them. Raises `RequestError` with 162 if there is none at all.
    """
    zone = HOURS[query.listing.hours].zone
    local = ZoneInfo(zone.name)
    start, end = from_ns(query.start_ns), from_ns(query.end_ns)
    days = sessions(query.listing.hours, start.astimezone(local).date(), end.astimezone(local).date() + _ONE_DAY)
    found = tuple(_session(one, local, regular=query.regular_hours) for one in days if one.opens < end)
    if not found:
        raise RequestError(history_rules.no_data(query.listing, history_rules.SCHEDULE))
    return HistoricalSchedule(query.req_id, found[0].start, found[-1].end, zone.ib_name, found)


def _session(one: TradingSession, zone: ZoneInfo, *, regular: bool) -> Session:
    opens, closes = (one.liquid_opens, one.liquid_closes) if regular else (one.opens, one.closes)
    return Session(
        opens.astimezone(zone).strftime(_STAMP), closes.astimezone(zone).strftime(_STAMP), f"{one.day:%Y%m%d}"
    )
