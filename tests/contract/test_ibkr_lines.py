"""Lines of a Gateway are scarce: none is taken twice for one symbol, and none is left behind by who has gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from contract.market_data_sources import AAPL, GATEWAYS, MSFT, Watch, watching_gateway
from support import eventually, run

from ibstream.ibkr import GatewayUnavailable
from ibstream_feed.adapters.ibkr import IBKRMarketFeed

SUBSCRIBE, CANCEL = 1, 2


async def full(watch: Watch) -> None:
    """Let no message go out now."""
    watch.port.limit(1)
    await eventually(lambda: watch.port.free() == 0, what="no room")


@GATEWAYS
def test_who_gives_up_waiting_for_room_has_ended_the_line_all_the_same(decoder: str) -> None:
    """Nobody else would: IBKR would go on to count it."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            [line] = await watch.subscribe(AAPL)
            await full(watch)
            ending = asyncio.ensure_future(watch.port.unsubscribe(line))
            await asyncio.wait({ending}, timeout=0)
            assert not ending.done()
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
            await eventually(lambda: _count(watch, CANCEL, 1), what="the cancel")
            assert ending.cancelled()

    run(scenario())


@GATEWAYS
def test_a_line_asked_for_twice_has_one_subscription(decoder: str) -> None:
    """At the same time, too: the former one ends, and after the end of the other nothing comes."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            line, contract = watch.line(AAPL), await watch.qualify(AAPL)
            await asyncio.gather(*(watch.port.subscribe(line, contract) for _ in range(3)))
            await eventually(lambda: _count(watch, CANCEL, 2), what="the ends of the former")
            assert await _count(watch, SUBSCRIBE, 3)
            await watch.ticks(line)
            await watch.port.unsubscribe(line)
            reads = watch.reads_of(line)
            [other] = await watch.subscribe(MSFT)
            await watch.ticks(other, times=3)
            assert watch.reads_of(line) == reads

    run(scenario())


@GATEWAYS
def test_a_subscription_that_waits_for_room_does_not_outlive_its_session(decoder: str) -> None:
    """It is told that the session ended, and the next one has only what is asked for in it."""

    async def scenario() -> None:
        async with watching_gateway(decoder) as watch:
            line, contract = watch.line(AAPL), await watch.qualify(AAPL)
            await full(watch)
            waiting = asyncio.ensure_future(watch.port.subscribe(line, contract))
            await asyncio.wait({waiting}, timeout=0)
            assert not waiting.done()
            await watch.port.close()
            watch.port.limit(45)
            await watch.port.connect(3)
            with pytest.raises(GatewayUnavailable):
                await waiting
            [other] = await watch.subscribe(MSFT)
            await watch.ticks(other)
            assert await _count(watch, SUBSCRIBE, 1)

    run(scenario())


def test_what_waits_in_the_socket_is_bounded_by_the_setting() -> None:
    """Linux doubles what it is told, for its own bookkeeping."""

    async def scenario() -> None:
        async with watching_gateway("fast", receive_buffer_bytes=16_384) as watch:
            assert isinstance(watch.port, IBKRMarketFeed)
            transport = watch.port._session.ib.client.conn.transport
            assert transport is not None
            raw = transport.get_extra_info("socket")
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (16_384, 32_768)

    run(scenario())


async def _count(watch: Watch, number: int, wanted: int) -> bool:
    return len(await watch.requests(number)) == wanted
