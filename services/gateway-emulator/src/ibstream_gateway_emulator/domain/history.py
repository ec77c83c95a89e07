"""Historical bars: which period a request means, and the bars as a message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec

from ibstream.contracts.data import BarSize
from ibstream.simulation.bars import Bar, Kind, seconds_of
from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.periods import period_start
from ibstream.simulation.sessions import day_window, from_ns, to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes, history_rules, times
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.contract_data import trading_date
from ibstream_gateway_emulator.domain.pacing import SMALL_BAR_S, Asked
from ibstream_gateway_emulator.protocol.messages import HistoricalBar, HistoricalData, HistoricalDataUpdate
from ibstream_gateway_emulator.protocol.requests import ReqHistoricalData

HISTORY_BEGINS = datetime(2000, 1, 3, 14, 30, tzinfo=UTC)
"""The first bar of whatever has no expiry: an opening in New York."""
BARS_MAX = 100_000
"""The most bars one answer may hold; a day of single seconds is refused, as by a Gateway."""
SMALL_BARS_KEPT_DAYS = 183
"""Bars of 30 seconds and less are not to be had of earlier times; source: IBKR's list of unavailable historical data."""
EXPIRED_FUTURES_KEPT_DAYS = 731
"""Nor is anything of futures that ended earlier."""
_LISTED_DAYS = {"FUT": 731, "OPT": 270}
"""How long before its expiry an instrument's history begins."""
_SESSION_S = 23_400


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A request for bars, understood. Times in nanoseconds since the epoch."""

    req_id: int
    listing: Listing
    start_ns: int
    end_ns: int
    bar_size: BarSize
    what: str
    """A `bars.Kind`, or SCHEDULE."""
    regular_hours: bool
    epoch_seconds: bool
    zone_is_named: bool
    """False for an end in no zone, of which a Gateway warns."""
    keep_up_to_date: bool
    bars_estimate: int
    """At most so many bars, roughly."""
    asked: Asked | None
    """For the rationing of small bars; None for bars that are not rationed."""


def query_of(request: ReqHistoricalData, found: Listing, now_ns: int) -> Query:
    """What the request means at `now_ns`. Raises `RequestError` for what a Gateway refuses, too."""
    end = times.read_moment(request.end, now_ns) if request.end.strip() else times.Moment(now_ns, zone_is_named=True)
    shape = history_rules.shape_of(request)
    what = history_rules.kind_of(request, found)
    # Options, pairs and indices have no hours but the regular ones.
    regular = request.use_rth or found.security_type in ("OPT", "CASH", "IND")
    end_ns = min(end.time_ns, now_ns, history_ends(found))
    start_ns = period_start(
        end_ns, shape.span.count, shape.span.unit, shape.bar_s, regular_hours=regular, group=found.hours
    )
    estimate = _estimate(end_ns - start_ns, shape.bar_s, regular_hours=regular)
    if estimate > BARS_MAX:
        raise RequestError(codes.too_long())
    return Query(
        req_id=request.req_id,
        listing=found,
        start_ns=max(start_ns, history_begins(found), _kept_since(found, shape.bar_s, now_ns)),
        end_ns=end_ns,
        bar_size=shape.bar_size,
        what=what,
        regular_hours=regular,
        epoch_seconds=request.format_date == times.EPOCH_SECONDS,
        zone_is_named=end.zone_is_named,
        keep_up_to_date=request.keep_up_to_date,
        bars_estimate=estimate,
        asked=_asked(request, found, what) if shape.bar_s <= SMALL_BAR_S else None,
    )


def history_begins(found: Listing) -> int:
    """When an instrument's history begins, nanoseconds since the epoch."""
    if found.expiry is None:
        return to_ns(HISTORY_BEGINS)
    return day_window(found.expiry - timedelta(days=_LISTED_DAYS[found.security_type]))[0]


def history_ends(found: Listing) -> int:
    """When it ends: with the last trading day, else never."""
    return _NEVER_NS if found.expiry is None else day_window(found.expiry)[1]


def bars_of(query: Query, market: Market, start_ns: int, end_ns: int) -> list[Bar]:
    """The query's bars that start in `[start_ns, end_ns)`; the last may be unfinished."""
    if start_ns >= end_ns:
        return []
    return market.bars(
        query.listing.symbol,
        from_ns(start_ns),
        from_ns(end_ns),
        query.bar_size,
        cast("Kind", query.what),
        regular_hours=query.regular_hours,
    )


def all_bars(query: Query, market: Market) -> list[Bar]:
    """All bars of the query. Raises `RequestError` with code 162 if there are none."""
    bars = bars_of(query, market, query.start_ns, query.end_ns)
    if not bars:
        raise RequestError(history_rules.no_data(query.listing, query.what))
    return bars


def answer(query: Query, bars: Iterable[Bar]) -> HistoricalData:
    """The bars as one message."""
    zone = query.listing.time_zone_id
    start, end = (times.zoned_text(one, zone) for one in (query.start_ns, query.end_ns))
    return HistoricalData(query.req_id, start, end, tuple(_wire(bar, query) for bar in bars))


def update(bar: Bar, query: Query) -> HistoricalDataUpdate:
    """A bar that has changed since it was told, or a new one, of a query that is kept up to date."""
    wired = _wire(bar, query)
    return HistoricalDataUpdate(
        query.req_id,
        wired.count,
        wired.date,
        bar.open,
        bar.close,
        bar.high,
        bar.low,
        bar.average if bar.average >= 0 else -1,
        bar.volume,
    )


def head_timestamp(found: Listing, format_date: int) -> str:
    """When the history begins, as epoch seconds or in UTC."""
    begins_ns = history_begins(found)
    return str(begins_ns // NS_PER_S) if format_date == times.EPOCH_SECONDS else times.utc_text(begins_ns)


def price_text(price: float, places: int) -> str:
    """A price with the instrument's places, and with more where it lies between two of its ticks, as a midpoint may."""
    text = f"{price:.{places}f}"
    return text if abs(float(text) - price) < _EXACT else f"{price:.8f}".rstrip("0")


_EXACT = 1e-9
_NEVER_NS = 2**63 - 1


def _kept_since(found: Listing, bar_s: int, now_ns: int) -> int:
    """Before when such bars are not to be had, whatever the request says."""
    today_ns = day_window(trading_date(found, now_ns))[0]
    is_gone = found.expiry is not None and history_ends(found) < today_ns - EXPIRED_FUTURES_KEPT_DAYS * _DAY_NS
    if is_gone:
        return _NEVER_NS
    return today_ns - SMALL_BARS_KEPT_DAYS * _DAY_NS if bar_s <= SMALL_BAR_S else 0


_DAY_NS = history_rules.SECONDS_PER_DAY * NS_PER_S


def _asked(request: ReqHistoricalData, found: Listing, what: str) -> Asked:
    detail = (request.end, request.bar_size, request.duration, str(request.use_rth), str(request.keep_up_to_date))
    return Asked(found.symbol, request.contract.exchange, what, detail)


def _estimate(length_ns: int, bar_s: int, *, regular_hours: bool) -> int:
    length_s = max(length_ns, 0) // NS_PER_S
    traded_s = length_s * _SESSION_S // history_rules.SECONDS_PER_DAY if regular_hours else length_s
    return traded_s // bar_s


def _wire(bar: Bar, query: Query) -> HistoricalBar:
    places = query.listing.price_places
    return HistoricalBar(
        date=_stamp(bar.start, query),
        open=price_text(bar.open, places),
        high=price_text(bar.high, places),
        low=price_text(bar.low, places),
        close=price_text(bar.close, places),
        volume=str(bar.volume),
        average=f"{bar.average:.{places + 1}f}" if bar.average >= 0 else "-1",
        count=bar.trades,
    )


def _stamp(start: datetime, query: Query) -> str:
    start_ns = to_ns(start)
    if seconds_of(query.bar_size) is None:
        return f"{trading_date(query.listing, start_ns):%Y%m%d}"
    return str(start_ns // NS_PER_S) if query.epoch_seconds else times.zoned_text(start_ns, query.listing.time_zone_id)
