"""The feed over a real Redis: numbered batches, honest rows, and a last word that is never lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from redis_for_tests import KillableServer
from scripted import ScriptedConnection, hosted, in_state
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.registry import QUOTES, last_quotes_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream_feed.ports import OnQuote, OnSubscription
from ibstream_feed.service import FeedService

SHARDS = 2
SYMBOLS = ["AAPL", "MSFT", "NVDA", "BRK.B"]


class ScriptedQuotes(ScriptedConnection):
    """A source whose rows the test sends."""

    def listen(self, on_quote: OnQuote, on_subscription: OnSubscription) -> None:
        self.on_quote, self.on_subscription = on_quote, on_subscription
        self.asked: list[bool] = []

    async def subscribe(self, instruments: Sequence[Instrument], *, afresh: bool) -> None:
        self.asked.append(afresh)
        for instrument in instruments:
            self.on_subscription(instrument.symbol, SubscriptionOutcome.ACTIVE, "", 0)

    def quote(self, bid: float, *symbols: str) -> None:
        """A tick of each symbol."""
        for symbol in symbols or SYMBOLS:
            self.on_quote(Quote(symbol=symbol, bid=bid, ask=bid + 1, last=bid, time_ns=SYSTEM_CLOCK.time_ns()))


@contextlib.asynccontextmanager
async def feed(url: str) -> AsyncIterator[tuple[ScriptedQuotes, Bus, Any]]:
    """A feed at work, its source, and its host."""
    source = ScriptedQuotes()
    async with Bus(url, client_name="feed") as bus, Bus(url, client_name="quotes") as quotes_bus:
        service = FeedService(
            bus,
            quotes_bus,
            source,
            [Instrument(symbol=symbol) for symbol in SYMBOLS],
            shards=SHARDS,
            last_values_interval_s=0.05,
            clock=SYSTEM_CLOCK,
        )
        async with hosted(
            bus,
            source,
            synchronise=service.synchronise,
            workers=lambda _slot: service.workers(),
            on_state=service.on_state,
        ) as host:
            await in_state(host, ConnectionState.READY)
            yield source, bus, host


async def batches(bus: Bus, shard: int) -> list[QuoteBatch]:
    """Everything a shard has published."""
    decode = QUOTES.codec().decode
    entries = await bus.call(bus.redis.xrange(QUOTES.named(shard).name))
    return [batch for _, fields in entries if isinstance(batch := decode(fields[b"type"], fields[b"data"]), QuoteBatch)]


async def newest(bus: Bus) -> dict[str, Quote]:
    """The newest row of each symbol, by the streams."""
    return {row.symbol: row for shard in range(SHARDS) for batch in await batches(bus, shard) for row in batch.rows}


async def last_values(bus: Bus) -> dict[str, list[Any]]:
    """The newest row of each symbol, by the hashes."""
    rows = [await bus.hash(last_quotes_key(shard)) for shard in range(SHARDS)]
    return {symbol.decode(): json.loads(row) for shard in rows for symbol, row in shard.items()}


def assert_continuous(found: list[QuoteBatch]) -> None:
    """Within an epoch, 1, 2, 3 …; epochs only grow."""
    epochs = list(dict.fromkeys(batch.epoch for batch in found))
    assert epochs == sorted(epochs)
    for epoch in epochs:
        numbers = [batch.seq for batch in found if batch.epoch == epoch]
        assert numbers == list(range(1, len(numbers) + 1))


async def arrived(bus: Bus, bid: float, quality: Quality = Quality.LIVE) -> None:
    """Wait until the newest row of every symbol is this, in the streams and in the hashes."""

    async def is_so() -> bool:
        rows = await newest(bus)
        by_hash = {symbol: (row[1], row[9]) for symbol, row in (await last_values(bus)).items()}
        wanted = dict.fromkeys(SYMBOLS, (bid, quality))
        return {symbol: (row.bid, row.quality) for symbol, row in rows.items()} == wanted == by_hash

    await eventually(is_so, what=f"bid {bid}, {quality}, of every symbol")


def test_rows_arrive_numbered_without_a_gap(redis_url: str) -> None:
    """Every tick's newest state is in the streams and in the hashes."""

    async def scenario() -> None:
        async with feed(redis_url) as (source, bus, _):
            for bid in range(1, 20):
                source.quote(bid)
                await asyncio.sleep(0)  # noqa: TID251 - let the shards write in between
            await arrived(bus, 19)
            for shard in range(SHARDS):
                assert_continuous(await batches(bus, shard))

    run(scenario())


def test_rows_are_stale_from_the_moment_the_session_is_lost(redis_url: str) -> None:
    """The prices stay as last known, what still arrives is not believed, and a new session begins a new epoch."""

    async def scenario() -> None:
        async with feed(redis_url) as (source, bus, host):
            source.quote(10)
            await arrived(bus, 10)
            before = (await batches(bus, 0))[-1].epoch
            source.refuses = True
            source.say(Trigger.LOST, "gone")
            await in_state(host, ConnectionState.BACKING_OFF)
            source.quote(11)
            await arrived(bus, 10, Quality.STALE)
            source.refuses = False
            await in_state(host, ConnectionState.READY)
            source.quote(12)
            await arrived(bus, 12)
            assert (await batches(bus, 0))[-1].epoch > before

    run(scenario())


def test_what_ibkr_kept_is_not_subscribed_again(redis_url: str) -> None:
    """After 1102 subscriptions stand; after 1101 and with a new session everything is asked for afresh."""

    async def scenario() -> None:
        async with feed(redis_url) as (source, _, host):
            for code in (1102, 1101):
                source.say(Trigger.LINK_LOST, "lost")
                await in_state(host, ConnectionState.DEGRADED)
                source.say(Trigger.LINK_RESTORED, "back", code)
                await in_state(host, ConnectionState.READY)
            assert source.asked == [True, False, True]

    run(scenario())


def test_a_stop_while_redis_is_slow_still_says_that_all_is_stale(private_server: Callable[[], KillableServer]) -> None:
    """The stop meets writes in flight: the last rows in streams and hashes are stale all the same."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            async with feed(server.url) as (source, _, _):
                source.quote(10)
                await arrived(bus, 10)
                await bus.call(bus.redis.client_pause(800, all=False))
                source.quote(11)
            rows = await newest(bus)
            assert {row.quality for row in rows.values()} == {Quality.STALE}
            assert {row[9] for row in (await last_values(bus)).values()} == {"stale"}
            for shard in range(SHARDS):
                assert_continuous(await batches(bus, shard))

    run(scenario())


def test_a_redis_that_dies_and_returns_costs_an_epoch_and_no_quote(
    private_server: Callable[[], KillableServer],
) -> None:
    """What was seen last arrives after its return, and no number is used twice in an epoch."""

    async def scenario() -> None:
        async with (
            private_server() as server,
            Bus(server.url, client_name="test") as bus,
            feed(server.url) as (source, _, host),
        ):
            source.quote(10)
            await arrived(bus, 10)
            await server.kill()
            source.quote(11)
            await server.start()
            await in_state(host, ConnectionState.READY, within_s=15)
            source.quote(12)
            await arrived(bus, 12)
            for shard in range(SHARDS):
                assert_continuous(await batches(bus, shard))

    run(scenario())
