"""Consumers of a feed at work: who joins late, who is too slow, and who reads through a restart of Redis.

What each was given is held against the whole stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from random import Random  # noqa: TID251 - seeded, so that a run can be had again

import pytest
from feed_host import SHARDS, SYMBOLS, Feed, feed
from feed_rig import settings
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream import Client
from ibstream.client import Gap, QuoteEvent, QuoteSnapshot, QuoteSubscription, Repeated
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.registry import QUOTES
from ibstream.runtime.clock import SYSTEM_CLOCK

END = 1e6
"""A bid that says that no more ticks come."""

JOINERS = 12
JOIN_WITHIN_S = 3.0
TICK_INTERVAL_S_MAX = 0.004

RESUMED = 10
"""So many batches after a restart show that quotes flow."""

KEPT = 100
LAGGED = 5 * KEPT
"""Batches, that are written while the slow consumer does something else."""


def client(it: Feed, url: str) -> Client:
    """With the settings of the feed."""
    its_settings = settings(shards=it.settings.shards, last_values_interval_s=it.settings.last_values_interval_s)
    return Client(url, settings=its_settings)


@contextlib.asynccontextmanager
async def ticking(it: Feed, seed: int) -> AsyncIterator[None]:
    """All the while some symbols tick, each time with another bid; in the end all of them, with `END`."""
    chance = Random(seed)

    async def tick() -> None:
        bid = 0
        while True:
            bid += 1
            it.source.tick(*chance.sample(SYMBOLS, chance.randint(1, 3)), bid=float(bid), bid_size=1.0)
            await SYSTEM_CLOCK.sleep(chance.random() * TICK_INTERVAL_S_MAX)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    it.source.tick(*SYMBOLS, bid=END, bid_size=1.0)


async def until_end(events: QuoteSubscription) -> list[QuoteEvent]:
    """Everything up to the last tick of every symbol."""
    heard: list[QuoteEvent] = []
    left = set(SYMBOLS)
    while left:
        heard.append(await anext(events))
        left -= {row.symbol for row in rows_of(heard[-1]) if row.bid == END and row.quality is Quality.LIVE}
    return heard


def rows_of(event: QuoteEvent) -> list[Quote]:
    return event.rows if isinstance(event, QuoteBatch | QuoteSnapshot) else []


def by_symbol(events: Iterable[QuoteEvent]) -> dict[str, list[Quote]]:
    """The rows of each symbol, in the order in which they were given."""
    found: defaultdict[str, list[Quote]] = defaultdict(list)
    for event in events:
        for row in rows_of(event):
            found[row.symbol].append(row)
    return found


async def stream_rows(it: Feed) -> dict[str, list[Quote]]:
    """The same of all that was ever written."""
    return by_symbol([batch for shard in range(it.settings.shards) for batch in await it.batches(shard)])


def assert_never_back(events: Iterable[QuoteEvent]) -> None:
    for symbol, rows in by_symbol(events).items():
        times = [row.time_ns for row in rows]
        assert times == sorted(set(times)), f"{symbol} was given twice, or went back"


@pytest.mark.parametrize("seed", range(3))
def test_whoever_joins_late_has_everything_from_then_on_once(seed: int, redis_url: str) -> None:
    """At many moments while ticks flow: of each symbol the row as it stands, then every row after it, each once, in order."""
    chance = Random(seed)

    async def join(it: Feed, after_s: float) -> list[QuoteEvent]:
        await SYSTEM_CLOCK.sleep(after_s)
        async with client(it, redis_url) as its_client, its_client.quotes() as events:
            heard = await until_end(events)
            assert events.continuity.unbroken
            return heard

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            async with ticking(it, seed):
                moments = [chance.random() * JOIN_WITHIN_S for _ in range(JOINERS)]
                joining = [asyncio.create_task(join(it, moment)) for moment in moments]
                await SYSTEM_CLOCK.sleep(JOIN_WITHIN_S)
            everyone = await asyncio.gather(*joining)
            written = await stream_rows(it)
            for heard in everyone:
                assert isinstance(heard[0], QuoteSnapshot)
                assert not any(isinstance(event, QuoteSnapshot) for event in heard[1:])
                first = {row.symbol: row for row in heard[0].rows}
                for symbol, rows in by_symbol(heard[1:]).items():
                    since_ns = first[symbol].time_ns if symbol in first else -1
                    assert rows == [row for row in written[symbol] if row.time_ns > since_ns]
                assert all(row in written[symbol] for symbol, row in first.items())
                assert_never_back(heard)

    run(scenario())


def test_a_consumer_that_is_too_slow_is_told_what_it_missed_and_given_what_stands(redis_url: str) -> None:
    """Its place was trimmed away: the gap names exactly the batches that it was not given, and the rows of those come again."""

    async def scenario() -> None:
        async with (
            feed(redis_url, shards=1, keep_entries=KEPT) as it,
            client(it, redis_url) as its_client,
            its_client.quotes() as events,
        ):
            await it.subscribed(SYMBOLS)
            await written(it, "AAPL", 1.0)
            while not isinstance(await anext(events), QuoteBatch):
                pass
            start = events.continuity.last(0)
            await written(it, "MSFT", 2.0)
            for number in range(LAGGED):
                await written(it, "AAPL", 3.0 + number)
            heard: list[QuoteEvent] = []
            while not any(isinstance(event, QuoteSnapshot) and event.shard == 0 for event in heard):
                heard.append(await anext(events))
            it.source.tick(*SYMBOLS, bid=END, bid_size=1.0)
            heard += await until_end(events)

            assert start is not None
            gaps = [event for event in heard if isinstance(event, Gap)]
            assert [gap.epoch for gap in gaps] == [start[0]]
            missed = set(range(gaps[0].first, gaps[0].last + 1))
            given = [event.seq for event in heard if isinstance(event, QuoteBatch)]
            assert missed | set(given) == set(range(start[1] + 1, given[-1] + 1))
            assert not missed & set(given)
            assert len(missed) == events.continuity.missed >= LAGGED - 3 * KEPT
            assert given == sorted(given)
            snapshot = next(event for event in heard if isinstance(event, QuoteSnapshot))
            assert [(row.symbol, row.bid) for row in snapshot.rows if row.symbol == "MSFT"] == [("MSFT", 2.0)]
            assert_never_back(heard)

    run(scenario())


async def written(it: Feed, symbol: str, bid: float) -> None:
    """One tick, and the batch that it makes."""
    stream = QUOTES.named(0).name

    async def added() -> int:
        return (
            int((await it.bus.redis.xinfo_stream(stream))["entries-added"]) if await it.bus.redis.exists(stream) else 0
        )

    before = await added()
    it.source.tick(symbol, bid=bid, bid_size=1.0)

    async def is_there() -> bool:
        return await added() > before

    await eventually(is_there, what="the batch")


@pytest.mark.parametrize("seed", range(2))
def test_a_consumer_reads_on_through_a_restart_of_redis(
    seed: int, private_server: Callable[[], KillableServer]
) -> None:
    """Killed amid ticks, and back on its data: nothing missed but what a new epoch tells, nothing twice, nothing back in time."""

    async def scenario() -> None:
        async with private_server() as server, feed(server.url) as it, client(it, server.url) as its_client:
            await it.subscribed(SYMBOLS)
            async with its_client.quotes() as events:
                reading = asyncio.create_task(until_end(events))
                async with ticking(it, seed):
                    await it.quality(Quality.LIVE, *SYMBOLS)
                    before = [len(await it.batches(shard)) for shard in range(SHARDS)]
                    await server.kill()
                    await server.start()

                    async def resumed() -> bool:
                        now = [len(await it.batches(shard)) for shard in range(SHARDS)]
                        return all(later > earlier + RESUMED for later, earlier in zip(now, before, strict=True))

                    await eventually(resumed, what="quotes to flow again")
                heard = await reading
            assert not [event for event in heard if isinstance(event, Gap | Repeated)]
            assert_never_back(heard)
            await it.assert_continuous()

    run(scenario())
