"""Streams on request when shards move between feed processes: a whole feed over a real Redis, and another that shares with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from feed_host import SHARDS, SYMBOLS, Feed, feed
from feed_rig import Opened
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.quotes import shard_of
from ibstream.contracts.registry import DEPTH, TICKS, Stream
from ibstream.contracts.ticks import Depth, Level, TradeTick
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.service import Slot
from ibstream_feed.domain.streams import TICK_REST_S
from ibstream_feed.rooms import TOKENS_PER_MS
from ibstream_feed.sharing import Sharing

KINDS = (DataKind.TICKS, DataKind.DEPTH)
WHOLE = 2 * len(SYMBOLS)
"""Slots for a stream of each symbol in one process, with room for two that share."""


@dataclass
class Successor:
    """The other process: notes at the moment it becomes the writer of a shard how the first has left its streams."""

    first: Feed
    tokens: dict[int, int] = field(default_factory=dict)
    still_open: list[Opened] = field(default_factory=list)
    last_books: dict[str, Depth] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    peers: int = 1

    async def gained(self, shard: int, token: int) -> None:
        symbols = [one for one in SYMBOLS if shard_of(one, SHARDS) == shard]
        self.still_open += [one for one in self.first.source.streams.values() if one.symbol in symbols]
        for stream in [kind.named(one) for one in symbols for kind in (TICKS, DEPTH)]:
            self.lengths[stream.name] = len(await entries(self.first.bus, stream))
        for one in symbols:
            self.last_books.update((one, book) for book in (await entries(self.first.bus, DEPTH.named(one)))[-1:])
        self.tokens[shard] = token

    async def letting_go(self, shard: int) -> None: ...

    def lost(self, shards: Collection[int]) -> None: ...

    def peers_changed(self, peers: int) -> None:
        self.peers = peers


@contextlib.asynccontextmanager
async def another(it: Feed, url: str) -> AsyncIterator[Successor]:
    """A second process, until the context ends."""
    async with Bus(url, client_name="other") as bus:
        successor, stop = Successor(it), asyncio.Event()
        sharing = Sharing(bus, Slot(1, 1), gateway="", lines=100, shards=SHARDS, clock=SYSTEM_CLOCK, keeper=successor)
        running = asyncio.create_task(sharing.run(stop))
        try:
            await eventually(lambda: successor.tokens, what="the other to have a share")
            yield successor
        finally:
            stop.set()
            await running


async def entries(bus: Bus, stream: Stream) -> list[Any]:
    decode = stream.codec().decode
    return [decode(one[b"type"], one[b"data"]) for _, one in await bus.call(bus.redis.xrange(stream.name))]


def bring(it: Feed) -> None:
    """A tick and a book of all that is open."""
    for one in list(it.source.streams.values()):
        if one.kind is DataKind.TICKS:
            one.on_item(TradeTick(1, 1.0, 1.0))
        else:
            rows = [Level(1.0, 1.0)]
            one.on_item(Depth(symbol=one.symbol, bids=rows, asks=rows, received_ns=1))


async def all_streaming(it: Feed) -> None:
    """Every symbol has its ticks and its book, and something of each is written."""
    count = len(KINDS) * len(SYMBOLS)
    await eventually(lambda: len(it.source.streams) == count, within_s=20.0, what=f"all open: {it.source.streams}")
    bring(it)

    async def is_written() -> bool:
        books = [await entries(it.bus, DEPTH.named(symbol)) for symbol in SYMBOLS]
        ticks = [await entries(it.bus, TICKS.named(symbol)) for symbol in SYMBOLS]
        return all(ticks) and all(found and found[-1].bids for found in books)

    await eventually(is_written, what="something of each")


def test_the_next_owner_finds_the_streams_closed_and_the_last_word_written(redis_url: str) -> None:
    """Nothing is written after it, and nobody is told that the streams have ended. They come back with the shard, in an epoch
    above the other's, which may have been counted from its token."""

    async def scenario() -> None:
        async with feed(redis_url, tick_by_tick_lines=2 * WHOLE, depth_lines=WHOLE) as it:
            for symbol, kind in itertools.product(SYMBOLS, KINDS):
                await it.ask(symbol, data=kind)
            await all_streaming(it)
            async with another(it, redis_url) as successor:
                assert successor.still_open == []
                gone = successor.last_books
                assert 0 < len(gone) < len(SYMBOLS)
                assert all(book.bids == book.asks == [] for book in gone.values())
                bring(it)
                kept = next(symbol for symbol in SYMBOLS if symbol not in gone)
                await eventually(lambda: _is_longer(it, TICKS.named(kept), 1), what="more of what stays")
                for stream in [kind.named(symbol) for symbol in gone for kind in (TICKS, DEPTH)]:
                    assert len(await entries(it.bus, stream)) == successor.lengths[stream.name]
            await it.passes(TICK_REST_S)
            await eventually(
                lambda: len(it.source.streams) == len(KINDS) * len(SYMBOLS), within_s=30.0, what="all again"
            )
            bring(it)
            for symbol in gone:
                ticks = TICKS.named(symbol)
                await eventually(partial(_is_longer, it, ticks, successor.lengths[ticks.name]), what="ticks")
                newest = (await entries(it.bus, ticks))[-1]
                assert newest.epoch > successor.tokens[shard_of(symbol, SHARDS)] // TOKENS_PER_MS
                assert SubscriptionOutcome.ENDED not in await it.events(symbol, DataKind.TICKS)

    run(scenario())


async def _is_longer(it: Feed, stream: Stream, length: int) -> bool:
    return len(await entries(it.bus, stream)) > length


def test_processes_share_the_slots(redis_url: str) -> None:
    """With another on the same Gateway half of four are there; alone again, all."""

    async def scenario() -> None:
        async with feed(redis_url, symbols=["AAPL"], depth_lines=4) as it:
            async with another(it, redis_url) as successor:
                await eventually(lambda: successor.peers == 2, what="the other to know of the first")
                left = next(shard for shard in range(SHARDS) if shard not in successor.tokens)
                names = [f"S{number}" for number in range(100)]
                wanted = [symbol for symbol in names if shard_of(symbol, SHARDS) == left][:4]
                for symbol in wanted:
                    await it.ask(symbol, data=DataKind.DEPTH)

                split = sorted([SubscriptionOutcome.ACTIVE, SubscriptionOutcome.OVER_CAPACITY] * 2)

                async def is_split() -> bool:
                    told = [await it.events(symbol, DataKind.DEPTH) for symbol in wanted]
                    return sorted(found[-1] for found in told if found) == split

                await eventually(is_split, what="two books and two refusals")
                assert len(it.source.streams) == 2
            await eventually(lambda: len(it.source.streams) == 4, what="four books")

    run(scenario())
