"""Leases as a consumer holds them: asked for, renewed, given back; what became of them; and nothing fails silently."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from redis_for_tests import KillableServer
from support import eventually, free_port, log_of, run

import ibstream.client.leases
from ibstream.bus import Bus, BusUnavailable, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.client import Client, InvalidRequestError, NoAnswerError, index
from ibstream.client.instruments import instrument_of
from ibstream.contracts.base import Message
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome, Unsubscribe
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.quotes import Quote, QuoteBatch, shard_of
from ibstream.contracts.registry import FEED_EVENTS, FEED_REQUESTS, QUOTES
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock, SystemClock
from ibstream.runtime.settings import Settings

AT = datetime.fromisoformat("2026-11-27T14:30:00+00:00")
FAST_S = 0.3


@asynccontextmanager
async def client_at(url: str, **said: Any) -> AsyncIterator[tuple[Bus, Client]]:
    """A client, and a bus to look and answer with."""
    async with Bus(url, client_name="test") as bus, Client(url, settings=Settings(), **said) as client:
        yield bus, client


async def requests(bus: Bus) -> list[Message]:
    """All that was asked of the feed."""
    async with StreamReader(bus, {FEED_REQUESTS: BEGINNING}) as reader:
        return [entry.message for entry in await reader.read(block_s=0)]


async def asked(bus: Bus, kind: type[Message]) -> int:
    """How often."""
    return sum(isinstance(request, kind) for request in await requests(bus))


async def tell(
    bus: Bus, symbol: str, outcome: SubscriptionOutcome, data: DataKind = DataKind.QUOTES
) -> SubscriptionChanged:
    """Say what became of a subscription, as the feed does."""
    event = SubscriptionChanged(symbol=symbol, outcome=outcome, data=data, at=AT)
    await Publisher(bus).publish(FEED_EVENTS, event)
    return event


def test_entering_asks_and_leaving_gives_back(redis_url: str) -> None:
    """For each instrument once, in one name, with the terms that were given; nothing is asked before it is entered."""

    async def play() -> None:
        async with client_at(redis_url, strategy="momentum", clock=ManualClock(AT)) as (bus, client):
            lease = client.lease(["AAPL", "EUR.USD", "AAPL"], data="ticks", priority=2, ttl_s=30)
            assert await requests(bus) == []
            assert lease.symbols == ("AAPL", "EUR.USD")
            async with lease:
                taken = await requests(bus)
            given_back = (await requests(bus))[len(taken) :]
            said: dict[str, Any] = {"consumer": lease.consumer, "data": DataKind.TICKS, "requested_at": AT}
            instruments = [instrument_of("AAPL"), instrument_of("EUR.USD")]
            assert taken == [Subscribe(instrument=one, ttl_s=30.0, priority=2, **said) for one in instruments]
            assert given_back == [Unsubscribe(instrument=one, **said) for one in instruments]
            assert re.fullmatch(r"momentum:[0-9a-f]{8}", lease.consumer)
            assert client.lease("AAPL").consumer != lease.consumer
            assert client.lease("AAPL", consumer="desk:1").consumer == "desk:1"

    run(play())


@pytest.mark.parametrize(
    ("instruments", "said", "told"),
    [
        ([], {}, "one instrument at least"),
        ("BRK B", {}, "names no instrument"),
        ("AAPL", {"priority": 0}, "priority"),
        ("AAPL", {"ttl_s": 0}, "ttl_s"),
        ("AAPL", {"ttl_s": 86_401}, "ttl_s"),
        ("AAPL", {"consumer": "a b"}, "consumer"),
        ("AAPL", {"data": "news"}, "quotes, ticks, bars, depth"),
    ],
)
def test_what_the_feed_could_not_read_is_not_asked(
    redis_url: str, instruments: Any, said: dict[str, Any], told: str
) -> None:
    """The mistake is told to whoever made it, before anything is written."""

    async def play() -> None:
        async with client_at(redis_url) as (bus, client):
            with pytest.raises(InvalidRequestError, match=told):
                client.lease(instruments, **said)
            assert await requests(bus) == []

    run(play())


def test_it_is_renewed_three_times_in_its_time(redis_url: str) -> None:
    """A third of the time passes, and the same is asked again; and again."""
    clock = ManualClock(AT)

    async def play() -> None:
        async with client_at(redis_url, clock=clock) as (bus, client), client.lease(["AAPL", "SPY"], ttl_s=60):
            for renewals in (1, 2, 3):
                await eventually(lambda: clock.sleeps == [20.0] * renewals, what="it to wait")  # noqa: B023
                assert await asked(bus, Subscribe) == 2 * renewals
                clock.advance(20)
            await eventually(lambda: len(clock.sleeps) == 4, what="the last renewal")
            assert await asked(bus, Subscribe) == 8

    run(play())


def test_what_became_of_it(redis_url: str) -> None:
    """`outcome` waits for the first word on its symbol and kind and hands out the latest; iterating yields every one."""

    async def play() -> None:
        async with client_at(redis_url) as (bus, client):
            await tell(bus, "AAPL", SubscriptionOutcome.REFUSED)  # before entering
            async with client.lease(["AAPL", instrument_of("EUR.USD")]) as lease:
                waiting = asyncio.create_task(lease.outcome("AAPL"))
                await tell(bus, "MSFT", SubscriptionOutcome.ACTIVE)
                await tell(bus, "AAPL", SubscriptionOutcome.REFUSED, DataKind.TICKS)
                first = await tell(bus, "AAPL", SubscriptionOutcome.OVER_CAPACITY)
                assert await waiting == first
                second = await tell(bus, "EUR.USD", SubscriptionOutcome.ACTIVE)
                assert await lease.outcome(instrument_of("EUR.USD")) == second
                third = await tell(bus, "AAPL", SubscriptionOutcome.DELAYED)
                assert [await anext(lease) for _ in range(3)] == [first, second, third]
                assert await lease.outcome("AAPL", within_s=0.01) == third
                assert lease.latest == {"AAPL": third, "EUR.USD": second}

    run(play())


def test_the_end_of_an_earlier_lease_is_no_outcome(redis_url: str) -> None:
    """Given back and taken again at once: the feed tells of the end first, and then of the new one."""

    async def play() -> None:
        async with client_at(redis_url) as (bus, client), client.lease("AAPL") as lease:
            ended = await tell(bus, "AAPL", SubscriptionOutcome.ENDED)
            waiting = asyncio.create_task(lease.outcome("AAPL"))
            await eventually(lambda: lease.latest.get("AAPL") == ended, what="the end to be read")
            active = await tell(bus, "AAPL", SubscriptionOutcome.ACTIVE)
            assert await waiting == active

    run(play())


def test_no_outcome_is_said(redis_url: str) -> None:
    """Without a feed nobody answers; and an outcome of what is not leased is never waited for."""

    async def play() -> None:
        async with client_at(redis_url) as (_, client), client.lease("AAPL", data="depth") as lease:
            with pytest.raises(NoAnswerError, match=r"AAPL \(depth\) within 0.05 s; is the feed running"):
                await lease.outcome("AAPL", within_s=0.05)
            with pytest.raises(InvalidRequestError, match="not on MSFT, but on AAPL"):
                await lease.outcome("MSFT")

    run(play())


def test_it_outlasts_redis_being_away_and_says_so(
    private_server: Callable[[], KillableServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewals fail: that is logged and can be asked. When Redis is back, with nothing in it even, they go on by themselves."""
    log = log_of(ibstream.client.leases, monkeypatch)

    async def play() -> None:
        async with private_server() as server, client_at(server.url) as (bus, client):
            async with client.lease("AAPL", ttl_s=FAST_S) as lease:
                await eventually(lambda: _asked_at_least(bus, 2), what="a renewal")
                await server.kill()
                await eventually(lambda: isinstance(lease.failure, BusUnavailable), what="the failure to be told")
                await server.start()
                await eventually(lambda: lease.failure is None, what="it to be renewed")
                before = await asked(bus, Subscribe)
                await eventually(lambda: _asked_at_least(bus, before + 2), what="renewals to go on")
            assert await asked(bus, Unsubscribe) == 1

    run(play())
    assert {entry["event"] for entry in log} == {"client.lease_not_renewed"}


def test_it_is_asked_for_anew_as_soon_as_redis_is_back(private_server: Callable[[], KillableServer]) -> None:
    """Whoever reads what became of it is cut off, and asks without waiting for the next renewal, which is far off."""
    clock = _Hasty()

    async def play() -> None:
        async with private_server() as server, client_at(server.url, clock=clock) as (bus, client):
            async with client.lease("AAPL", ttl_s=60) as lease:
                reading = asyncio.create_task(anext(lease))
                await server.kill()
                await server.start()
                await eventually(lambda: _asked_at_least(bus, 2), what="it to be asked for anew")
                active = await tell(bus, "AAPL", SubscriptionOutcome.ACTIVE)
                assert await reading == active
            assert await asked(bus, Subscribe) == 2

    run(play())


class _Hasty(SystemClock):
    """Never comes to the end of a third of a minute."""

    async def sleep(self, delay_s: float) -> None:
        await (asyncio.Event().wait() if delay_s == 20.0 else SYSTEM_CLOCK.sleep(delay_s))


def test_a_lease_for_a_day_is_renewed_every_minute(redis_url: str) -> None:
    """The feed remembers what Redis lost for two minutes at most."""
    clock = ManualClock(AT)

    async def play() -> None:
        async with client_at(redis_url, clock=clock) as (bus, client), client.lease("AAPL", ttl_s=86_400):
            await eventually(lambda: clock.sleeps == [60.0], what="it to wait")
            clock.advance(60)
            await eventually(lambda: len(clock.sleeps) == 2, what="the renewal")
            assert await asked(bus, Subscribe) == 2

    run(play())


async def _asked_at_least(bus: Bus, count: int) -> bool:
    return await asked(bus, Subscribe) >= count


def test_leaving_without_redis_is_told_and_does_not_fail(
    private_server: Callable[[], KillableServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be given back: the lease ends by itself, and the log says when."""
    log = log_of(ibstream.client.leases, monkeypatch)

    async def play() -> None:
        async with private_server() as server, client_at(server.url) as (_, client):
            async with client.lease(["AAPL", "SPY"], ttl_s=45):
                await server.kill()
            await server.start()

    run(play())
    assert [(entry["event"], entry["ends_within_s"]) for entry in log] == [("client.lease_not_given_back", 45)]


def test_entering_without_redis_fails_at_once() -> None:
    """As every subscription: whoever begins wants to know."""

    async def play() -> None:
        async with Client(f"redis://127.0.0.1:{free_port()}/0", settings=Settings()) as client:
            with pytest.raises(BusUnavailable):
                async with client.lease("AAPL"):
                    pass

    run(play())


class _BrokenClock(SystemClock):
    """Fails whoever sleeps for a third of a lease."""

    async def sleep(self, delay_s: float) -> None:
        if delay_s == 1.0:
            raise RuntimeError("the clock is broken")
        await SYSTEM_CLOCK.sleep(delay_s)


def test_a_lease_that_is_renewed_no_more_does_not_look_sound(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ended the renewing: it is logged as an error, stands in `failure`, and is raised to whoever reads on."""
    log = log_of(ibstream.client.leases, monkeypatch)

    async def play() -> None:
        async with client_at(redis_url, clock=_BrokenClock()) as (bus, client), client.lease("AAPL", ttl_s=3) as lease:
            await eventually(lambda: isinstance(lease.failure, RuntimeError), what="the failure to be told")
            with pytest.raises(RuntimeError, match="the clock is broken"):
                await anext(lease)
            with pytest.raises(RuntimeError, match="the clock is broken"):
                await lease.outcome("AAPL")
        assert await asked(bus, Unsubscribe) == 1

    run(play())
    assert [(entry["event"], entry["log_level"]) for entry in log] == [("client.lease_renewed_no_more", "error")]


def test_closing_the_client_gives_back_what_nobody_left(redis_url: str) -> None:
    """And its renewing and its connection end with it."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            async with Client(redis_url, settings=Settings()) as client:
                lease = client.lease("AAPL", ttl_s=FAST_S)
                await lease.open()
                await lease.open()
                assert await asked(bus, Subscribe) == 1
            assert lease.closed
            assert await asked(bus, Unsubscribe) == 1
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("renew-")] == []
            listed = await bus.redis.client_list()
            assert [item["name"] for item in listed if item["name"].startswith("ibstream-client")] == []

    run(play())


def test_an_index_in_words_and_by_kind() -> None:
    """At the exchange that computes it, without which it is not found."""
    spx = Instrument(symbol="SPX", security_type="IND", exchange="CBOE")
    assert index("SPX", "CBOE") == instrument_of("SPX IND @CBOE") == spx
    assert quote_symbol(spx) == "SPX IND"
    assert index("DAX", "EUREX", currency="EUR").currency == "EUR"
    with pytest.raises(InvalidRequestError, match="SPX IND @CBOE"):
        instrument_of("SPX IND")
    with pytest.raises(InvalidRequestError, match="symbol"):
        index("spx", "CBOE")


def test_quotes_of_instruments(redis_url: str) -> None:
    """Whoever leased an instrument reads its quotes by it; symbols are taken as rows have them."""
    future = instrument_of("ES 202612 @CME")
    shards = Settings().feed.shards

    async def play() -> None:
        async with client_at(redis_url) as (bus, client):
            for symbol in ("ES 202612", "AAPL", "MSFT"):
                shard = shard_of(symbol, shards)
                row = Quote(symbol, 1.0, 2.0, time_ns=SYSTEM_CLOCK.time_ns())
                batch = QuoteBatch(shard=shard, epoch=1, seq=1, published_at=row.time_ns, rows=[row])
                await Publisher(bus).publish(QUOTES.named(shard), batch)
            async with client.quotes([future, "AAPL"]) as quotes:
                snapshot = await anext(quotes)
            assert sorted(row.symbol for row in snapshot.rows) == ["AAPL", "ES 202612"]  # type: ignore[union-attr]

    run(play())
