"""Historical bars: which period a request means, whether it may be asked, and the bars as a message."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import cast

import msgspec

from ibstream.contracts.data import BarSize, WhatToShow
from ibstream.simulation.bars import BAR_SIZES, KINDS, Bar, seconds_of
from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.periods import Unit, period_start
from ibstream.simulation.sessions import NEW_YORK, from_ns, to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.order_record import local_time
from ibstream_gateway_emulator.domain.times import parse_time
from ibstream_gateway_emulator.protocol.messages import HistoricalBar, HistoricalData
from ibstream_gateway_emulator.protocol.requests import ReqHistoricalData

HISTORY_BEGINS = datetime(2000, 1, 3, 14, 30, tzinfo=UTC)
"""The first bar of every instrument: an opening in New York."""
BARS_MAX = 100_000
"""The most bars one answer may hold; a day of single seconds is refused, as by a Gateway."""

_DURATION = re.compile(r"(\d{1,6}) ([SDWMY])")
_LONGEST = {"S": 86_400, "D": 365, "W": 52, "M": 12, "Y": 68}
_SMALLEST_BAR_S = {"S": 1, "D": 5, "W": 10, "M": 30, "Y": 60}
"""Source of both: IBKR's tables of valid step sizes and maximal durations."""
_LONGEST_OF_ONE_SECOND_BARS_S = 2_000
_SECONDS_PER_DAY = 86_400
_SESSION_S = 23_400
_EPOCH_SECONDS = 2
"""The date format in which intraday bars carry epoch seconds."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A request for bars, understood. Times in nanoseconds since the epoch."""

    req_id: int
    listing: Listing
    start_ns: int
    end_ns: int
    bar_size: BarSize
    what: WhatToShow
    regular_hours: bool
    epoch_seconds: bool
    bars_estimate: int
    """At most so many bars, roughly."""


def query_of(request: ReqHistoricalData, listing: Listing, now_ns: int) -> Query:
    """What the request means at `now_ns`. Raises `RequestError` for what a Gateway refuses, too."""
    _check_kind(request)
    bar_size = cast("BarSize", request.bar_size)
    count, unit = _duration(request.duration)
    bar_s = seconds_of(bar_size) or _SECONDS_PER_DAY
    _check_step(count, unit, bar_s)
    end_ns = min(parse_time(request.end), now_ns) if request.end else now_ns
    start_ns = max(period_start(end_ns, count, unit, bar_s, regular_hours=request.use_rth), to_ns(HISTORY_BEGINS))
    estimate = _estimate(end_ns - start_ns, bar_s, regular_hours=request.use_rth)
    if estimate > BARS_MAX:
        raise RequestError(codes.too_long())
    return Query(
        req_id=request.req_id,
        listing=listing,
        start_ns=start_ns,
        end_ns=end_ns,
        bar_size=bar_size,
        # Nothing splits and nothing pays dividends here, so the adjusted prices are the prices.
        what="TRADES" if request.what_to_show == "ADJUSTED_LAST" else cast("WhatToShow", request.what_to_show),
        regular_hours=request.use_rth,
        epoch_seconds=request.format_date == _EPOCH_SECONDS,
        bars_estimate=estimate,
    )


def answer(query: Query, market: Market) -> HistoricalData:
    """The bars as one message. Raises `RequestError` with code 162 if there are none."""
    start, end = from_ns(query.start_ns), from_ns(query.end_ns)
    bars = market.bars(query.listing.symbol, start, end, query.bar_size, query.what, regular_hours=query.regular_hours)
    if not bars:
        raise RequestError(codes.no_data(query.listing.ib_symbol, query.what))
    wired = tuple(_wire(bar, _stamp(bar.start, query)) for bar in bars)
    return HistoricalData(query.req_id, local_time(query.start_ns), local_time(query.end_ns), wired)


def _check_kind(request: ReqHistoricalData) -> None:
    if request.bar_size not in BAR_SIZES:
        raise RequestError(codes.invalid(f"Historical data bar size setting is invalid: {request.bar_size}"))
    if request.what_to_show == "ADJUSTED_LAST" and request.end:
        raise RequestError(codes.invalid("End date not supported with adjusted last"))
    if request.what_to_show not in (*KINDS, "ADJUSTED_LAST"):
        raise RequestError(codes.unsupported(f"whatToShow {request.what_to_show!r}"))
    if request.keep_up_to_date:
        raise RequestError(codes.unsupported("keepUpToDate"))


def _duration(text: str) -> tuple[int, Unit]:
    found = _DURATION.fullmatch(text)
    if found is None or not int(found[1]):
        raise RequestError(codes.invalid(f"Historical data query duration is invalid: {text}"))
    count, unit = int(found[1]), cast("Unit", found[2])
    if count > _LONGEST[unit]:
        raise RequestError(codes.invalid(f"Historical data requests for durations longer than {_LONGEST[unit]} {unit}"))
    return count, unit


def _check_step(count: int, unit: str, bar_s: int) -> None:
    if bar_s < _SMALLEST_BAR_S[unit]:
        raise RequestError(codes.too_long())
    if bar_s == 1 and count > _LONGEST_OF_ONE_SECOND_BARS_S:
        raise RequestError(codes.too_long())


def _estimate(length_ns: int, bar_s: int, *, regular_hours: bool) -> int:
    length_s = max(length_ns, 0) // NS_PER_S
    traded_s = length_s * _SESSION_S // _SECONDS_PER_DAY if regular_hours else length_s
    return traded_s // bar_s


def _stamp(start: datetime, query: Query) -> str:
    local = start.astimezone(NEW_YORK)
    if seconds_of(query.bar_size) is None:
        return f"{local:%Y%m%d}"
    return str(int(start.timestamp())) if query.epoch_seconds else local_time(to_ns(start))


def _wire(bar: Bar, stamp: str) -> HistoricalBar:
    return HistoricalBar(
        date=stamp,
        open=f"{bar.open:.2f}",
        high=f"{bar.high:.2f}",
        low=f"{bar.low:.2f}",
        close=f"{bar.close:.2f}",
        volume=str(bar.volume),
        average=f"{bar.average:.3f}" if bar.average >= 0 else "-1",
        count=bar.trades,
    )
