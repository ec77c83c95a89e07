"""A feed at work over a real Redis, with a source whose words are the test's, and what it has written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from feed_rig import ScriptedMarketData, settings
from scripted import hosted, in_state
from support import eventually

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, SubscriptionChanged, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import FEED_EVENTS, QUOTES, last_quotes_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.service import ServiceHost
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.service import FeedService

SHARDS = 2
SYMBOLS = ("AAPL", "MSFT", "NVDA", "BRK.B")


@dataclass
class Feed:
    """A feed, its source, its host, and the bus it writes to."""

    source: ScriptedMarketData
    service: FeedService
    host: ServiceHost
    bus: Bus
    settings: FeedSettings

    async def batches(self, shard: int) -> list[QuoteBatch]:
        """Everything that a shard's stream holds."""
        return [one for one in await _messages(self.bus, QUOTES.named(shard)) if isinstance(one, QuoteBatch)]

    async def rows(self) -> dict[str, Quote]:
        """The newest row of each symbol, by the streams."""
        shards = range(self.settings.shards)
        return {row.symbol: row for shard in shards for batch in await self.batches(shard) for row in batch.rows}

    async def last_values(self) -> dict[str, list[Any]]:
        """The newest row of each symbol, by the hashes."""
        found = [await self.bus.hash(last_quotes_key(shard)) for shard in range(self.settings.shards)]
        return {symbol.decode(): json.loads(row) for shard in found for symbol, row in shard.items()}

    async def events(self, symbol: str, data: DataKind = DataKind.QUOTES) -> list[SubscriptionOutcome]:
        """What became of a subscription, step by step."""
        told = [one for one in await _messages(self.bus, FEED_EVENTS) if isinstance(one, SubscriptionChanged)]
        return [one.outcome for one in told if one.symbol == symbol and one.data is data]

    async def told(self, symbol: str, outcome: SubscriptionOutcome, *, within_s: float = 10.0) -> None:
        """Wait until this is what was told last of a symbol."""

        async def is_so() -> bool:
            return (await self.events(symbol))[-1:] == [outcome]

        await eventually(is_so, within_s=within_s, what=f"{symbol}: {outcome}")

    async def subscribed(self, symbols: Iterable[str], *, within_s: float = 10.0) -> None:
        """Wait until just these have lines."""
        wanted = set(symbols)
        await eventually(lambda: set(self.source.lines) == wanted, within_s=within_s, what=f"lines of {wanted}")

    async def quality(self, quality: Quality, *symbols: str, within_s: float = 10.0) -> None:
        """Wait until the newest rows of these symbols say so, in the streams and in the hashes."""

        async def is_so() -> bool:
            rows, saved = await self.rows(), await self.last_values()
            return all(
                symbol in rows and rows[symbol].quality is quality and saved.get(symbol, [None] * 10)[9] == quality
                for symbol in symbols
            )

        await eventually(is_so, within_s=within_s, what=f"{symbols} {quality}")

    async def assert_continuous(self) -> None:
        """Within an epoch, 1, 2, 3 …; epochs only grow."""
        for shard in range(self.settings.shards):
            found = await self.batches(shard)
            epochs = list(dict.fromkeys(batch.epoch for batch in found))
            assert epochs == sorted(epochs)
            for epoch in epochs:
                numbers = [batch.seq for batch in found if batch.epoch == epoch]
                assert numbers == list(range(1, len(numbers) + 1))


@contextlib.asynccontextmanager
async def feed(
    url: str,
    *,
    symbols: Iterable[str] = SYMBOLS,
    source: ScriptedMarketData | None = None,
    within_s: float = 10.0,
    **chosen: Any,
) -> AsyncIterator[Feed]:
    """A feed that has subscribed all that it can."""
    wanted = settings(url, **{"shards": SHARDS, "last_values_interval_s": 0.05, **chosen}).feed
    source = source or ScriptedMarketData()
    listed = [Instrument(symbol=symbol) for symbol in symbols]
    async with Bus(url, client_name="feed") as bus, Bus(url, client_name="quotes") as quotes_bus:
        service = FeedService(bus, quotes_bus, source, listed, settings=wanted, clock=SYSTEM_CLOCK)
        async with hosted(
            bus,
            source,
            synchronise=service.synchronise,
            workers=service.workers,
            on_state=service.on_state,
        ) as host:
            await in_state(host, ConnectionState.READY, within_s=within_s)
            yield Feed(source, service, host, bus, wanted)


def same_shard(symbol: str, other: str, shards: int = SHARDS) -> bool:
    """Whether two symbols travel on one stream."""
    return shard_of(symbol, shards) == shard_of(other, shards)


async def _messages(bus: Bus, stream: Any) -> list[Any]:
    decode = stream.codec().decode
    entries = await bus.call(bus.redis.xrange(stream.name))
    return [decode(fields[b"type"], fields[b"data"]) for _, fields in entries]
