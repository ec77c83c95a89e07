"""One suite for every source of quotes: the simulated market, and a Gateway on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from contract.gateways import SYMBOLS, settings_for, standing_in
from support import eventually, free_port, run

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_feed.adapters.simulated import SimulatedFeed
from ibstream_feed.ports import QuotesPort

CLIENT_ID = 3
WANTED = [Instrument(symbol=symbol) for symbol in SYMBOLS]

Source = Callable[[], AbstractAsyncContextManager[QuotesPort]]


@contextlib.asynccontextmanager
async def simulated() -> AsyncIterator[QuotesPort]:
    yield SimulatedFeed(Market(7), InstrumentMaster(SYMBOLS), clock=SYSTEM_CLOCK)


@contextlib.asynccontextmanager
async def gateway() -> AsyncIterator[QuotesPort]:
    async with standing_in() as settings:
        yield IBKRMarketFeed(settings, clock=SYSTEM_CLOCK)


SOURCES = pytest.mark.parametrize("source", [simulated, gateway])


class Listener:
    """What a source has told."""

    def __init__(self, port: QuotesPort) -> None:
        self.rows: list[Quote] = []
        self.outcomes: dict[str, SubscriptionOutcome] = {}
        port.listen(self.rows.append, self._on_subscription)

    def _on_subscription(self, symbol: str, outcome: SubscriptionOutcome, _text: str, _code: int) -> None:
        self.outcomes[symbol] = outcome

    @property
    def symbols(self) -> set[str]:
        return {row.symbol for row in self.rows if row.bid and row.ask and row.last}


@SOURCES
def test_subscribed_symbols_get_whole_live_rows(source: Source) -> None:
    """Bid below ask, sizes, last and volume, quality live; share classes in canonical form."""

    async def scenario() -> None:
        async with source() as port:
            heard = Listener(port)
            await port.connect(CLIENT_ID)
            await port.subscribe(WANTED, afresh=True)
            await eventually(lambda: heard.symbols == set(SYMBOLS), what="rows of every symbol")
            row = next(row for row in reversed(heard.rows) if row.symbol == "BRK.B")
            assert row.bid is not None
            assert row.ask is not None
            assert row.bid < row.ask
            assert row.volume is not None
            assert row.quality is Quality.LIVE
            assert heard.outcomes == dict.fromkeys(SYMBOLS, SubscriptionOutcome.ACTIVE)
            await port.close()

    run(scenario())


@SOURCES
def test_an_unknown_symbol_hinders_no_other(source: Source) -> None:
    """It is told as unknown, and the rest flows."""

    async def scenario() -> None:
        async with source() as port:
            heard = Listener(port)
            await port.connect(CLIENT_ID)
            await port.subscribe([Instrument(symbol="NOPE"), *WANTED], afresh=True)
            await eventually(lambda: heard.symbols == set(SYMBOLS), what="rows of every known symbol")
            assert heard.outcomes["NOPE"] is SubscriptionOutcome.UNKNOWN_INSTRUMENT
            await port.close()

    run(scenario())


@SOURCES
def test_a_new_session_is_subscribed_anew(source: Source) -> None:
    """After `close` nothing comes; after `connect` and `subscribe` everything comes again."""

    async def scenario() -> None:
        async with source() as port:
            heard = Listener(port)
            for _ in range(2):
                heard.rows.clear()
                await port.connect(CLIENT_ID)
                await port.subscribe(WANTED, afresh=True)
                await eventually(lambda: heard.symbols == set(SYMBOLS), what="rows of every symbol")
                await port.close()
                assert (await port.next_event()).trigger is Trigger.LOST

    run(scenario())


@SOURCES
def test_subscribing_again_leaves_what_stands_alone(source: Source) -> None:
    """Without `afresh` no line is taken twice: each symbol is told active once."""

    async def scenario() -> None:
        async with source() as port:
            heard = Listener(port)
            await port.connect(CLIENT_ID)
            await port.subscribe(WANTED, afresh=True)
            heard.outcomes.clear()
            await port.subscribe(WANTED, afresh=False)
            assert heard.outcomes in ({}, dict.fromkeys(SYMBOLS, SubscriptionOutcome.ACTIVE))
            await eventually(lambda: heard.symbols == set(SYMBOLS), what="rows of every symbol")
            await port.close()

    run(scenario())


def test_an_absent_gateway_is_told_at_once() -> None:
    """Connection refused, in words, and nothing left behind."""

    async def scenario() -> None:
        port = IBKRMarketFeed(settings_for(free_port()), clock=SYSTEM_CLOCK)
        with pytest.raises(GatewayUnavailable, match="refused"):
            await port.connect(CLIENT_ID)
        await port.close()

    run(scenario(), timeout_s=4)
