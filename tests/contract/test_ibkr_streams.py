"""Streams over a Gateway beyond what every source does: its limits, its codes, and what is left behind there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from contract.gateways import SYMBOLS, settings_for
from contract.market_data_sources import AAPL, CLIENT_ID, KINDS, MARKET, MSFT, NVDA, SEED, Followed, Watch, with_feed
from support import eventually, run

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.ticks import BidAskTick, Depth, TradeTick
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.adapters.ibkr import IBKRMarketFeed
from ibstream_gateway_emulator.control.handle import GatewayControl
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.protocol.messages import Error, TickByTickBidAsk
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

TICKS, BARS, DEPTH = DataKind.TICKS, DataKind.BARS, DataKind.DEPTH
CANCEL = {TICKS: "98", BARS: "51", DEPTH: "11"}
"""IBKR's message ids."""
REQUESTS = {TICKS: 2, BARS: 1, DEPTH: 1}
"""That a stream of a stock takes."""


class Place(NamedTuple):
    """A stand-in Gateway, and the real adapter in a session with it."""

    server: GatewayServer
    watch: Watch

    def counts(self) -> dict[DataKind, int]:
        """How many subscriptions of each kind the Gateway knows of us."""
        state, client = self.server.state, self.server.state.clients[CLIENT_ID]
        return {
            TICKS: state.ticks.count(client),
            BARS: state.real_time_bars.count(client),
            DEPTH: state.depth.count(client),
        }

    def says(self, *messages: Any) -> None:
        """The Gateway sends this."""
        self.server.state.clients[CLIENT_ID].outlet.send(messages)

    async def open(self, kind: DataKind, instrument: Instrument = AAPL) -> Followed:
        """Follow a stream."""
        return await Followed.open(self.watch, kind, instrument)


@contextlib.asynccontextmanager
async def place(limits: Limits | None = None, **feed: Any) -> AsyncIterator[Place]:
    """A session with a stand-in Gateway that has these limits."""
    emulator = EmulatorSettings(
        symbols=SYMBOLS, port=0, seed=SEED, tick_interval_ms=50, limits=Limits() if limits is None else limits
    )
    async with running_gateway(emulator, clock=SYSTEM_CLOCK) as server:
        settings = with_feed(settings_for(server.port), **feed)
        watch = Watch(IBKRMarketFeed(settings, clock=SYSTEM_CLOCK), GatewayControl(server.state))
        await watch.port.connect(CLIENT_ID)
        try:
            yield Place(server, watch)
        finally:
            await watch.port.close()


@pytest.mark.parametrize(
    ("kind", "limits", "code"),
    [
        (TICKS, Limits(tick_by_tick_lines=3), 10190),
        (DEPTH, Limits(depth_lines=1), 309),
        (BARS, Limits(real_time_bars_per_10_min=1), 420),
        (BARS, Limits(market_data_lines=1), 101),
    ],
)
def test_over_the_limit_the_stream_is_told_and_the_others_flow(kind: DataKind, limits: Limits, code: int) -> None:
    """Closed, it leaves nothing behind at the Gateway, not even the half that was taken."""

    async def scenario() -> None:
        async with place(limits) as here:
            first = await here.open(kind)
            await eventually(lambda: here.counts()[kind] == REQUESTS[kind], what="the first")
            before = here.counts()
            refused = await here.open(kind, MSFT)
            await eventually(lambda: refused.codes, what="a refusal")
            assert [one for one, _ in refused.codes] == [code]
            await here.watch.port.close_stream(refused.number)
            await eventually(lambda: here.counts() == before, what=f"{before} again")
            await first.has(len(first.items) + 1)
            assert first.codes == []

    run(scenario())


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_stream_that_is_closed_is_cancelled_once(kind: DataKind) -> None:
    """With as many messages as it was asked for; nothing is sent for one that is closed already."""

    async def scenario() -> None:
        async with place() as here:
            followed = await here.open(kind)
            await eventually(lambda: here.counts()[kind] == REQUESTS[kind], what="the subscriptions")
            for _ in range(2):
                await here.watch.port.close_stream(followed.number)
            await eventually(lambda: here.counts()[kind] == 0, what="their end")
            assert len(await here.watch.requests(int(CANCEL[kind]))) == REQUESTS[kind]
            assert followed.codes == []

    run(scenario())


@pytest.mark.parametrize("decoder", ["fast", "stock"])
def test_ticks_and_quotes_of_one_instrument_do_not_mix(decoder: str) -> None:
    """Single ticks are told as they come, with IBKR's time, and touch no line; the line's quotes become no ticks."""

    async def scenario() -> None:
        async with place(decoder=decoder) as here:
            [line] = await here.watch.subscribe(AAPL)
            followed = await here.open(TICKS)
            await here.watch.ticks(line, times=5)
            await followed.has(20)
            now_ns = SYSTEM_CLOCK.time_ns()
            market = list(MARKET.quotes("AAPL", now_ns - 30_000_000_000, now_ns))
            trades = {(one.time_ns // 1_000_000_000, one.last, one.last_size) for one in market}
            quotes = {(one.bid, one.ask, one.bid_size, one.ask_size) for one in market}
            for tick in followed.items:
                if isinstance(tick, TradeTick):
                    assert (tick.time_s, tick.price, tick.size) in trades
                else:
                    assert isinstance(tick, BidAskTick)
                    assert (tick.bid, tick.ask, tick.bid_size, tick.ask_size) in quotes
            assert here.watch.codes == []

    run(scenario())


def test_a_side_without_a_quote_is_told_as_none() -> None:
    """IBKR writes -1 or 0 with no size where there is no bid or ask; a price below zero with a size is one."""

    async def scenario() -> None:
        async with place() as here:
            followed = await here.open(TICKS, KINDS["pair"])
            [asked] = await eventually(lambda: here.watch.requests(97), what="the request")
            request_id = int(asked[1])
            bid_ask = 3
            here.says(
                TickByTickBidAsk(request_id, bid_ask, 1, -1, 1.5, 0, 7, 0),
                TickByTickBidAsk(request_id, bid_ask, 2, -2.5, -2.0, 3, 4, 0),
            )

            def told() -> list[BidAskTick]:
                return [one for one in followed.items if isinstance(one, BidAskTick) and one.time_s in (1, 2)]

            await eventually(lambda: len(told()) == 2, what="both")
            assert [(one.bid, one.ask) for one in told()] == [(None, 1.5), (-2.5, -2.0)]

    run(scenario())


def test_what_was_on_its_way_when_a_stream_was_closed_is_not_told() -> None:
    """Neither a tick nor a code of it; and what ib_async would log as an error is none."""

    async def scenario() -> None:
        async with place() as here:
            closed = await here.open(TICKS, KINDS["pair"])
            [asked] = await eventually(lambda: here.watch.requests(97), what="the request")
            await here.watch.port.close_stream(closed.number)
            await eventually(lambda: here.counts()[TICKS] == 0, what="its end")
            count, request_id = len(closed.items), int(asked[1])
            late = TickByTickBidAsk(request_id, 3, 1, 1.0, 2.0, 3, 4, 0)
            here.says(late, Error(request_id, 300, "Can't find EId"))
            await (await here.open(DEPTH)).has(1)  # what was said before it has been read
            assert (len(closed.items), closed.codes) == (count, [])

    run(scenario())


def test_a_book_that_ibkr_resets_is_told_empty() -> None:
    """317: the rows known so far are void. The code is told, and the next rows make a new book."""

    async def scenario() -> None:
        async with place() as here:
            followed = await here.open(DEPTH)
            await followed.has(1)
            [asked] = await here.watch.requests(10)
            request_id = int(asked[2])
            here.says(Error(request_id, 317, "Market depth data has been RESET."))
            await eventually(lambda: followed.codes, what="the code")
            assert followed.codes == [(317, "Market depth data has been RESET.")]
            books = [one for one in followed.items if isinstance(one, Depth)]
            assert any(one.bids == one.asks == [] for one in books)

    run(scenario())


def test_without_a_session_nothing_is_asked_for() -> None:
    async def scenario() -> None:
        async with place() as here:
            contract = await here.watch.qualify(AAPL)
            await here.watch.port.close()
            with pytest.raises(GatewayUnavailable):
                await here.watch.port.open_stream(TICKS, contract, print, print)
            await here.watch.port.connect(CLIENT_ID)
            assert here.counts()[TICKS] == 0

    run(scenario())


def test_a_request_given_up_half_way_leaves_nothing_behind() -> None:
    """Ticks are two requests; who gives up between them has neither, and nothing that came is told."""

    async def scenario() -> None:
        async with place() as here:
            contract, items = await here.watch.qualify(NVDA), list[Any]()
            here.watch.port.limit(1)
            await eventually(lambda: here.watch.port.free() == 1, what="room for one message")
            opening = asyncio.ensure_future(here.watch.port.open_stream(TICKS, contract, items.append, lambda *_: None))
            await eventually(lambda: here.counts()[TICKS] == 1, what="the first half")
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            count = len(items)
            await eventually(lambda: here.counts()[TICKS] == 0, what="nothing at the Gateway")
            assert len(items) == count

    run(scenario())


def test_closing_that_is_given_up_half_way_leaves_nothing_behind() -> None:
    """Who has no time to wait for room for the second message cancels: it is sent at once."""

    async def scenario() -> None:
        async with place() as here:
            followed = await here.open(TICKS, NVDA)
            await eventually(lambda: here.counts()[TICKS] == 2, what="both halves")
            here.watch.port.limit(1)
            await eventually(lambda: here.watch.port.free() == 1, what="room for one message")
            closing = asyncio.ensure_future(here.watch.port.close_stream(followed.number))
            await eventually(lambda: here.counts()[TICKS] == 1, what="the first half to be closed")
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await eventually(lambda: here.counts()[TICKS] == 0, what="nothing at the Gateway")
            assert len(await here.watch.requests(int(CANCEL[TICKS]))) == 2
            assert followed.codes == []

    run(scenario())


def test_what_the_session_loses_meanwhile_is_not_asked_for_in_the_next() -> None:
    """The first half went out in a session that is over: the second must not go out alone in the new one."""

    async def scenario() -> None:
        async with place() as here:
            contract = await here.watch.qualify(NVDA)
            here.watch.port.limit(1)
            await eventually(lambda: here.watch.port.free() == 1, what="room for one message")
            opening = asyncio.ensure_future(here.watch.port.open_stream(TICKS, contract, print, lambda *_: None))
            await eventually(lambda: here.counts()[TICKS] == 1, what="the first half")
            await here.watch.port.close()
            here.watch.port.limit(45)
            await here.watch.port.connect(CLIENT_ID)
            with pytest.raises(GatewayUnavailable):
                await opening
            assert here.counts()[TICKS] == 0

    run(scenario())
