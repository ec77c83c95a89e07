"""A feed at work over a real Redis, with a source whose words are the test's, and what it has written."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from feed_rig import ScriptedMarketData, settings
from scripted import hosted, in_state
from support import eventually

from ibstream.bus import Bus, Publisher
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome, Unsubscribe
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import FEED_EVENTS, FEED_REQUESTS, QUOTES, last_quotes_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.service import ServiceHost
from ibstream.runtime.settings import FeedSettings
from ibstream_feed.domain.line import Line
from ibstream_feed.ports import Qualified
from ibstream_feed.service import FeedService

SHARDS = 2
SYMBOLS = ("AAPL", "MSFT", "NVDA", "BRK.B")

STEP_S = 0.5
"""Time is set ahead in steps of so much: what has to be done in time, such as renewing a lease, is done in between."""

ANSWERS = 3
"""Of Redis, that are waited for after each step: renewing leases takes two, one after the other."""


SETTLED_S = 4
"""A server that is younger gives no shard away: it may have lost who holds them."""


class FastForward:
    """The machine's time, which a test can set ahead: whoever sleeps wakes as if the time had passed."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now() + timedelta(seconds=self._ahead_s)

    def time_ns(self) -> int:
        return SYSTEM_CLOCK.time_ns() + round(self._ahead_s * 1e9)

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self._ahead_s

    async def sleep(self, delay_s: float) -> None:
        until = self.monotonic() + delay_s
        while (left_s := until - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._moved.wait()
        await SYSTEM_CLOCK.sleep(0)

    def set_ahead(self, seconds: float) -> None:
        """Be so much later at once."""
        self._ahead_s += seconds
        self._moved.set()
        self._moved = asyncio.Event()


@dataclass
class Gateway(ScriptedMarketData):
    """A source that has so many lines, and refuses any further one (101): a moment later, as IBKR's answer takes its
    time. It can refuse others, too."""

    lines_max: int = 100
    refused: int = 0
    """How often it had to."""

    async def subscribe(self, line: Line, contract: Qualified) -> None:
        await super().subscribe(line, contract)
        if len(self.lines) > self.lines_max:
            self.refused += 1
            asyncio.get_running_loop().call_soon(self.refuse, line.symbol, 101)

    def refuse(self, symbol: str, code: int) -> None:
        """Say a code after which the subscription is dead; nothing where it was given back meanwhile."""
        line = self.lines.pop(symbol, None)
        if line is not None:
            self._on_code(line, code, f"{symbol} is refused with {code}")


@dataclass
class Feed:
    """A feed, its source, its host, and the bus it writes to."""

    source: Gateway
    service: FeedService
    host: ServiceHost
    bus: Bus
    settings: FeedSettings
    clock: FastForward

    async def passes(self, seconds: float) -> None:
        """Let time pass, without waiting for it: each step is taken when Redis has answered what the one before has caused."""
        while seconds > 0:
            self.clock.set_ahead(min(STEP_S, seconds))
            seconds -= STEP_S
            for _ in range(ANSWERS):
                await self.bus.ask("PING")

    async def ask(self, symbol: str = "", consumer: str = "a", **said: Any) -> None:
        """Take a lease, or renew it."""
        said.setdefault("instrument", Instrument(symbol=symbol or "AAPL"))
        request = Subscribe(consumer=consumer, requested_at=SYSTEM_CLOCK.now(), **said)
        await Publisher(self.bus).publish(FEED_REQUESTS, request)

    async def give_back(self, symbol: str = "", consumer: str = "a", **said: Any) -> None:
        """Give a lease back."""
        said.setdefault("instrument", Instrument(symbol=symbol or "AAPL"))
        request = Unsubscribe(consumer=consumer, requested_at=SYSTEM_CLOCK.now(), **said)
        await Publisher(self.bus).publish(FEED_REQUESTS, request)

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

    async def qualities(self, symbol: str) -> list[Quality]:
        """What the rows of a symbol said of themselves, one after the other; what follows the same is left out."""
        batches = await self.batches(shard_of(symbol, self.settings.shards))
        said = [row.quality for batch in batches for row in batch.rows if row.symbol == symbol]
        return [quality for quality, _ in itertools.groupby(said)]

    async def epochs(self, shard: int = 0) -> list[int]:
        """Of a shard, one after the other."""
        return list(dict.fromkeys(batch.epoch for batch in await self.batches(shard)))

    async def changes(self, symbol: str, data: DataKind = DataKind.QUOTES) -> list[SubscriptionChanged]:
        """What was told of a subscription, step by step."""
        told = [one for one in await _messages(self.bus, FEED_EVENTS) if isinstance(one, SubscriptionChanged)]
        return [one for one in told if one.symbol == symbol and one.data is data]

    async def events(self, symbol: str, data: DataKind = DataKind.QUOTES) -> list[SubscriptionOutcome]:
        """What became of a subscription, step by step."""
        return [one.outcome for one in await self.changes(symbol, data)]

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

    async def forgotten(self, *symbols: str, within_s: float = 10.0) -> None:
        """Wait until no hash has a row of these any more."""

        async def is_so() -> bool:
            return not set(symbols) & (await self.last_values()).keys()

        await eventually(is_so, within_s=within_s, what=f"no last values of {symbols}")

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
    source: Gateway | None = None,
    is_ready: bool = True,
    **chosen: Any,
) -> AsyncIterator[Feed]:
    """A feed at work; ready, unless the test says that it cannot be yet."""
    wanted = settings(url, **{"shards": SHARDS, "last_values_interval_s": 0.05, **chosen}).feed
    source, clock = source or Gateway(), FastForward()
    source.clock = clock
    listed = [Instrument(symbol=symbol) for symbol in symbols]
    async with Bus(url, client_name="feed") as bus, Bus(url, client_name="quotes") as quotes_bus:
        await eventually(lambda: _is_settled(bus), what="a server that gives shards away")
        service = FeedService(bus, quotes_bus, source, listed, settings=wanted, clock=clock)
        async with hosted(
            bus,
            source,
            synchronise=service.synchronise,
            workers=service.workers,
            on_state=service.on_state,
        ) as host:
            if is_ready:
                await in_state(host, ConnectionState.READY, within_s=10.0)
            yield Feed(source, service, host, bus, wanted, clock)


def same_shard(symbol: str, other: str, shards: int = SHARDS) -> bool:
    """Whether two symbols travel on one stream."""
    return shard_of(symbol, shards) == shard_of(other, shards)


async def _is_settled(bus: Bus) -> bool:
    """Whether a feed that begins now has all its shards before its session is ready, and so asks for all in one go."""
    found = await bus.call(bus.redis.info("server"))
    return int(found["uptime_in_seconds"]) >= SETTLED_S


async def _messages(bus: Bus, stream: Any) -> list[Any]:
    decode = stream.codec().decode
    entries = await bus.call(bus.redis.xrange(stream.name))
    return [decode(fields[b"type"], fields[b"data"]) for _, fields in entries]
