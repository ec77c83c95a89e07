"""Single ticks, as tick-by-tick subscriptions tell them: which are told, and as what message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.quotes import Quote
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.protocol.messages import (
    HistoricalBidAsks,
    HistoricalMidpoints,
    HistoricalTrades,
    Message,
    PastBidAsk,
    PastMidpoint,
    PastTrade,
    TickByTickBidAsk,
    TickByTickMidpoint,
    TickByTickTrade,
)

LAST, ALL_LAST, BID_ASK, MIDPOINT = 1, 2, 3, 4
TYPES = {"Last": LAST, "AllLast": ALL_LAST, "BidAsk": BID_ASK, "MidPoint": MIDPOINT}
"""By the name in the request; case counts."""

PAST_MAX = 1_000
"""The most ticks of the past that come first."""
_NOT_FOR = ("OPT", "IND", "BAG")
"""IBKR gives no tick-by-tick data of options and combinations, and of indices of CME alone, of which there are none here."""
_LOOK_BACK_NS = NS_PER_S
_LOOKS_BACK_MAX = 24
"""The time looked back for past ticks doubles so often at most: an expired instrument has none."""
_MIDPOINT_PLACES = 8
_NO_ATTRIBUTES = 0


class Feed(msgspec.Struct, frozen=True):
    """What one subscription is about."""

    listing: Listing
    kind: int
    """One of `TYPES`."""
    ignores_size: bool = False
    """Whether bids and asks are told only when their prices change."""

    def is_told(self, quote: Quote, before: Quote | None) -> bool:
        """Whether the tick `quote` is news after the tick `before`; every trade is."""
        if before is None or self.kind in (LAST, ALL_LAST):
            return True
        if self.kind == MIDPOINT:
            return _midpoint(quote) != _midpoint(before)
        prices, prices_before = (quote.bid, quote.ask), (before.bid, before.ask)
        sizes, sizes_before = (quote.bid_size, quote.ask_size), (before.bid_size, before.ask_size)
        return prices != prices_before or (not self.ignores_size and sizes != sizes_before)

    def news(self, quotes: Iterable[Quote], before: Quote | None) -> Iterator[Quote]:
        """Of the ticks in order those that are told."""
        for quote in quotes:
            if self.is_told(quote, before):
                yield quote
            before = quote

    def message(self, req_id: int, quote: Quote) -> Message:
        """A tick as it streams."""
        second = quote.time_ns // NS_PER_S
        if self.kind == MIDPOINT:
            return TickByTickMidpoint(req_id, self.kind, second, _midpoint(quote))
        if self.kind == BID_ASK:
            sizes = (quote.bid_size, quote.ask_size)
            return TickByTickBidAsk(req_id, self.kind, second, quote.bid, quote.ask, *sizes, _NO_ATTRIBUTES)
        place = self.listing.primary_exchange or self.listing.exchange
        return TickByTickTrade(req_id, self.kind, second, quote.last, quote.last_size, _NO_ATTRIBUTES, place, "")

    def past_message(self, req_id: int, quotes: Iterable[Quote]) -> Message:
        """Ticks of the past, in one message."""
        if self.kind == MIDPOINT:
            middles = (PastMidpoint(one.time_ns // NS_PER_S, 0, _midpoint(one), 0) for one in quotes)
            return HistoricalMidpoints(req_id, tuple(middles), is_done=True)
        if self.kind == BID_ASK:
            books = (
                PastBidAsk(one.time_ns // NS_PER_S, _NO_ATTRIBUTES, one.bid, one.ask, one.bid_size, one.ask_size)
                for one in quotes
            )
            return HistoricalBidAsks(req_id, tuple(books), is_done=True)
        place = self.listing.primary_exchange or self.listing.exchange
        trades = (
            PastTrade(one.time_ns // NS_PER_S, _NO_ATTRIBUTES, one.last, one.last_size, place, "") for one in quotes
        )
        return HistoricalTrades(req_id, tuple(trades), is_done=True)

    def past(self, market: Market, count: int, now_ns: int) -> list[Quote]:
        """The last `count` ticks told by now, oldest first; fewer where there are no more."""
        span_ns, found = max(count, 1) * _LOOK_BACK_NS, list[Quote]()
        for _ in range(_LOOKS_BACK_MAX):
            found = list(self.news(market.quotes(self.listing.symbol, now_ns + 1 - span_ns, now_ns + 1), None))
            # The first has none before it to compare with, so it may not be news.
            if len(found) > count:
                break
            span_ns *= 2
        return found[-count:] if count else []


def feed(listing: Listing, tick_type: str, *, ignores_size: bool) -> Feed:
    """What a request asks for. Raises `RequestError` for what there is not."""
    if tick_type not in TYPES:
        raise RequestError(codes.invalid(f"Invalid tick-by-tick type {tick_type!r}: {', '.join(TYPES)}"))
    kind = TYPES[tick_type]
    has_no_trades = kind in (LAST, ALL_LAST) and not listing.has_trades
    if listing.security_type in _NOT_FOR or has_no_trades:
        raise RequestError(codes.no_tick_by_tick(f"{tick_type} data is not available for {listing.security_type}"))
    return Feed(listing, kind, ignores_size)


def _midpoint(quote: Quote) -> float:
    return round((quote.bid + quote.ask) / 2, _MIDPOINT_PLACES)
