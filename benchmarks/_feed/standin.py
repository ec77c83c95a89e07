"""A stand-in Gateway that floods, or writes ticks at a pace that say when they were written.

    python -m _feed.standin SYMBOLS

Everything that a client may ask for is answered by the stand-in Gateway itself. `flood` sets its own `ticks_per_second`: the
ticks are its simulated market's. `stamp` leaves the market quiet (a tick a second) and writes ticks of the benchmark's own over
the same connection instead: bid prices, whose size is CLOCK_MONOTONIC in microseconds, taken right before they are written, a
burst every millisecond or two, the symbols in turn. `hop` writes the same rows at the same pace to a stream of Redis, one XADD
after the other.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from _feed.child import FAR, NEAR, Figures, answer_all, pin, say
from _feed.names import HOP_STREAM, TICKS_PER_UPDATE, save, symbols
from ibstream.bus import Bus
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.quotes import Quote, QuoteBatch
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

STEP_MS = 20
QUIET = 1
"""Ticks a second of the simulated market while others are written."""
PERIOD_S = 0.0005
"""Slept between two bursts; a machine sleeps a millisecond or two instead."""
_SIZE = struct.Struct(">I")

Write = Callable[[int, int, int], Awaitable[None]]
"""Writes updates number `since` to `until`, all with one stamp."""


class StandIn:
    """The Gateway and its only client."""

    def __init__(self, gateway: Gateway, listed: Sequence[str]) -> None:
        self._gateway = gateway
        self._listed = listed
        self._client: Client | None = None
        self._heads: list[tuple[bytes, bytes]] = []

    async def figures(self) -> Figures:
        """What the simulated market has written so far, and whether everybody who asked has been told the first quotes."""
        quotes = self._gateway.quotes
        return {"ticks": quotes.told, "streams": len(quotes.subscriptions()), "is_settled": quotes.is_settled}

    async def flood(self, ticks_per_s: int) -> Figures:
        """The simulated market ticks so often from now on; 0: hardly."""
        settings = self._gateway.settings
        self._gateway.settings = msgspec.structs.replace(settings, ticks_per_second=ticks_per_s or QUIET)
        return {}

    async def stamp(self, ticks_per_s: float, seconds: float, path: str) -> Figures:
        """Write stamped ticks to the client; the stamps go to `path`."""
        self._learn()
        assert self._client is not None  # noqa: S101 - _learn has found it
        outlet = self._client.outlet

        async def write(since: int, until: int, stamp: int) -> None:
            outlet.send_frames(b"".join([self._update(number, stamp) for number in range(since, until)]))

        return await self._at_pace(ticks_per_s, seconds, path, write, lambda: outlet.is_congested)

    async def hop(self, ticks_per_s: float, seconds: float, path: str, url: str) -> Figures:
        """Write the same as rows with a bare XADD, from the core on which a feed would write them."""
        pin(0, FAR)
        async with Bus(url, client_name="bench-hop") as bus:
            redis: Any = bus.redis

            async def write(since: int, until: int, stamp: int) -> None:
                batch = self._batch(since, until, stamp)
                await redis.xadd(HOP_STREAM, {"type": type_of(batch), "data": encode(batch)}, maxlen=10_000)

            found = await self._at_pace(ticks_per_s, seconds, path, write, lambda: False)
        pin(0, NEAR)
        return found

    async def _at_pace(
        self, ticks_per_s: float, seconds: float, path: str, write: Write, is_congested: Callable[[], bool]
    ) -> Figures:
        """What is due at a moment is written in one burst then; where the reader does not keep up, what is due waits."""
        stamps: array[int] = array("q")
        begun = now = SYSTEM_CLOCK.monotonic()
        while now < begun + seconds:
            due = int((now - begun) * ticks_per_s / TICKS_PER_UPDATE)
            since = len(stamps)
            if due > since and not is_congested():
                stamp = int(SYSTEM_CLOCK.monotonic() * 1e6)
                stamps.extend([stamp] * (due - since))
                await write(since, due, stamp)
            await SYSTEM_CLOCK.sleep(PERIOD_S)
            now = SYSTEM_CLOCK.monotonic()
        if path:
            save(path, stamps)
        return {"ticks": TICKS_PER_UPDATE * len(stamps), "seconds": now - begun, "last": stamps[-1]}

    def _learn(self) -> None:
        """Who asked for what under which request id."""
        streams = {stream.subject.key: stream for stream in self._gateway.quotes.subscriptions()}
        self._client = next(iter(streams.values())).client
        ids = [streams[symbol].id_text for symbol in self._listed]
        self._heads = [(f"1\0006\0{one}\0001\0".encode(), f"2\0006\0{one}\0000\0".encode()) for one in ids]

    def _update(self, number: int, stamp: int) -> bytes:
        price_head, size_head = self._heads[number % len(self._heads)]
        price = b"%s%.2f\0%d\x001\0" % (price_head, _price(number), stamp)
        size = b"%s%d\0" % (size_head, stamp)
        return b"".join((_SIZE.pack(len(price)), price, _SIZE.pack(len(size)), size))

    def _batch(self, since: int, until: int, stamp: int) -> QuoteBatch:
        listed = self._listed
        rows = [
            Quote(listed[number % len(listed)], bid=_price(number), bid_size=stamp, time_ns=stamp * 1000)
            for number in range(since, until)
        ]
        return QuoteBatch(shard=0, epoch=1, seq=since + 1, published_at=stamp * 1000, rows=rows)


def _price(number: int) -> float:
    return 100 + number % 97 / 100


async def main(count: int) -> None:
    """Listen, say where, and obey."""
    listed = symbols(count)
    settings = EmulatorSettings(symbols=listed, port=0, limits=Limits.lifted(), tick_interval_ms=STEP_MS)
    async with running_gateway(settings) as server:
        stand_in = StandIn(server.state, listed)
        say({"port": server.port})
        await answer_all(
            {
                "figures": stand_in.figures,
                "flood": stand_in.flood,
                "stamp": stand_in.stamp,
                "hop": stand_in.hop,
            }
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
