"""From quotes to tick messages: what changed since the subscription was last told.

Tick types: 1 bid, 2 ask, 4 last (with sizes, message 1); 0 bid size, 3 ask size, 5 last size, 8 volume (message 2); 45 time
of the last trade in epoch seconds (message 46); 6 high, 7 low, 9 previous close, 14 open of the day (message 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ibstream.simulation.market import DayStatistics, Market, Quote
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.protocol.messages import Message, TickPrice, TickSize, TickString

BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14
LAST_TIMESTAMP = 45
_AUTO_EXECUTE, _NO_ATTRIBUTES = 1, 0


@dataclass(slots=True)
class Subscription:
    """One client's view of one symbol."""

    req_id: int
    symbol: str
    told: Quote | None = None
    """The quote the client has seen."""
    day: DayStatistics | None = None

    def update(self, market: Market, now_ns: int) -> Iterator[Message]:
        """What the client has not seen yet; nothing while the tick it knows still stands."""
        quote, told = market.quote(self.symbol, now_ns), self.told
        if told is not None and quote.sequence == told.sequence:
            return
        self.told = quote
        yield from self._book(quote, told)
        yield from self._trade(quote, told)
        yield from self._day(market, quote, told)

    def _book(self, quote: Quote, told: Quote | None) -> Iterator[Message]:
        if told is None or quote.bid != told.bid:
            yield TickPrice(self.req_id, BID, quote.bid, quote.bid_size, _AUTO_EXECUTE)
        elif quote.bid_size != told.bid_size:
            yield TickSize(self.req_id, BID_SIZE, quote.bid_size)
        if told is None or quote.ask != told.ask:
            yield TickPrice(self.req_id, ASK, quote.ask, quote.ask_size, _AUTO_EXECUTE)
        elif quote.ask_size != told.ask_size:
            yield TickSize(self.req_id, ASK_SIZE, quote.ask_size)

    def _trade(self, quote: Quote, told: Quote | None) -> Iterator[Message]:
        if told is None or quote.last != told.last:
            yield TickPrice(self.req_id, LAST, quote.last, quote.last_size, _NO_ATTRIBUTES)
        elif quote.last_size != told.last_size:
            yield TickSize(self.req_id, LAST_SIZE, quote.last_size)
        if told is None or quote.time_ns // NS_PER_S != told.time_ns // NS_PER_S:
            yield TickString(self.req_id, LAST_TIMESTAMP, str(quote.time_ns // NS_PER_S))
        yield TickSize(self.req_id, VOLUME, quote.volume)

    def _day(self, market: Market, quote: Quote, told: Quote | None) -> Iterator[Message]:
        known = self.day
        # The volume starts anew with the day, so a smaller one tells of midnight without asking the calendar.
        if known is None or told is None or quote.volume < told.volume:
            self.day = known = market.day(self.symbol, quote.time_ns)
            prices = ((OPEN, known.open), (HIGH, known.high), (LOW, known.low), (CLOSE, known.previous_close))
            for tick_type, price in prices:
                yield TickPrice(self.req_id, tick_type, price, 0, _NO_ATTRIBUTES)
        elif not known.low <= quote.last <= known.high:
            tick_type = HIGH if quote.last > known.high else LOW
            high, low = max(known.high, quote.last), min(known.low, quote.last)
            self.day = DayStatistics(known.open, high, low, known.previous_close)
            yield TickPrice(self.req_id, tick_type, quote.last, 0, _NO_ATTRIBUTES)
