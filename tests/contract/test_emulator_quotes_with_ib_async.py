"""Quotes, depth, single ticks and real-time bars of the stand-in Gateway under an unmodified ib_async, and under slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sized
from functools import partial
from typing import Any

import msgspec
import pytest
from contract.ib_async_terminal import AAPL, MONDAY, SETTINGS, session
from contract.wire_client import hello, logged_in, start_api, subscribe
from ib_async import Contract, Forex, Index, Option, Stock
from support import eventually, run

from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.simulation.market import Market
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOLS = ("AAPL", "MSFT", "F")


async def qualified(terminal: Any, contract: Contract) -> Contract:
    [found] = await terminal.ib.qualifyContractsAsync(contract)
    assert isinstance(found, Contract)
    return found


def _has(bars: Sized, number: int) -> bool:
    return len(bars) == number


def test_currency_pairs_indices_and_options_are_quoted() -> None:
    async def scenario() -> None:
        async with session(ManualClock(MONDAY)) as (_, terminal):
            pair = terminal.ib.reqMktData(await qualified(terminal, Forex("EURUSD")))
            index = terminal.ib.reqMktData(await qualified(terminal, Index("SPX", "CBOE")))
            call = await qualified(terminal, Option("AAPL", "20261218", 100, "C", "SMART"))
            option = terminal.ib.reqMktData(call)
            await eventually(
                lambda: pair.hasBidAsk() and index.last == index.last and option.modelGreeks, what="quotes"
            )
            assert pair.last != pair.last
            assert index.bid != index.bid
            assert option.bid < option.ask
            model = Market(7).greeks("AAPL  261218C00100000", ManualClock(MONDAY).time_ns())
            assert model is not None
            assert option.modelGreeks is not None
            assert option.modelGreeks.delta == pytest.approx(model.delta)
            calculated = await terminal.ib.calculateOptionPriceAsync(call, model.implied_volatility, model.under_price)
            assert calculated is not None
            assert calculated.optPrice == pytest.approx(model.price)

    run(scenario())


def test_generic_ticks_land_in_their_fields() -> None:
    async def scenario() -> None:
        async with session() as (_, terminal):
            ticker = terminal.ib.reqMktData(AAPL, "233,165,236,104,293")
            await eventually(
                lambda: ticker.low52week == ticker.low52week and ticker.rtVolume == ticker.rtVolume, what="ticks"
            )
            assert ticker.low52week <= ticker.low26week <= ticker.low13week <= ticker.last
            assert ticker.shortableShares > 0
            assert ticker.histVolatility > 0
            assert ticker.tradeCount > 0

    run(scenario())


def test_the_book_is_the_markets() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (_, terminal):
            ticker = terminal.ib.reqMktDepth(AAPL, numRows=5, isSmartDepth=True)
            for _ in range(10):
                expected = Market(7).depth("AAPL", clock.time_ns(), 5)
                bids = [(row.price, row.size, row.market_maker) for row in expected.bids]
                asks = [(row.price, row.size, row.market_maker) for row in expected.asks]

                def agrees(bids: list[Any] = bids, asks: list[Any] = asks) -> bool:
                    seen = [
                        [(row.price, row.size, row.marketMaker) for row in side]
                        for side in (ticker.domBids, ticker.domAsks)
                    ]
                    return seen == [bids, asks]

                await eventually(agrees, what="the market's book")
                clock.advance(1)

    run(scenario())


def test_single_ticks_are_those_of_the_market() -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (_, terminal):
            start_ns, heard = clock.time_ns(), list[tuple[float, float]]()
            ticker = terminal.ib.reqTickByTickData(AAPL, "AllLast")
            ticker.updateEvent += lambda one: heard.extend((tick.price, tick.size) for tick in one.tickByTicks)
            await terminal.ib.reqCurrentTimeAsync()
            for _ in range(20):
                clock.advance(0.7)
                await terminal.ib.reqMarketRuleAsync(26)
            expected = [
                (quote.last, quote.last_size) for quote in Market(7).quotes("AAPL", start_ns + 1, clock.time_ns() + 1)
            ]
            await eventually(lambda: len(heard) >= len(expected), what="all ticks")
            assert heard == expected

    run(scenario())


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK"])
def test_real_time_bars_are_those_that_history_gives(what: str) -> None:
    async def scenario() -> None:
        clock = ManualClock(MONDAY)
        async with session(clock) as (_, terminal):
            live = terminal.ib.reqRealTimeBars(AAPL, 5, what, useRTH=False)
            await terminal.ib.reqMarketRuleAsync(26)
            for number in range(1, 9):
                clock.advance(5)
                await eventually(partial(_has, live, number), what="the next bar")
            past = await terminal.ib.reqHistoricalDataAsync(
                AAPL, "", "40 S", "5 secs", what, useRTH=False, formatDate=2
            )
            assert [(bar.time, bar.open_, bar.high, bar.low, bar.close) for bar in live] == [
                (bar.date, bar.open, bar.high, bar.low, bar.close) for bar in past
            ]
            assert [bar.volume for bar in live] == [bar.volume for bar in past]

    run(scenario())


def test_over_the_limit_the_line_is_refused_and_the_others_flow() -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, limits=Limits(market_data_lines=1))
        async with session(settings=settings) as (_, terminal):
            ticker = terminal.ib.reqMktData(AAPL)
            await eventually(ticker.hasBidAsk, what="a quote")
            terminal.ib.reqMktData(await qualified(terminal, Stock("F", "SMART", "USD")))
            assert (await terminal.told(101))[2] == "Max number of tickers has been reached"
            volume = ticker.volume
            await eventually(lambda: ticker.volume != volume, what="more quotes")

    run(scenario())


@contextlib.asynccontextmanager
async def not_reading(gateway: GatewayServer) -> AsyncIterator[socket.socket]:
    """Client 1, which asks for quotes and reads nothing of what comes."""
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)  # noqa: FBT003 - it takes no keyword
        await loop.sock_connect(slow, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(slow, hello() + start_api(1) + b"".join(subscribe(n) for n in range(1, 40)))
        yield slow


@pytest.mark.parametrize("slow_clients", ["drop", "disconnect"])
def test_a_slow_client_loses_ticks_or_its_connection_and_disturbs_nobody(slow_clients: Any) -> None:
    async def scenario() -> None:
        settings = EmulatorSettings(
            symbols=SYMBOLS,
            port=0,
            tick_interval_ms=10,
            ticks_per_second=3_000_000,
            slow_clients=slow_clients,
            limits=Limits.lifted(),
        )
        async with running_gateway(settings) as gateway, not_reading(gateway) as slow:
            await eventually(
                lambda: 1 in gateway.state.clients and gateway.state.clients[1].outlet.is_congested,
                what="congestion",
                within_s=20,
            )
            async with logged_in(gateway, 2) as quick:
                quick.writer.write(subscribe(3))
                for _ in range(50):
                    assert (await quick.receive_until("2"))[2] == "3"
            if slow_clients == "disconnect":
                await eventually(lambda: 1 not in gateway.state.clients, what="the end of the slow client", within_s=20)
                return
            loop, deadline = asyncio.get_running_loop(), SYSTEM_CLOCK.monotonic() + 20
            while gateway.state.clients[1].outlet.is_congested:
                await loop.sock_recv(slow, 1 << 20)
                assert SYSTEM_CLOCK.monotonic() < deadline
            assert 1 in gateway.state.clients

    run(scenario())
