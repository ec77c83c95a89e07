"""Single ticks of the past: which of them a request means, and each as a message.

A request names where to begin or where to end, and how many ticks it wants; what shares the last one's second comes with them, as
IBKR completes whole seconds. With both a start and an end the start counts, with neither the beginning of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice, pairwise

import msgspec

from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.sessions import new_york_date, regular_window
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes, history, times
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.times import Moment
from ibstream_gateway_emulator.protocol.messages import (
    HistoricalBidAsks,
    HistoricalMidpoints,
    HistoricalTrades,
    Message,
    PastBidAsk,
    PastMidpoint,
    PastTrade,
)
from ibstream_gateway_emulator.protocol.requests import ReqHistoricalTicks

TICKS_MAX = 1000
"""More than these, and the rest of their last second, are not given at once."""
CHUNK_NS = 300 * NS_PER_S
"""How much of the past is looked through at once."""

CHUNKS_MAX = 288
"""A day: where prices moved less often, an answer has fewer ticks than were asked for."""

_ONE_DAY = timedelta(days=1)
_Window = tuple[int, int]


class TickQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A request for ticks, understood. Times in nanoseconds since the epoch."""

    req_id: int
    listing: Listing
    what: str
    """TRADES, BID_ASK or MIDPOINT."""
    from_ns: int
    until_ns: int
    backwards: bool
    """Whether the last ticks of that time are meant rather than the first."""
    count: int
    regular_hours: bool
    ignore_size: bool
    zones_unnamed: int
    """How many of the times were in no zone, of which a Gateway warns one by one."""


def tick_query_of(request: ReqHistoricalTicks, found: Listing, now_ns: int) -> TickQuery:
    """What the request means at `now_ns`. Raises `RequestError` for what a Gateway refuses, too."""
    start = _moment(request.start, now_ns, codes.BAD_START_TIME)
    end = _moment(request.end, now_ns, codes.BAD_END_TIME)
    what = _kind(request, found)
    limit_ns = min(now_ns, history.history_ends(found))
    backwards = start is None and end is not None
    begins_ns = history.history_begins(found)
    return TickQuery(
        req_id=request.req_id,
        listing=found,
        what=what,
        from_ns=max(start.time_ns, begins_ns) if start is not None else begins_ns,
        until_ns=min(end.time_ns, limit_ns) if backwards and end is not None else limit_ns,
        backwards=backwards,
        count=min(request.count, TICKS_MAX),
        regular_hours=request.use_rth,
        ignore_size=request.ignore_size,
        zones_unnamed=sum(one is not None and not one.zone_is_named for one in (start, end)),
    )


def answer(query: TickQuery, market: Market) -> Message:
    """The ticks as one message, oldest first; it may be empty."""
    windows = _windows_back(query) if query.backwards else _windows(query)
    is_new = _CHANGES[query.what, query.ignore_size]
    chunks = (_ticks(market, query.listing.symbol, window, is_new) for window in islice(windows, CHUNKS_MAX))
    if query.backwards:
        found = _complete((tick for chunk in chunks for tick in reversed(chunk)), query.count)[::-1]
    else:
        found = _complete((tick for chunk in chunks for tick in chunk), query.count)
    return _message(query, found)


def _moment(text: str, now_ns: int, objection: codes.Code) -> Moment | None:
    return times.read_moment(text, now_ns, objection=objection) if text.strip() else None


def _kind(request: ReqHistoricalTicks, found: Listing) -> str:
    if request.count <= 0:
        raise RequestError(codes.invalid("Number of ticks must be > 0"))
    if not request.what_to_show:
        raise RequestError(codes.invalid("Source price must not be empty"))
    what = request.what_to_show.upper()
    if what not in ("TRADES", "BID_ASK", "MIDPOINT"):
        raise RequestError(codes.TRADES_EXPECTED if what == "AGGTRADES" else codes.invalid("Invalid source price"))
    # Trades of pairs are not told; a Gateway gives midpoints instead.
    return "MIDPOINT" if what == "TRADES" and not found.has_trades else what


def _windows(query: TickQuery) -> Iterator[_Window]:
    """The time in question in pieces, oldest first."""
    for opens, closes in _traded(query):
        yield from pairwise([*range(opens, closes, CHUNK_NS), closes])


def _windows_back(query: TickQuery) -> Iterator[_Window]:
    """The same, latest first."""
    for opens, closes in _traded_back(query):
        for end in range(closes, opens, -CHUNK_NS):
            yield max(opens, end - CHUNK_NS), end


def _traded(query: TickQuery) -> Iterator[_Window]:
    if not query.regular_hours:
        yield query.from_ns, query.until_ns
        return
    day, last = new_york_date(query.from_ns), new_york_date(query.until_ns) + _ONE_DAY
    while day <= last:
        yield from _clipped(regular_window(day, query.listing.hours), query)
        day += _ONE_DAY


def _traded_back(query: TickQuery) -> Iterator[_Window]:
    if not query.regular_hours:
        yield query.from_ns, query.until_ns
        return
    first, day = new_york_date(query.from_ns), new_york_date(query.until_ns) + _ONE_DAY
    while day >= first:
        yield from _clipped(regular_window(day, query.listing.hours), query)
        day -= _ONE_DAY


def _clipped(window: _Window | None, query: TickQuery) -> Iterator[_Window]:
    if window is not None and max(window[0], query.from_ns) < min(window[1], query.until_ns):
        yield max(window[0], query.from_ns), min(window[1], query.until_ns)


_Compare = Callable[[Quote, Quote], bool]
_CHANGES: dict[tuple[str, bool], _Compare] = {
    ("TRADES", False): lambda _before, _now: True,
    ("TRADES", True): lambda _before, _now: True,
    ("BID_ASK", False): lambda before, now: _book(before) != _book(now),
    ("BID_ASK", True): lambda before, now: (before.bid, before.ask) != (now.bid, now.ask),
    ("MIDPOINT", False): lambda before, now: before.bid + before.ask != now.bid + now.ask,
    ("MIDPOINT", True): lambda before, now: before.bid + before.ask != now.bid + now.ask,
}
"""Whether a tick is one of the kind, given the one before it; by kind and whether sizes are ignored."""


def _book(quote: Quote) -> tuple[float, float, int, int]:
    return quote.bid, quote.ask, quote.bid_size, quote.ask_size


def _ticks(market: Market, symbol: str, window: _Window, is_new: _Compare) -> list[Quote]:
    before = market.quote(symbol, window[0] - 1)
    quotes = [before, *market.quotes(symbol, *window)]
    return [now for before, now in pairwise(quotes) if is_new(before, now)]


def _complete(ticks: Iterable[Quote], count: int) -> list[Quote]:
    """The first `count` ticks and the rest of their last second, in either direction."""
    found: list[Quote] = []
    for tick in ticks:
        if len(found) >= count and tick.time_ns // NS_PER_S != found[-1].time_ns // NS_PER_S:
            break
        found.append(tick)
    return found


def _message(query: TickQuery, ticks: list[Quote]) -> Message:
    exchange = query.listing.primary_exchange or query.listing.exchange
    if query.what == "TRADES":
        trades = (PastTrade(_second(one), 0, one.last, one.last_size, exchange, "") for one in ticks)
        return HistoricalTrades(query.req_id, tuple(trades), is_done=True)
    if query.what == "BID_ASK":
        books = (PastBidAsk(_second(one), 0, *_book(one)) for one in ticks)
        return HistoricalBidAsks(query.req_id, tuple(books), is_done=True)
    midpoints = (PastMidpoint(_second(one), 0, round((one.bid + one.ask) / 2, 8), 0) for one in ticks)
    return HistoricalMidpoints(query.req_id, tuple(midpoints), is_done=True)


def _second(quote: Quote) -> int:
    return quote.time_ns // NS_PER_S
