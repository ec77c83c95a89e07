"""Stock ib_async, and what people do with its ticks first.

    python -m _feed.stock KIND PORT REDIS_URL SYMBOLS

empty       an empty callback, no publishing
xadd        one redis-py XADD per tick, awaited before the next
faststream  one FastStream publish to a stream per tick, awaited before the next

The callback of the last two puts ticks into a queue, which one coroutine works off. They are fed at a pace that they keep up
with.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from ib_async import IB, Stock, TickData
from ib_async.ib import StartupFetchNONE

from _feed.child import Figures, answer_all, say
from _feed.names import symbols
from ibstream.simulation.instruments import listing

CLIENT_ID = 9
KEEP = 10_000
"""Entries of the stream, as of a shard of ours."""

Publish = Callable[[str, TickData], Awaitable[Any]]


@asynccontextmanager
async def xadd(url: str) -> AsyncIterator[Publish]:
    """redis-py with its own defaults."""
    from redis.asyncio import Redis

    async with Redis.from_url(url) as redis:

        async def publish(symbol: str, tick: TickData) -> None:
            await redis.xadd("bench:xadd", _fields(symbol, tick), maxlen=KEEP)

        yield publish


@asynccontextmanager
async def faststream(url: str) -> AsyncIterator[Publish]:
    """FastStream's Redis broker with its own defaults."""
    from faststream.redis import RedisBroker

    async with RedisBroker(url) as broker:

        async def publish(symbol: str, tick: TickData) -> None:
            await broker.publish(_fields(symbol, tick), stream="bench:faststream", maxlen=KEEP)

        yield publish


def _fields(symbol: str, tick: TickData) -> dict[Any, Any]:
    return {
        "symbol": symbol,
        "type": tick.tickType,
        "price": tick.price,
        "size": tick.size,
        "time": tick.time.timestamp(),
    }


async def connect(port: int, count: int) -> IB:
    """A session that has asked for the quotes of all symbols."""
    ib = IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", port, clientId=CLIENT_ID, fetchFields=StartupFetchNONE)
    for symbol in symbols(count):
        ib.reqMktData(Stock(symbol, "SMART", "USD", conId=listing(symbol).con_id))
    return ib


async def serve(waiting: asyncio.Queue[tuple[str, TickData]]) -> None:
    """Tell how many ticks wait to be published, and forget those of the beginning."""

    async def figures() -> Figures:
        return {"waiting": waiting.qsize()}

    async def forget() -> Figures:
        while not waiting.empty():
            waiting.get_nowait()
        return {}

    say({})
    await answer_all({"figures": figures, "forget": forget})


async def work_off(waiting: asyncio.Queue[tuple[str, TickData]], publish: Publish) -> None:
    """One tick after the other."""
    while True:
        symbol, tick = await waiting.get()
        await publish(symbol, tick)


async def main(kind: str, port: int, url: str, count: int) -> None:
    """Connect, and do with the ticks what the kind says."""
    ib = await connect(port, count)
    waiting: asyncio.Queue[tuple[str, TickData]] = asyncio.Queue()
    if kind == "empty":
        ib.pendingTickersEvent += lambda _: None
        await serve(waiting)
        return

    def on_tickers(tickers: Any) -> None:
        for ticker in tickers:
            for tick in ticker.ticks:
                waiting.put_nowait((ticker.contract.symbol, tick))

    ib.pendingTickersEvent += on_tickers
    async with {"xadd": xadd, "faststream": faststream}[kind](url) as publish, asyncio.TaskGroup() as group:
        group.create_task(work_off(waiting, publish))
        await serve(waiting)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
