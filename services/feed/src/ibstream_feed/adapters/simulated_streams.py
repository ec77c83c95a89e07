"""Single ticks, bars of five seconds and books of the simulated market, as a Gateway would tell them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.ticks import DEPTH_LEVELS, BidAskTick, Depth, FiveSecondBar, Level, TradeTick
from ibstream.simulation import quotes as sim
from ibstream.simulation.bars import Kind
from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import from_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_feed.adapters.simulated_contracts import NO_CONTRACT
from ibstream_feed.ports import Item, OnItem, OnStreamCode, Qualified

TICKS_PER_STEP_MAX = 2_000
"""So many ticks of one stream are told in one step; the rest follows with the next."""

BAR_NS = 5 * NS_PER_S
BARS_PER_STEP_MAX = 720
"""So many bars are told in one step; more were completed only if time has jumped, and follow with the next steps."""

_NO_TICKS_OF = ("OPT", "IND")
"""IBKR gives no single ticks of options, nor of indices but those of CME, of which there are none here."""

_NO_DEPTH = 10092, "Deep market data is not supported for this combination of security type/exchange"
_NO_TICKS = 10189
_SMART = "SMART"


class _Stream(Protocol):
    def news(self, now_ns: int) -> Iterator[Item]:
        """What has come since it was asked last."""
        ...


@dataclass(slots=True)
class _Ticks:
    """Every trade, and every change of bid and ask; of a pair the changes alone."""

    market: Market
    listing: Listing
    seen: sim.Quote

    def news(self, now_ns: int) -> Iterator[Item]:
        came = self.market.quotes(self.listing.symbol, self.seen.time_ns + 1, now_ns + 1)
        for quote in islice(came, TICKS_PER_STEP_MAX):
            second, before = quote.time_ns // NS_PER_S, self.seen
            self.seen = quote
            if self.listing.has_trades:
                place = self.listing.primary_exchange or self.listing.exchange
                yield TradeTick(second, quote.last, float(quote.last_size), place, received_ns=now_ns)
            if _touch(quote) != _touch(before):
                sizes = float(quote.bid_size), float(quote.ask_size)
                yield BidAskTick(second, quote.bid, quote.ask, *sizes, received_ns=now_ns)


@dataclass(slots=True)
class _Bars:
    """Bars of trades, of a pair's midpoints; from the first on that can be told whole."""

    market: Market
    listing: Listing
    symbol: str
    next_ns: int

    def news(self, now_ns: int) -> Iterator[Item]:
        start_ns, end_ns = self.next_ns, min(now_ns - now_ns % BAR_NS, self.next_ns + BARS_PER_STEP_MAX * BAR_NS)
        if end_ns <= start_ns:
            return
        self.next_ns = end_ns
        has_trades = self.listing.has_trades
        what: Kind = "TRADES" if has_trades else "MIDPOINT"
        start, end = from_ns(start_ns), from_ns(end_ns)
        for bar in self.market.bars(self.listing.symbol, start, end, "5 secs", what, regular_hours=False):
            yield FiveSecondBar(
                symbol=self.symbol,
                at=bar.start,
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
                volume=float(bar.volume) if has_trades else None,
                wap=bar.average if has_trades else None,
                count=bar.trades if has_trades else None,
            )


@dataclass(slots=True)
class _Book:
    """The best rows. Who shows them is told of the book of all exchanges alone."""

    market: Market
    listing: Listing
    symbol: str
    is_smart: bool
    told: int = -1
    """Number of the tick whose book was told last."""

    def news(self, now_ns: int) -> Iterator[Item]:
        depth = self.market.depth(self.listing.symbol, now_ns, DEPTH_LEVELS)
        if depth.sequence != self.told:
            self.told = depth.sequence
            bids, asks = self._levels(depth.bids), self._levels(depth.asks)
            yield Depth(symbol=self.symbol, bids=bids, asks=asks, received_ns=now_ns)

    def _levels(self, rows: tuple[sim.Level, ...]) -> list[Level]:
        return [Level(row.price, float(row.size), row.market_maker if self.is_smart else "") for row in rows]


class StreamDesk:
    """All streams that are open, and the refusals that wait for the next step."""

    def __init__(self, market: Market, master: InstrumentMaster) -> None:
        self._market = market
        self._master = master
        self._numbers = itertools.count(1)
        self._streams: dict[int, tuple[_Stream, OnItem]] = {}
        self._refused: dict[int, Callable[[], None]] = {}

    def open(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode, now_ns: int) -> int:
        """Tell items from the next step on, or a code with it. Raises ValueError for quotes, which are lines."""
        number, listing = next(self._numbers), self._master.by_con_id(contract.con_id)
        refusal = NO_CONTRACT if listing is None else _refusal(kind, listing)
        if refusal is not None:
            self._refused[number] = partial(on_code, *refusal)
        elif listing is not None:
            self._streams[number] = self._stream(kind, contract, listing, now_ns), on_item
        return number

    def close(self, number: int) -> None:
        """Tell nothing more of it."""
        self._streams.pop(number, None)
        self._refused.pop(number, None)

    def forget(self) -> None:
        """The session is over."""
        self._streams.clear()
        self._refused.clear()

    def step(self, now_ns: int) -> None:
        """Tell what has come, and what is refused."""
        refused, self._refused = self._refused, {}
        for refuse in refused.values():
            refuse()
        for stream, on_item in list(self._streams.values()):
            for item in stream.news(now_ns):
                on_item(item)

    def _stream(self, kind: DataKind, contract: Qualified, listing: Listing, now_ns: int) -> _Stream:
        market, symbol = self._market, quote_symbol(contract.instrument)
        match kind:
            case DataKind.TICKS:
                return _Ticks(market, listing, market.quote(listing.symbol, now_ns))
            case DataKind.BARS:
                return _Bars(market, listing, symbol, -(-now_ns // BAR_NS) * BAR_NS)
            case DataKind.DEPTH:
                return _Book(market, listing, symbol, is_smart=contract.exchange == _SMART)
            case DataKind.QUOTES:
                raise ValueError("quotes are no stream: subscribe a line")


def _refusal(kind: DataKind, listing: Listing) -> tuple[int, str] | None:
    """Why there is no such stream, in IBKR's words."""
    if kind is DataKind.TICKS and listing.security_type in _NO_TICKS_OF:
        reason = f"AllLast data is not available for {listing.security_type}"
        return _NO_TICKS, f"Failed to request tick-by-tick data.{reason}"
    if kind is DataKind.DEPTH and not listing.has_book:
        return _NO_DEPTH
    return None


def _touch(quote: sim.Quote) -> tuple[float, int, float, int]:
    return quote.bid, quote.bid_size, quote.ask, quote.ask_size
