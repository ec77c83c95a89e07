"""The sources of market data, each with what it has said, for tests that run against all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from contract.brokers import future, option, pair
from contract.gateways import SYMBOLS, settings_for
from support import eventually

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.quotes import Quote
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings
from ibstream.simulation import quotes as sim
from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream.simulation.lookup import fitting
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import new_york_date
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.adapters.simulated import SimulatedFeed
from ibstream_feed.domain.book import QuoteBook
from ibstream_feed.domain.line import Line
from ibstream_feed.ports import Item, MarketDataPort, Qualified
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

CLIENT_ID = 3
SEED = 7
MARKET = Market(SEED)
"""What every source here shows."""
MASTER = InstrumentMaster(SYMBOLS)
NS_PER_S = 1_000_000_000
AGE_NS_MAX = 10 * NS_PER_S
"""A row may be so old on a machine that is busy, and is looked for in the market of that time."""

KINDS = {
    "stock": Instrument(symbol="AAPL"),
    "class": Instrument(symbol="BRK.B"),
    "fund": Instrument(symbol="SPY", primary_exchange="ARCA"),
    "pair": pair(),
    "future": future("ES"),
    "future in cents": future("YW"),
    "option": option(),
    "index": Instrument(symbol="SPX", security_type="IND", exchange="CBOE"),
}
"""One instrument of each kind."""

AAPL, MSFT, NVDA = (Instrument(symbol=symbol) for symbol in ("AAPL", "MSFT", "NVDA"))


class Said(NamedTuple):
    """A code about a line."""

    symbol: str
    code: int
    text: str


class Read(NamedTuple):
    """One call of `on_ticks`."""

    symbols: list[str]
    time_ns: int
    gathering: bool
    """Whether one of its lines was said to be incomplete."""


@dataclass
class Watch:
    """A port, the book that its lines are in, and everything it has said."""

    port: MarketDataPort
    control: GatewayControl | None = None
    """Of the stand-in Gateway behind it; None where there is no Gateway."""
    book: QuoteBook = field(default_factory=lambda: QuoteBook(1))
    reads: list[Read] = field(default_factory=list)
    rows: list[Quote] = field(default_factory=list)
    """As they would be published, oldest first."""
    codes: list[Said] = field(default_factory=list)
    farms: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book.flows = True
        self.port.listen(self._on_ticks, self._on_code, self._on_farm)

    @property
    def gateway(self) -> GatewayControl:
        """The stand-in Gateway's controls."""
        assert self.control is not None
        return self.control

    async def qualify(self, instrument: Instrument) -> Qualified:
        """Look it up."""
        return await self.port.qualify(instrument)

    async def subscribe(self, *instruments: Instrument) -> list[Line]:
        """Look up and subscribe; return the lines."""
        lines = []
        for instrument in instruments:
            contract = await self.port.qualify(instrument)
            lines.append(self.line(instrument))
            await self.port.subscribe(lines[-1], contract)
        return lines

    async def snapshot(self, instrument: Instrument) -> Line:
        """Look up and ask for one quote; return the line."""
        contract, line = await self.port.qualify(instrument), self.line(instrument)
        await self.port.snapshot(line, contract)
        return line

    def line(self, instrument: Instrument) -> Line:
        """The line of an instrument."""
        return self.book.open(quote_symbol(instrument))

    def reads_of(self, line: Line) -> int:
        """How often values were written into a line."""
        return sum(line.symbol in read.symbols for read in self.reads)

    async def ticks(self, *lines: Line, times: int = 1) -> None:
        """Wait until values have been written into each of these lines so many times from now on."""
        before = {line: self.reads_of(line) for line in lines}
        await eventually(
            lambda: all(self.reads_of(line) >= before[line] + times for line in lines),
            within_s=15,
            what=f"ticks of {[line.symbol for line in lines]}; codes: {self.codes}",
        )

    async def whole(self, instrument: Instrument) -> Quote:
        """Wait until the row of an instrument has all that is told of its kind; return it."""
        line = self.line(instrument)
        await eventually(lambda: is_whole(line.row(), instrument), within_s=15, what=f"a whole row: {line.row()}")
        return line.row()

    async def code(self, line: Line, *codes: int) -> Said:
        """Wait until one of these codes is told of a line."""
        found = await eventually(
            lambda: [one for one in self.codes if one.symbol == line.symbol and one.code in codes],
            within_s=15,
            what=f"one of {codes} on {line.symbol} among {self.codes}",
        )
        first: Said = found[0]
        return first

    async def requests(self, number: int) -> list[tuple[str, ...]]:
        """The client's requests with this message id so far, oldest first, as fields."""
        said = await self.gateway.messages(direction="in", name=str(number), limit=10_000)
        return [message.fields for message in said.messages]

    def _on_ticks(self, lines: Iterable[Line], time_ns: int) -> None:
        lines = list(lines)
        self.reads.append(Read([line.symbol for line in lines], time_ns, any(line.is_gathering for line in lines)))
        for shard in self.book.ticked(lines, time_ns):
            self.rows += self.book.take_unsent(shard)

    def _on_code(self, line: Line, code: int, text: str) -> None:
        self.codes.append(Said(line.symbol, code, text))

    def _on_farm(self, name: str, connected: bool) -> None:
        self.farms.append((name, connected))


@dataclass
class Followed:
    """A stream, and what it has brought."""

    number: int = 0
    items: list[Item] = field(default_factory=list)
    codes: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    async def open(cls, watch: Watch, kind: DataKind, instrument: Instrument) -> Followed:
        """Look up and follow."""
        followed = cls()
        contract = await watch.port.qualify(instrument)
        followed.number = await watch.port.open_stream(kind, contract, followed.items.append, followed._on_code)
        return followed

    async def has(self, count: int, *, within_s: float = 15.0) -> list[Item]:
        """Wait for so many items."""
        await eventually(
            lambda: len(self.items) >= count, within_s=within_s, what=f"{count} items; codes: {self.codes}"
        )
        return self.items

    def _on_code(self, code: int, text: str) -> None:
        self.codes.append((code, text))


def listing_of(instrument: Instrument) -> Listing:
    """The instrument in the simulation."""
    [found] = fitting(MASTER, instrument, new_york_date(SYSTEM_CLOCK.time_ns()))
    return found


def is_whole(row: Quote, instrument: Instrument) -> bool:
    """Whether a row has all that is told of such an instrument: of an index no book, of a pair no trades."""
    listing, told = listing_of(instrument), []
    if listing.has_book:
        told += [row.bid, row.ask, row.bid_size, row.ask_size]
    if listing.has_trades:
        told += [row.last, row.last_size]
    if listing.has_book and listing.has_trades:
        told.append(row.volume)
    return None not in told


def market_row(row: Quote, instrument: Instrument) -> sim.Quote | None:
    """The market's quote that a row tells, of the seconds before the row came; None where it tells none."""
    listing = listing_of(instrument)
    quotes = MARKET.quotes(listing.symbol, row.time_ns - AGE_NS_MAX, row.time_ns + 1)
    return next((quote for quote in quotes if columns(row) == _told(quote, listing)), None)


def columns(row: Quote) -> tuple[float | None, ...]:
    """Prices, sizes and volume."""
    return row.bid, row.ask, row.last, row.bid_size, row.ask_size, row.last_size, row.volume


def _told(quote: sim.Quote, listing: Listing) -> tuple[float | None, ...]:
    book, trades = listing.has_book, listing.has_trades
    return (
        quote.bid if book else None,
        quote.ask if book else None,
        quote.last if trades else None,
        quote.bid_size if book else None,
        quote.ask_size if book else None,
        quote.last_size if trades else None,
        quote.volume if book and trades else None,
    )


def with_feed(settings: Settings, **feed: Any) -> Settings:
    """The settings with other values for the feed."""
    return settings.model_copy(update={"feed": settings.feed.model_copy(update=feed)})


Ports = Callable[[], Watch]
"""Makes ports, as separate processes would, on one market."""


@contextlib.asynccontextmanager
async def simulated_ports() -> AsyncIterator[Ports]:
    """The simulated market in this process."""
    yield lambda: Watch(SimulatedFeed(MARKET, MASTER, clock=SYSTEM_CLOCK))


@contextlib.asynccontextmanager
async def gateway_ports(decoder: str = "fast", limits: Limits | None = None, **feed: Any) -> AsyncIterator[Ports]:
    """The real adapter over TCP to a stand-in Gateway."""
    emulator = EmulatorSettings(
        symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=50, limits=Limits() if limits is None else limits
    )
    async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
        settings = with_feed(settings_for(server.port), decoder=decoder, **feed)
        yield lambda: Watch(IBKRMarketFeed(settings, clock=SYSTEM_CLOCK), GatewayControl(server.state))


def fast_ports() -> AbstractAsyncContextManager[Ports]:
    """Ticks are read by the feed itself."""
    return gateway_ports("fast")


def stock_ports() -> AbstractAsyncContextManager[Ports]:
    """Ticks are read by ib_async."""
    return gateway_ports("stock")


@contextlib.asynccontextmanager
async def connected(watch: Watch) -> AsyncIterator[Watch]:
    """In a session, which ends with the context."""
    await watch.port.connect(CLIENT_ID)
    try:
        yield watch
    finally:
        await watch.port.close()


@contextlib.asynccontextmanager
async def watching(source: Source) -> AsyncIterator[Watch]:
    """One port of a source in a session."""
    async with source() as ports, connected(ports()) as watch:
        yield watch


@contextlib.asynccontextmanager
async def watching_gateway(decoder: str, limits: Limits | None = None, **feed: Any) -> AsyncIterator[Watch]:
    """One port of a stand-in Gateway in a session, with these settings of the feed."""
    async with gateway_ports(decoder, limits, **feed) as ports, connected(ports()) as watch:
        yield watch


async def is_asked(line: Line) -> None:
    """Return as soon as a snapshot of a line is asked for, and before it can be answered."""
    while not line.is_gathering:
        await SYSTEM_CLOCK.sleep(0)


Source = Callable[[], AbstractAsyncContextManager[Ports]]

EVERY = pytest.mark.parametrize("source", [simulated_ports, fast_ports, stock_ports])
GATEWAYS = pytest.mark.parametrize("decoder", ["fast", "stock"])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
