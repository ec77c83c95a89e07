"""Leases end to end: requests on a real stream, two feed processes' desks on one Redis, the SDK as the consumer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from bus_helpers import add_raw, dead_letters, deliver, pending, raw
from redis_for_tests import KillableServer
from support import eventually, log_of, run

import ibstream_feed.leases
from ibstream.bus import Bus, Publisher
from ibstream.client import Client, combo, leg
from ibstream.contracts.base import encode
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome, Unsubscribe
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import (
    FEED_EVENTS,
    FEED_LEASES_KEY,
    FEED_LEASES_VERSION_KEY,
    FEED_REQUESTS,
    QUOTES,
    TICKS,
)
from ibstream.contracts.ticks import TickBatch, TradeTick
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import Settings
from ibstream_feed.leases import LeaseDesk

MSFT = Instrument(symbol="MSFT")


class Desk:
    """One feed process's desk, and all that it says."""

    def __init__(self, bus: Bus, name: str, **settings: Any) -> None:
        self.changes: list[set[str]] = []
        self.refused: list[tuple[str, DataKind, SubscriptionOutcome, str]] = []
        self.name = name
        self.leases = LeaseDesk(
            bus,
            clock=SYSTEM_CLOCK,
            on_change=self._changed,
            on_refused=lambda *said: self.refused.append(said),
            **settings,
        )

    def _changed(self, symbols: Collection[str]) -> None:
        self.changes.append(set(symbols))

    def wanted(self, data: DataKind = DataKind.QUOTES) -> list[tuple[str, int]]:
        """Symbol and priority, the most wanted first."""
        return [(want.symbol, want.priority) for want in self.leases.wants(data)]

    async def wants(self, *wanted: tuple[str, int]) -> None:
        """Wait until it wants exactly these."""
        await eventually(
            lambda: self.wanted() == list(wanted), what=f"{self.name} to want {wanted}, not {self.wanted()}"
        )

    @asynccontextmanager
    async def running(self, *, handles: bool = True) -> AsyncIterator[Desk]:
        """At work for as long as the context lasts; where it does not handle requests it only watches."""
        stop = asyncio.Event()
        work = [self.leases.watch(stop), *([self.leases.worker(self.name)(stop)] if handles else [])]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield self
        finally:
            stop.set()
            await asyncio.gather(*tasks)


@asynccontextmanager
async def desks(url: str, count: int = 1, **settings: Any) -> AsyncIterator[tuple[Bus, list[Desk]]]:
    """So many feed processes' desks, each with a bus of its own, at work."""
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(Bus(url, client_name=f"feed-{number}")) for number in range(count)]
        made = [Desk(bus, f"feed-{number}", **settings) for number, bus in enumerate(buses)]
        for desk in made:
            await stack.enter_async_context(desk.running())
        yield buses[0], made


async def ask(bus: Bus, consumer: str = "a", symbol: str = "AAPL", **said: Any) -> str:
    """Write a request for a lease; returns the entry's id."""
    said.setdefault("instrument", Instrument(symbol=symbol))
    request = Subscribe(consumer=consumer, requested_at=SYSTEM_CLOCK.now(), **said)
    return await Publisher(bus).publish(FEED_REQUESTS, request)


async def give_back(bus: Bus, consumer: str = "a", symbol: str = "AAPL") -> None:
    """Write the request for its end."""
    request = Unsubscribe(consumer=consumer, instrument=Instrument(symbol=symbol), requested_at=SYSTEM_CLOCK.now())
    await Publisher(bus).publish(FEED_REQUESTS, request)


async def all_handled(bus: Bus) -> None:
    """Wait until every request has been read and acknowledged."""

    async def handled() -> bool:
        (group,) = await raw(bus).xinfo_groups(FEED_REQUESTS.name)
        return bool(group["pending"] == 0 and group["lag"] == 0)

    await eventually(handled, what="all requests to be handled")


def test_two_processes_see_the_same_whoever_handles_a_request(redis_url: str) -> None:
    """Both work in one group, each request is handled by one of them, and both want the same in the same order."""

    async def play() -> None:
        async with desks(redis_url, 2) as (bus, (one, other)):
            for number in range(20):
                await ask(bus, symbol=f"S{number:02}", priority=1 + number % 3)
            expected = sorted(((f"S{number:02}", 1 + number % 3) for number in range(20)), key=lambda want: want[1])
            for desk in (one, other):
                await desk.wants(*expected)
            told = {symbol for symbols in one.changes for symbol in symbols}
            assert told == {symbol for symbols in other.changes for symbol in symbols} == {name for name, _ in expected}
            assert one.leases.wants(DataKind.QUOTES) == other.leases.wants(DataKind.QUOTES)
            consumers = await raw(bus).xinfo_consumers(FEED_REQUESTS.name, FEED_REQUESTS.group)
            assert {consumer["name"] for consumer in consumers} == {b"feed-0", b"feed-1"}

    run(play())


def test_a_symbol_is_wanted_until_its_last_holder_has_gone(redis_url: str) -> None:
    """Two consumers; the better priority counts while its holder has it. Giving back another's lease is not possible."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)):
            await ask(bus, "a", priority=7)
            await desk.wants(("AAPL", 7))
            await ask(bus, "b", priority=2)
            await desk.wants(("AAPL", 2))
            await give_back(bus, "c")
            await all_handled(bus)
            await give_back(bus, "b")
            await desk.wants(("AAPL", 7))
            await give_back(bus, "a")
            await desk.wants()

    run(play())


def test_a_new_lease_on_what_is_wanted_already_is_told_and_a_renewal_is_not(redis_url: str) -> None:
    """The second consumer wants to hear the outcome, too; nothing else has changed. A renewal changes nothing at all."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)):
            await ask(bus, "a")
            await desk.wants(("AAPL", 5))
            assert desk.changes == [{"AAPL"}]
            before = desk.leases.wants(DataKind.QUOTES)
            await ask(bus, "b")
            await eventually(lambda: desk.changes == [{"AAPL"}, {"AAPL"}], what="the second lease to be told")
            assert desk.leases.wants(DataKind.QUOTES) == before
            version = await bus.get(FEED_LEASES_VERSION_KEY)
            for _ in range(3):
                await ask(bus, "a")
            await all_handled(bus)
            await desk.leases.look()
            assert await bus.get(FEED_LEASES_VERSION_KEY) == version
            assert len(desk.changes) == 2

    run(play())


def test_a_lease_that_is_not_renewed_ends_and_a_renewed_one_does_not(redis_url: str) -> None:
    """The time counts by Redis' clock, from when the entry was written. A renewed lease is wanted without a break."""

    async def play() -> None:
        async with desks(redis_url, 2) as (bus, (desk, other)):
            written = await ask(bus, "a", ttl_s=2)
            await ask(bus, "b", "MSFT", ttl_s=2)
            await desk.wants(("AAPL", 5), ("MSFT", 5))
            await ask(bus, "b", "MSFT")
            await desk.wants(("MSFT", 5))
            seconds, microseconds = await raw(bus).time()
            assert seconds * 1000 + microseconds // 1000 >= int(written.partition("-")[0]) + 2_000
            await other.wants(("MSFT", 5))
            assert sum("MSFT" in taken for taken in desk.changes) == 1
            assert desk.changes[-1] == set()

    run(play())


def test_a_request_that_waited_longer_than_its_lease_lasts_is_passed_over(redis_url: str) -> None:
    """The feed was away; whoever asked has gone, and nothing is subscribed for it."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await ask(bus, "gone", "MSFT", ttl_s=0.001)
            await ask(bus, "a")
            async with desks(redis_url) as (_, (desk,)):
                await desk.wants(("AAPL", 5))
                await all_handled(bus)
                await desk.leases.look()
                assert desk.wanted() == [("AAPL", 5)]
                assert desk.changes == [{"AAPL"}]

    run(play())


def test_a_request_its_process_died_over_does_not_revive_what_was_given_back(redis_url: str) -> None:
    """Read by a process that died; the other handled the end of the lease meanwhile; then the first one starts again."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await ask(bus, "a")
            assert len(await deliver(bus, FEED_REQUESTS, "feed-1", 1)) == 1
            async with desks(redis_url) as (_, (desk,)):
                await give_back(bus, "a")
                await ask(bus, "a", "MSFT")
                await desk.wants(("MSFT", 5))
                assert set((await pending(bus, FEED_REQUESTS)).values()) == {"feed-1"}
                async with Desk(bus, "feed-1").running() as restarted:
                    await all_handled(bus)
                    await restarted.leases.look()
                    assert restarted.wanted() == [("MSFT", 5)]

    run(play())


def test_what_cannot_be_read_goes_to_the_dead_letters_and_the_rest_goes_on(redis_url: str) -> None:
    """A priority that does not exist, no JSON, no instrument: each is buried with its error."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)):
            for data in ('{"priority":0}', "{", ""):
                await add_raw(bus, FEED_REQUESTS, type="feed.subscribe.v1", data=data)
            await add_raw(bus, FEED_REQUESTS, type="feed.subscribe.v9", data="{}")
            await ask(bus)
            await desk.wants(("AAPL", 5))
            letters = await dead_letters(bus, FEED_REQUESTS)
            assert [letter[b"data"] for letter in letters] == [b'{"priority":0}', b"{", b""]
            assert all(letter[b"error"] for letter in letters)

    run(play())


def test_what_can_never_be_had_is_refused(redis_url: str) -> None:
    """A combo has no market data of its own; beyond the limit no lease is taken. Both are told, and nothing else suffers."""
    vertical = combo("AAPL", [leg("BUY", "AAPL 20261218 250 C"), leg("SELL", "AAPL 20261218 260 C")])

    async def play() -> None:
        async with desks(redis_url, leases_max=1) as (bus, (desk,)):
            await ask(bus, instrument=vertical)
            await ask(bus, "a")
            await ask(bus, "b", data=DataKind.DEPTH)
            await ask(bus, "a", priority=1)
            await desk.wants(("AAPL", 1))
            assert [said[:3] for said in desk.refused] == [
                ("AAPL combo of 2", DataKind.QUOTES, SubscriptionOutcome.REFUSED),
                ("AAPL", DataKind.DEPTH, SubscriptionOutcome.OVER_CAPACITY),
            ]
            assert "legs" in desk.refused[0][3]
            assert "1 leases" in desk.refused[1][3]
            assert desk.wanted(DataKind.DEPTH) == []

    run(play())


async def _server_ms(bus: Bus) -> int:
    seconds, microseconds = await raw(bus).time()
    return int(seconds) * 1000 + int(microseconds) // 1000


@pytest.mark.parametrize("loses_its_data", [False, True])
def test_no_lease_ends_while_redis_is_away(
    private_server: Callable[[], KillableServer], loses_its_data: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time runs out while nobody can renew: it stays wanted, also through the grace after Redis' return, and also where
    Redis came back without it. Who renews in that time keeps it; the rest ends then."""
    log = log_of(ibstream_feed.leases, monkeypatch)

    async def play() -> None:
        async with private_server() as server, desks(server.url, grace_s=1.5) as (bus, (desk,)):
            written = await ask(bus, "a", ttl_s=2)
            await ask(bus, "b", "MSFT", ttl_s=2)
            await desk.wants(("AAPL", 5), ("MSFT", 5))
            if loses_its_data:
                await raw(bus).config_set("appendonly", "no")
                await raw(bus).flushall()
            await server.kill()
            await eventually(lambda: log, what="the loss to be noticed")
            over_at = int(written.partition("-")[0]) + 2_200
            await eventually(lambda: SYSTEM_CLOCK.time_ns() // 1_000_000 > over_at, what="their end")
            assert desk.wanted() == [("AAPL", 5), ("MSFT", 5)]
            await server.start()
            await eventually(lambda: len(log) == 2, what="its return to be noticed")
            assert await _server_ms(bus) > over_at
            assert desk.wanted() == [("AAPL", 5), ("MSFT", 5)]
            await ask(bus, "a")
            await desk.wants(("AAPL", 5))
            await desk.leases.look()
            assert desk.wanted() == [("AAPL", 5)]

    run(play())
    assert [entry["event"] for entry in log] == ["feed.leases_not_read", "feed.leases_read_again"]


def test_what_redis_loses_unnoticed_is_wanted_until_its_consumer_must_have_asked_again(redis_url: str) -> None:
    """Emptied, and nobody was cut off: a lease lasts on for its whole time from then, on new terms once they are asked for.

    Only who gives back ends it at once, though Redis knew nothing of the lease any more.
    """

    async def play() -> None:
        async with desks(redis_url, grace_s=0.1) as (bus, (desk,)):
            await ask(bus, "a", ttl_s=60)
            await ask(bus, "b", "MSFT", ttl_s=60)
            await ask(bus, "gone", "SPY", ttl_s=2)
            await desk.wants(("AAPL", 5), ("MSFT", 5), ("SPY", 5))
            changes = len(desk.changes)
            emptied_at = await _server_ms(bus)
            await raw(bus).flushdb()
            await desk.leases.look()
            await desk.leases.look()
            assert desk.wanted() == [("AAPL", 5), ("MSFT", 5), ("SPY", 5)]
            assert len(desk.changes) == changes
            await desk.wants(("AAPL", 5), ("MSFT", 5))
            assert await _server_ms(bus) >= emptied_at + 2_000
            await give_back(bus, "b", "MSFT")
            await desk.wants(("AAPL", 5))
            await ask(bus, "a", priority=1, ttl_s=60)
            await desk.wants(("AAPL", 1))

    run(play())


def test_a_lease_outlives_a_replica_that_has_not_heard_of_its_renewal(redis_url: str) -> None:
    """Redis comes back with an earlier version and the lease as it was then, by which its time is over: it stays wanted."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)):
            written = await ask(bus, "a", ttl_s=1)
            await desk.wants(("AAPL", 5))
            earlier = await bus.hash(FEED_LEASES_KEY), await bus.get(FEED_LEASES_VERSION_KEY)
            await ask(bus, "a", ttl_s=60)
            await all_handled(bus)
            over_at = int(written.partition("-")[0]) + 1_000
            await eventually(lambda: _is_past(bus, over_at), what="the end of what was asked first")
            await desk.leases.look()
            await ask(bus, "b", "MSFT")
            await desk.wants(("AAPL", 5), ("MSFT", 5))
            await bus.delete(FEED_LEASES_KEY)
            await bus.set_fields(FEED_LEASES_KEY, {name.decode(): lease for name, lease in earlier[0].items()})
            await bus.put(FEED_LEASES_VERSION_KEY, earlier[1] or b"")
            await desk.leases.look()
            await desk.leases.look()
            assert await bus.hash(FEED_LEASES_KEY) == {}
            assert desk.wanted() == [("AAPL", 5), ("MSFT", 5)]

    run(play())


async def _is_past(bus: Bus, ms: int) -> bool:
    return await _server_ms(bus) > ms


def test_a_process_that_only_watches_sees_what_others_handle(redis_url: str) -> None:
    """Within its interval, although nothing tells it."""

    async def play() -> None:
        async with desks(redis_url) as (bus, _), Desk(bus, "watcher").running(handles=False) as watcher:
            await ask(bus)
            await watcher.wants(("AAPL", 5))
            await give_back(bus)
            await watcher.wants()

    run(play())


def test_the_sdk_holds_a_lease_and_gives_it_back(redis_url: str) -> None:
    """Entering takes it, it outlives its time by renewals, and leaving ends it at once."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)), Client(redis_url, settings=Settings()) as client:
            async with client.lease(["AAPL", MSFT], priority=3, ttl_s=1.5) as lease:
                await desk.wants(("AAPL", 3), ("MSFT", 3))
                since = [want.since_ms for want in desk.leases.wants(DataKind.QUOTES)]
                until = await _server_ms(bus) + 2_500
                while await _server_ms(bus) < until:
                    await desk.leases.look()
                    assert desk.wanted() == [("AAPL", 3), ("MSFT", 3)]
                assert [want.since_ms for want in desk.leases.wants(DataKind.QUOTES)] == since
                assert lease.failure is None
            await desk.wants()

    run(play())


def test_a_consumer_that_is_killed_holds_nothing_after_its_time(redis_url: str) -> None:
    """It gave nothing back; its lease ends by itself, and that of another consumer does not."""

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)):
            await ask(bus, "other", "MSFT")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _HOLDER, redis_url, stdout=asyncio.subprocess.PIPE
            )
            try:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"held\n"
                await desk.wants(("MSFT", 5), ("AAPL", 5))
            finally:
                process.kill()
                await process.wait()
            await desk.wants(("MSFT", 5))

    run(play())


def _with_interrupts() -> None:
    """Ctrl-C counts, though the tests themselves may run in the background of a shell, where it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@asynccontextmanager
async def command(url: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`ibstream` as a person runs it, for as long as the context lasts."""
    environment = {**os.environ, "SA_REDIS__URL": url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ibstream.cli", *words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_with_interrupts,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_a_person_leases_from_the_command_line(redis_url: str) -> None:
    """`ibstream subscribe` tells what becomes of it on standard error, shows the quotes, and gives the lease back."""
    words = ("EUR.USD", "es 202612 @cme", "--priority", "1", "--ttl", "30", "--json", "--count", "1")

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)), command(redis_url, "subscribe", *words) as process:
            await eventually(lambda: len(desk.wanted()) == 2, within_s=30, what="the leases")
            assert sorted(desk.wanted()) == [("ES 202612", 1), ("EUR.USD", 1)]
            told = SubscriptionChanged(
                symbol="EUR.USD", outcome=SubscriptionOutcome.NO_PERMISSION, text="no", code=354, at=SYSTEM_CLOCK.now()
            )
            await Publisher(bus).publish(FEED_EVENTS, told)
            assert process.stderr is not None
            assert b"asked for quotes of EUR.USD, ES 202612" in await process.stderr.readline()
            assert await process.stderr.readline() == b"EUR.USD: no permission: no [354]\n"
            shard = shard_of("ES 202612", Settings().feed.shards)
            row = Quote("ES 202612", 6650.25, 6650.5, time_ns=SYSTEM_CLOCK.time_ns())
            batch = QuoteBatch(shard=shard, epoch=1, seq=1, published_at=row.time_ns, rows=[row])
            await Publisher(bus).publish(QUOTES.named(shard), batch)
            assert process.stdout is not None
            shown = msgspec.json.decode(await process.stdout.readline())
            assert (shown["symbol"], shown["bid"]) == ("ES 202612", 6650.25)
            assert await process.wait() == 0
            await desk.wants()

    run(play())


def test_a_person_interrupts_a_lease(redis_url: str) -> None:
    """Ctrl-C: the lease is given back, not left to run out; ticks are shown as entries."""
    words = ("AAPL", "--data", "ticks", "--ttl", "86400")

    async def play() -> None:
        async with desks(redis_url) as (bus, (desk,)), command(redis_url, "subscribe", *words) as process:
            await eventually(lambda: desk.wanted(DataKind.TICKS) == [("AAPL", 5)], within_s=30, what="the lease")
            assert process.stdout is not None
            reading = asyncio.create_task(process.stdout.readline())
            batch = TickBatch(symbol="AAPL", epoch=1, seq=1, published_at=1, trades=[TradeTick(1, 2.5, 3.0)])
            for _ in range(3):  # the first may come before the command listens
                await Publisher(bus).publish(TICKS.named("AAPL"), batch)
                await asyncio.wait({reading}, timeout=2)
            assert msgspec.json.decode(reading.result()) == msgspec.json.decode(encode(batch))
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            await eventually(lambda: not desk.wanted(DataKind.TICKS), what="the lease to be given back")

    run(play())


def test_a_mistake_on_the_command_line_is_told(redis_url: str) -> None:
    """In one line, and nothing is asked for."""

    async def play() -> None:
        async with command(redis_url, "subscribe", "ES 202612") as process:
            _, err = await process.communicate()
            assert process.returncode == 1
            assert err == b"ibstream: a future needs its exchange: ES 202612 @CME\n"

    run(play())


_HOLDER = """
import asyncio, sys
from ibstream.client import Client
from ibstream.runtime.settings import Settings

async def main():
    async with Client(sys.argv[1], settings=Settings()) as client, client.lease("AAPL", ttl_s=2):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
