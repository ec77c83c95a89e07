"""A quote subscription over a real Redis: snapshot and stream join without a seam, and breaks are told and healed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest
from feed_rig import settings
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.client import Client, EpochChanged, Gap, QuoteEvent, QuoteSnapshot, QuoteSubscription, Repeated
from ibstream.client.quotes import READ_COUNT
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import QUOTES, last_quotes_key, shard_lease
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.errors import ConfigurationError

SHARDS = 8
SETTINGS = settings(shards=SHARDS, last_values_interval_s=0.01)
AAPL = shard_of("AAPL", SHARDS)

END = 2 * READ_COUNT + 500
"""More batches than a reader takes up in two reads."""


@dataclass
class FakeFeed:
    """Writes batches and last values as the feed does, when told to."""

    bus: Bus

    async def hold(self) -> None:
        """Take every shard."""
        for shard in range(SHARDS):
            await self.bus.put(shard_lease(shard), b"feed-0|1")

    async def die(self, *shards: int) -> None:
        """As a process that is killed: nothing is said, and after a while its leases are gone."""
        await self.bus.delete(*map(shard_lease, shards))

    async def publish(self, *rows: Quote, seq: int, epoch: int = 1, shard: int = AAPL) -> None:
        batch = QuoteBatch(shard=shard, epoch=epoch, seq=seq, published_at=1, rows=list(rows))
        await Publisher(self.bus).publish(QUOTES.named(shard), batch)

    async def flood(self, numbers: range) -> None:
        """One row in each batch, as old as its number; all in one go."""
        pipeline = self.bus.redis.pipeline(transaction=False)
        for number in numbers:
            rows = [quote("AAPL", 1.0, number)]
            batch = QuoteBatch(shard=AAPL, epoch=1, seq=number, published_at=1, rows=rows)
            pipeline.xadd(QUOTES.named(AAPL).name, {"type": type_of(batch), "data": encode(batch)})
        await pipeline.execute()

    async def save(self, *rows: Quote) -> None:
        for row in rows:
            key = last_quotes_key(shard_of(row.symbol, SHARDS))
            await self.bus.set_fields(key, {row.symbol: msgspec.json.encode(row)})


@asynccontextmanager
async def running(url: str, *, holds: bool = True) -> AsyncIterator[tuple[FakeFeed, Client]]:
    async with Bus(url, client_name="test") as bus, Client(url, settings=SETTINGS, patience_s=5) as client:
        feed = FakeFeed(bus)
        if holds:
            await feed.hold()
        yield feed, client


def quote(symbol: str, bid: float, time_ns: int) -> Quote:
    return Quote(symbol=symbol, bid=bid, time_ns=time_ns)


async def take(events: QuoteSubscription, count: int) -> list[QuoteEvent]:
    return [await anext(events) for _ in range(count)]


def scenario(url: str, story: Callable[[FakeFeed, Client], Awaitable[None]]) -> None:
    async def play() -> None:
        async with running(url) as (feed, client):
            await story(feed, client)

    run(play(), timeout_s=30)


def test_the_snapshot_comes_first_then_every_batch(redis_url: str) -> None:
    """The latest rows of all shards first, then batches as they are written, each whole."""

    async def story(feed: FakeFeed, client: Client) -> None:
        await feed.save(quote("AAPL", 1.0, 10), quote("MSFT", 2.0, 10))
        async with client.quotes() as events:
            await feed.publish(quote("AAPL", 3.0, 20), seq=1)
            await feed.publish(quote("AAPL", 4.0, 30), seq=2)
            snapshot, first, second = await take(events, 3)
            assert isinstance(snapshot, QuoteSnapshot)
            assert {row.symbol: row.bid for row in snapshot.rows} == {"AAPL": 1.0, "MSFT": 2.0}
            assert isinstance(first, QuoteBatch)
            assert isinstance(second, QuoteBatch)
            assert [first.rows[0].bid, second.rows[0].bid] == [3.0, 4.0]
            assert events.continuity.unbroken

    scenario(redis_url, story)


def test_an_update_that_the_hash_does_not_hold_yet_is_in_the_snapshot(redis_url: str) -> None:
    """The feed writes the stream first and the hash later; what was written between must not be lost on a newcomer."""

    async def story(feed: FakeFeed, client: Client) -> None:
        await feed.save(quote("AAPL", 1.0, 10))
        await feed.publish(quote("AAPL", 2.0, 20), seq=7)
        async with client.quotes() as events:
            (snapshot,) = await take(events, 1)
            assert isinstance(snapshot, QuoteSnapshot)
            assert [row.bid for row in snapshot.rows] == [2.0]

    scenario(redis_url, story)


def test_the_hash_wins_over_older_entries_of_the_stream(redis_url: str) -> None:
    """Entries that are read only for the overlap never move a row back in time."""

    async def story(feed: FakeFeed, client: Client) -> None:
        await feed.publish(quote("AAPL", 1.0, 10), seq=7)
        await feed.save(quote("AAPL", 2.0, 20))
        async with client.quotes() as events:
            (snapshot,) = await take(events, 1)
            assert isinstance(snapshot, QuoteSnapshot)
            assert [row.bid for row in snapshot.rows] == [2.0]

    scenario(redis_url, story)


def test_a_gap_is_reported_before_its_batch_and_the_shard_is_read_again(redis_url: str) -> None:
    """Batch 2 never arrives: the gap says so, batch 3 follows, and soon the shard's rows that batch 2 held."""

    async def story(feed: FakeFeed, client: Client) -> None:
        async with client.quotes() as events:
            await feed.publish(quote("AAPL", 1.0, 10), seq=1)
            await feed.publish(quote("AAPL", 3.0, 30), seq=3)
            missed = next(symbol for symbol in symbols_of(AAPL) if symbol != "AAPL")
            await feed.save(quote("AAPL", 3.0, 30), quote(missed, 9.0, 20))
            _, first, gap, third, healed = await take(events, 5)
            assert isinstance(first, QuoteBatch)
            assert gap == Gap(AAPL, 1, 2, 2)
            assert isinstance(third, QuoteBatch)
            assert healed == QuoteSnapshot([quote(missed, 9.0, 20)], AAPL)
            assert (events.continuity.gaps, events.continuity.missed) == (1, 1)

    scenario(redis_url, story)


@pytest.mark.parametrize("goes_on", [False, True], ids=["caught up", "never caught up"])
def test_a_reader_that_is_far_behind_is_not_given_newer_rows_first(redis_url: str, goes_on: bool) -> None:
    """After a gap the hash is read, which is far ahead of the stream as this reader knows it: its rows wait their turn.

    They come once what was written before them is read; also to a reader that never comes to the end.
    """

    async def story(feed: FakeFeed, clock: ManualClock, events: QuoteSubscription) -> None:
        silent = next(symbol for symbol in symbols_of(AAPL) if symbol != "AAPL")
        await feed.publish(quote("AAPL", 1.0, 1), seq=1)
        await take(events, 2)
        await feed.flood(range(3, END))
        await feed.save(quote("AAPL", 1.0, END - 1), quote(silent, 9.0, 2))
        await take(events, 1 + READ_COUNT)
        clock.advance(60)
        rows: list[Quote] = []
        read, end = READ_COUNT, END
        while read < END - 1 or not any(row.symbol == silent for row in rows):
            if goes_on and end - read < 2 * READ_COUNT:
                await feed.flood(range(end, end := end + READ_COUNT))
            (event,) = await take(events, 1)
            assert isinstance(event, QuoteBatch | QuoteSnapshot)
            rows += event.rows
            read = event.seq if isinstance(event, QuoteBatch) else read
        times = [row.time_ns for row in rows if row.symbol == "AAPL"]
        assert times == sorted(times)
        assert events.continuity.gaps == 1

    by_hand(redis_url, story)


def test_a_new_epoch_is_reported_and_the_shard_is_read_again(redis_url: str) -> None:
    """The feed began anew: it is said, its batch is delivered, and the shard's latest rows follow."""

    async def story(feed: FakeFeed, client: Client) -> None:
        async with client.quotes() as events:
            await feed.publish(quote("AAPL", 1.0, 10), seq=1)
            await feed.publish(quote("AAPL", 2.0, 20), seq=1, epoch=2)
            await feed.save(quote("AAPL", 5.0, 50))
            _, _, changed, batch, healed = await take(events, 5)
            assert changed == EpochChanged(AAPL, 1, 2)
            assert isinstance(batch, QuoteBatch)
            assert healed == QuoteSnapshot([quote("AAPL", 5.0, 50)], AAPL)

    scenario(redis_url, story)


def test_a_repeated_batch_is_reported_and_left_out(redis_url: str) -> None:
    """An entry written twice would move prices back; its rows are not delivered."""

    async def story(feed: FakeFeed, client: Client) -> None:
        async with client.quotes() as events:
            for bid, seq in ((1.0, 1), (2.0, 2), (1.0, 1), (3.0, 3)):
                await feed.publish(quote("AAPL", bid, 10), seq=seq)
            _, _, second, repeated, third = await take(events, 5)
            assert isinstance(second, QuoteBatch)
            assert repeated == Repeated(AAPL, 1, 1, 3)
            assert isinstance(third, QuoteBatch)
            assert third.seq == 3

    scenario(redis_url, story)


def test_only_what_was_asked_for_is_delivered_but_all_of_it_is_proved(redis_url: str) -> None:
    """With symbols named, other rows are left out, and batches without any of them still count for continuity."""

    async def story(feed: FakeFeed, client: Client) -> None:
        other = next(symbol for symbol in symbols_of(AAPL) if symbol != "AAPL")
        async with client.quotes(["AAPL"]) as events:
            await feed.publish(quote(other, 1.0, 10), seq=1)
            await feed.publish(quote(other, 1.0, 20), quote("AAPL", 2.0, 20), seq=2)
            _, batch = await take(events, 2)
            assert isinstance(batch, QuoteBatch)
            assert [row.symbol for row in batch.rows] == ["AAPL"]
            assert batch.seq == 2
            assert events.continuity.batches == 2
            assert events.continuity.unbroken

    scenario(redis_url, story)


def test_a_row_that_cannot_be_read_spoils_nothing_else(redis_url: str) -> None:
    """A broken field of the hash is left out of the snapshot."""

    async def story(feed: FakeFeed, client: Client) -> None:
        await feed.save(quote("AAPL", 1.0, 10))
        await feed.bus.set_fields(last_quotes_key(0), {"BROKEN": b"{"})
        async with client.quotes() as events:
            (snapshot,) = await take(events, 1)
            assert isinstance(snapshot, QuoteSnapshot)
            assert [row.symbol for row in snapshot.rows] == ["AAPL"]

    scenario(redis_url, story)


def test_another_number_of_shards_is_refused(redis_url: str) -> None:
    """A consumer that counts other shards than the feed would silently miss symbols; it is told which setting to change."""

    async def story(feed: FakeFeed, client: Client) -> None:
        wrong = (AAPL + 1) % SHARDS
        async with client.quotes() as events:
            await feed.publish(quote("AAPL", 1.0, 10), seq=1, shard=wrong)
            await take(events, 1)
            with pytest.raises(ConfigurationError, match="SA_FEED__SHARDS"):
                await anext(events)

    scenario(redis_url, story)


def stale(symbol: str, bid: float, time_ns: int) -> Quote:
    return Quote(symbol=symbol, bid=bid, time_ns=time_ns, quality=Quality.STALE)


OTHER = (AAPL + 1) % SHARDS


def test_who_joins_after_the_feed_has_died_is_given_stale_rows(redis_url: str) -> None:
    """Nobody was left to say so. The rows of a shard that somebody else writes are as they are."""

    async def story(feed: FakeFeed, client: Client) -> None:
        other = next(symbols_of(OTHER))
        await feed.save(quote("AAPL", 1.0, 10), quote(other, 2.0, 10))
        await feed.die(AAPL)
        async with client.quotes() as events:
            (snapshot,) = await take(events, 1)
            assert isinstance(snapshot, QuoteSnapshot)
            assert {row.symbol: row for row in snapshot.rows} == {
                "AAPL": stale("AAPL", 1.0, 11),
                other: quote(other, 2.0, 10),
            }
            await feed.publish(quote("AAPL", 3.0, 20), seq=1)
            (batch,) = await take(events, 1)
            assert isinstance(batch, QuoteBatch)
            assert batch.rows == [quote("AAPL", 3.0, 20)]

    scenario(redis_url, story)


def test_when_a_feed_dies_what_it_left_is_handed_out_as_stale_once(redis_url: str) -> None:
    """After all that it wrote; of its shards alone; without rows that are stale already. And again when the next one dies."""

    async def story(feed: FakeFeed, clock: ManualClock, events: QuoteSubscription) -> None:
        other, silent = next(symbols_of(OTHER)), next(symbol for symbol in symbols_of(AAPL) if symbol != "AAPL")
        await feed.publish(quote(other, 2.0, 10), seq=1, shard=OTHER)
        await feed.publish(quote("AAPL", 1.0, 10), stale(silent, 5.0, 10), seq=1)
        await take(events, 3)
        await feed.publish(quote("AAPL", 4.0, 20), seq=2)
        await feed.die(AAPL)
        for _ in range(2):
            clock.advance(60)
        (last,) = await take(events, 1)
        assert isinstance(last, QuoteBatch)
        clock.advance(60)
        assert await take(events, 1) == [QuoteSnapshot([stale("AAPL", 4.0, 21)], AAPL)]
        clock.advance(60)
        await feed.publish(quote(other, 3.0, 30), seq=2, shard=OTHER)
        (next_of_other,) = await take(events, 1)
        assert isinstance(next_of_other, QuoteBatch)
        await feed.publish(quote("AAPL", 5.0, 40), seq=3)
        (alive,) = await take(events, 1)
        assert isinstance(alive, QuoteBatch)
        assert alive.rows == [quote("AAPL", 5.0, 40)]
        clock.advance(60)
        assert await take(events, 1) == [QuoteSnapshot([stale("AAPL", 5.0, 41)], AAPL)]

    by_hand(redis_url, story)


def test_all_that_a_dead_feed_wrote_is_read_before_it_is_called_stale(redis_url: str) -> None:
    """Also by a reader that is far behind, and finds the lease gone long before it comes to the end."""

    async def story(feed: FakeFeed, clock: ManualClock, events: QuoteSubscription) -> None:
        await take(events, 1)
        await feed.flood(range(1, END))
        await feed.die(AAPL)
        clock.advance(60)
        assert all(isinstance(event, QuoteBatch) for event in await take(events, END - 1))
        clock.advance(60)
        assert await take(events, 1) == [QuoteSnapshot([stale("AAPL", 1.0, END)], AAPL)]

    by_hand(redis_url, story)


def test_a_hash_that_is_read_again_is_stale_where_nobody_writes(redis_url: str) -> None:
    """A gap, then its feed's death: what the hash held beyond what was handed out is no fresher than the rest."""

    async def story(feed: FakeFeed, clock: ManualClock, events: QuoteSubscription) -> None:
        missed = next(symbol for symbol in symbols_of(AAPL) if symbol != "AAPL")
        await feed.publish(quote("AAPL", 1.0, 10), seq=1)
        await feed.publish(quote("AAPL", 3.0, 30), seq=3)
        await take(events, 4)
        await feed.die(AAPL)
        await feed.save(quote("AAPL", 3.0, 30), quote(missed, 9.0, 20))
        clock.advance(60)
        healed, orphaned = await take(events, 2)
        assert healed == QuoteSnapshot([stale(missed, 9.0, 21)], AAPL)
        assert orphaned == QuoteSnapshot([stale("AAPL", 3.0, 31)], AAPL)

    by_hand(redis_url, story)


def test_quotes_go_on_while_the_leases_cannot_be_seen(
    redis_url: str, private_server: Callable[[], KillableServer]
) -> None:
    """They lie on another server, which is away: that says nothing of the feed."""

    async def play() -> None:
        clock = ManualClock(SYSTEM_CLOCK.now())
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await FakeFeed(bus).hold()
            async with (
                Bus(redis_url, client_name="test") as quotes,
                Client(server.url, redis_url, settings=SETTINGS, clock=clock) as client,
                client.quotes() as events,
            ):
                await take(events, 1)
                await server.kill()
                clock.advance(60)
                await FakeFeed(quotes).publish(quote("AAPL", 1.0, 10), seq=1)
                (batch,) = await take(events, 1)
                assert isinstance(batch, QuoteBatch)
                clock.advance(60)
                await FakeFeed(quotes).publish(quote("AAPL", 2.0, 20), seq=2)
                (batch,) = await take(events, 1)
                assert isinstance(batch, QuoteBatch)

    run(play(), timeout_s=30)


def by_hand(url: str, story: Callable[[FakeFeed, ManualClock, QuoteSubscription], Awaitable[None]]) -> None:
    """A story of a subscription whose clock stands still until it is moved."""

    async def play() -> None:
        clock = ManualClock(SYSTEM_CLOCK.now())
        async with Bus(url, client_name="test") as bus, Client(url, settings=SETTINGS, clock=clock) as client:
            await FakeFeed(bus).hold()
            async with client.quotes() as events:
                await story(FakeFeed(bus), clock, events)

    run(play(), timeout_s=30)


def test_nothing_is_missed_while_redis_restarts(private_server: Callable[[], KillableServer]) -> None:
    """The server is killed and comes back with its data: the iterator goes on, and continuity proves it whole."""

    async def story() -> None:
        server = private_server()
        await server.start()
        async with running(server.url) as (feed, client), client.quotes() as events:
            await feed.publish(quote("AAPL", 1.0, 10), seq=1)
            await take(events, 2)
            await server.kill()
            await server.start()
            await feed.publish(quote("AAPL", 2.0, 20), seq=2)
            (batch,) = await take(events, 1)
            assert isinstance(batch, QuoteBatch)
            assert batch.seq == 2
            assert events.continuity.unbroken

    run(story(), timeout_s=30)


def test_opening_can_be_tried_again(private_server: Callable[[], KillableServer]) -> None:
    """Redis is away at first: opening says so at once, and works later, with nothing reported twice."""

    async def again() -> None:
        server = private_server()
        async with running(server.url, holds=False) as (feed, client):
            events = client.quotes()
            with pytest.raises(BusUnavailable):
                await events.open()
            await server.start()
            await feed.hold()
            await feed.publish(quote("AAPL", 1.0, 10), seq=4)
            async with events:
                (snapshot,) = await take(events, 1)
                assert isinstance(snapshot, QuoteSnapshot)
                assert [row.bid for row in snapshot.rows] == [1.0]
                assert events.continuity.unbroken
        await server.stop()

    run(again(), timeout_s=30)


def test_one_connection_is_freed_when_the_subscription_is_left(redis_url: str) -> None:
    """Leaving the context closes the reader's connection; the server no longer lists it."""

    async def story(feed: FakeFeed, client: Client) -> None:
        async def readers() -> int:
            listed = await feed.bus.redis.client_list()
            return sum(item["name"] == "ibstream-client-reader" for item in listed)

        async def none_left() -> bool:
            return await readers() == 0

        async with client.quotes() as events:
            await take(events, 1)
            assert await readers() == 1
        await eventually(none_left, what="the reader's connection to go")

    scenario(redis_url, story)


def symbols_of(shard: int) -> Iterator[str]:
    names = (f"S{number}" for number in itertools.count())
    return (name for name in names if shard_of(name, SHARDS) == shard)
