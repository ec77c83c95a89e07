"""Leases in a real Redis: what each request leaves behind, in whatever order and however often it is handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bus_helpers import raw
from hypothesis import given, settings
from hypothesis import strategies as st
from support import eventually, run

from ibstream.bus import Bus
from ibstream.contracts.feed import DataKind, Subscribe, Unsubscribe
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.registry import FEED_LEASES_KEY, FEED_LEASES_VERSION_KEY, ended_lease_key
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.adapters.lease_store import ENDED_KEPT_S, SETTLE_MAX, LeaseStore, Taken
from ibstream_feed.domain.leases import Lease

AAPL = Instrument(symbol="AAPL")


def subscribe(consumer: str = "a", instrument: Instrument = AAPL, **said: Any) -> Subscribe:
    """A request for quotes for 60 s."""
    return Subscribe(consumer=consumer, instrument=instrument, requested_at=SYSTEM_CLOCK.now(), **said)


def unsubscribe(consumer: str = "a", instrument: Instrument = AAPL, **said: Any) -> Unsubscribe:
    """Its end."""
    return Unsubscribe(consumer=consumer, instrument=instrument, requested_at=SYSTEM_CLOCK.now(), **said)


@asynccontextmanager
async def store_at(url: str, **settings: Any) -> AsyncIterator[tuple[Bus, LeaseStore, int]]:
    """A store, its bus, and the server's time in ms."""
    async with Bus(url, client_name="test") as bus:
        seconds, microseconds = await raw(bus).time()
        yield bus, LeaseStore(bus, **settings), seconds * 1000 + microseconds // 1000


async def leases_of(store: LeaseStore) -> list[Lease]:
    """All of them."""
    leases = (await store.read(None)).leases
    assert leases is not None
    return leases


async def version_of(store: LeaseStore) -> str:
    return (await store.read(None)).version


def test_a_lease_is_written_as_documented(redis_url: str) -> None:
    """Field `<data>|<symbol>|<consumer>`; its time counts from the id of the entry, not from when it was handled."""

    async def play() -> None:
        async with store_at(redis_url) as (bus, store, now):
            pair = Instrument(symbol="EUR", security_type="CASH", exchange="IDEALPRO")
            asked = subscribe("desk:1", pair, priority=2, ttl_s=30.5, data=DataKind.BARS)
            assert await store.take(asked, f"{now - 20_000}-3") is Taken.CHANGED
            assert set(await bus.hash(FEED_LEASES_KEY)) == {b"bars|EUR.USD|desk:1"}
            assert await leases_of(store) == [
                Lease(
                    since_ms=now - 20_000,
                    expires_ms=now + 10_500,
                    request_id=f"{now - 20_000}-3",
                    consumer="desk:1",
                    instrument=pair,
                    data=DataKind.BARS,
                    priority=2,
                )
            ]

    run(play())


def test_a_renewal_lengthens_and_does_not_count_as_a_change(redis_url: str) -> None:
    """The same terms again: it lasts longer, is as old as it was, and the version stands."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            assert await store.take(subscribe(), f"{now - 40_000}-0") is Taken.CHANGED
            version = await version_of(store)
            assert await store.take(subscribe(), f"{now}-0") is Taken.RENEWED
            (lease,) = await leases_of(store)
            assert (lease.since_ms, lease.expires_ms) == (now - 40_000, now + 60_000)
            read = await store.read(version)
            assert (read.version, read.leases) == (version, None)
            assert now <= read.now_ms < now + 60_000

    run(play())


@pytest.mark.parametrize(
    "change", [{"priority": 1}, {"instrument": Instrument(symbol="AAPL", primary_exchange="NASDAQ")}]
)
def test_other_terms_are_a_change(redis_url: str, change: dict[str, Any]) -> None:
    """A better priority, or an instrument that says more: every process has to read it, but the lease is as old as it was."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            await store.take(subscribe(), f"{now - 5_000}-0")
            version = await version_of(store)
            assert await store.take(subscribe(**change), f"{now}-0") is Taken.CHANGED
            read = await store.read(version)
            assert read.version != version
            assert read.leases is not None
            assert [lease.since_ms for lease in read.leases] == [now - 5_000]

    run(play())


def test_a_lease_taken_again_after_its_end_is_a_new_one(redis_url: str) -> None:
    """Also where nobody has cleared the old one away yet: it is as young as the request, and counts as a change."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            await store.take(subscribe(ttl_s=1), f"{now - 900}-0")
            await eventually(lambda: _server_is_past(store, now + 101), what="its end")
            later = (await store.read(None)).now_ms
            assert await store.take(subscribe(), f"{later}-0") is Taken.CHANGED
            (lease,) = await leases_of(store)
            assert lease.since_ms == later

    run(play())


async def _server_is_past(store: LeaseStore, ms: int) -> bool:
    return (await store.read(None)).now_ms > ms


def test_a_request_whose_time_is_over_is_passed_over(redis_url: str) -> None:
    """The feed was away longer than the lease would have lasted: nothing is written."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            assert await store.take(subscribe(ttl_s=30), f"{now - 30_000}-0") is Taken.OVER
            assert await leases_of(store) == []
            assert await version_of(store) == ""

    run(play())


def test_giving_back_ends_a_lease_and_no_other(redis_url: str) -> None:
    """Not another consumer's, not one on other data, not one on another symbol."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            for number, asked in enumerate(
                [
                    subscribe(),
                    subscribe("b"),
                    subscribe(data=DataKind.TICKS),
                    subscribe(instrument=Instrument(symbol="A")),
                ]
            ):
                await store.take(asked, f"{now}-{number}")
            version = await version_of(store)
            assert await store.give_back(unsubscribe(), f"{now}-9")
            assert sorted((lease.symbol, lease.data, lease.consumer) for lease in await leases_of(store)) == [
                ("A", "quotes", "a"),
                ("AAPL", "quotes", "b"),
                ("AAPL", "ticks", "a"),
            ]
            assert await version_of(store) != version
            assert not await store.give_back(unsubscribe(), f"{now}-10")

    run(play())


def test_older_requests_undo_nothing(redis_url: str) -> None:
    """Handled again after a crash: neither an older giving back ends a lease, nor an older request revives or shortens one."""

    async def play() -> None:
        async with store_at(redis_url) as (bus, store, now):
            await store.take(subscribe(), f"{now}-5")
            assert not await store.give_back(unsubscribe(), f"{now}-4")
            assert not await store.give_back(unsubscribe(), f"{now - 1}-9")
            assert await store.take(subscribe(ttl_s=5), f"{now}-4") is Taken.OUTDATED
            assert await store.take(subscribe(ttl_s=5), f"{now}-5") is Taken.OUTDATED
            assert [lease.expires_ms for lease in await leases_of(store)] == [now + 60_000]
            assert await store.give_back(unsubscribe(), f"{now}-10")
            assert await store.take(subscribe(), f"{now}-9") is Taken.OUTDATED
            assert await store.take(subscribe(), f"{now}-5") is Taken.OUTDATED
            assert await leases_of(store) == []
            assert 0 < await raw(bus).ttl(ended_lease_key("quotes|AAPL|a")) <= ENDED_KEPT_S
            assert await store.take(subscribe(), f"{now}-11") is Taken.CHANGED

    run(play())


def test_a_giving_back_that_overtakes_its_lease_wins(redis_url: str) -> None:
    """One process died over the request, another has handled the giving back already; then the request is handled again."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            assert not await store.give_back(unsubscribe(), f"{now}-1")
            assert await store.take(subscribe(), f"{now}-0") is Taken.OUTDATED
            assert not await store.give_back(unsubscribe(), f"{now - 5}-0")  # an older one does not bring it forward
            assert await store.take(subscribe(), f"{now}-0") is Taken.OUTDATED
            assert await leases_of(store) == []

    run(play())


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.booleans(), min_size=1, max_size=6),
    order=st.lists(st.integers(0, 5), max_size=12),
)
def test_whatever_is_handled_again_the_last_word_stands(redis_server: str, kinds: list[bool], order: list[int]) -> None:
    """Requests handled in any order and any number of times, each at least once: as if the newest alone had been."""

    async def play() -> None:
        async with store_at(redis_server) as (bus, store, now):
            await raw(bus).flushall()
            numbers = [number for number in order if number < len(kinds)]
            for number in [*numbers, *range(len(kinds) - 1, -1, -1)]:
                request_id = f"{now}-{number}"
                if kinds[number]:
                    await store.take(subscribe(priority=number + 1), request_id)
                else:
                    await store.give_back(unsubscribe(), request_id)
            expected = [(f"{now}-{len(kinds) - 1}", len(kinds))] if kinds[-1] else []
            assert [(lease.request_id, lease.priority) for lease in await leases_of(store)] == expected

    run(play())


def test_there_is_an_end_to_leases(redis_url: str) -> None:
    """Beyond the limit a new one is refused; renewals, and what has room again, are not."""

    async def play() -> None:
        async with store_at(redis_url, leases_max=2) as (_, store, now):
            assert await store.take(subscribe("a"), f"{now}-0") is Taken.CHANGED
            assert await store.take(subscribe("b"), f"{now}-1") is Taken.CHANGED
            assert await store.take(subscribe("c"), f"{now}-2") is Taken.FULL
            assert await store.take(subscribe("b"), f"{now}-3") is Taken.RENEWED
            assert len(await leases_of(store)) == 2
            await store.give_back(unsubscribe("a"), f"{now}-4")
            assert await store.take(subscribe("c"), f"{now}-5") is Taken.CHANGED

    run(play())


def test_settling_ends_what_is_over_by_the_servers_clock_and_returns_what_was_renewed(redis_url: str) -> None:
    """A process that still knows the old times asks; only what is over by Redis' clock, as it stands now, ends."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            for consumer in ("over", "renewed", "given-back"):
                await store.take(subscribe(consumer, ttl_s=1), f"{now - 900}-0")
            known = await leases_of(store)
            await store.take(subscribe("renewed"), f"{now}-0")
            await store.give_back(unsubscribe("given-back"), f"{now}-0")
            await eventually(lambda: _server_is_past(store, now + 101), what="their end")
            version = await version_of(store)
            (left,) = await store.settle(known)
            assert (left.consumer, left.expires_ms) == ("renewed", now + 60_000)
            assert await leases_of(store) == [left]
            assert await version_of(store) != version
            version = await version_of(store)
            assert await store.settle([left]) == [left]
            assert await version_of(store) == version

    run(play())


def test_many_end_at_once(redis_url: str) -> None:
    """More than one script looks at."""

    async def play() -> None:
        async with store_at(redis_url) as (_, store, now):
            count = 2 * SETTLE_MAX + 1
            await asyncio.gather(
                *(store.take(subscribe(f"c{number}", ttl_s=5), f"{now}-{number}") for number in range(count))
            )
            known = await leases_of(store)
            assert len(known) == count
            assert len(await store.settle(known)) == count
            await eventually(lambda: _server_is_past(store, now + 5_000), what="their end")
            assert await store.settle(known) == []
            assert await leases_of(store) == []

    run(play())


def test_the_version_differs_from_any_that_was_known_before_data_was_lost(redis_url: str) -> None:
    """As many changes as before the loss do not look as if nothing had changed."""

    async def play() -> None:
        async with store_at(redis_url) as (bus, store, now):
            await store.take(subscribe(), f"{now}-0")
            version = await version_of(store)
            await raw(bus).flushall()
            await eventually(lambda: _server_is_past(store, int(version)), what="the next millisecond")
            await store.take(subscribe("b"), f"{now}-1")
            read = await store.read(version)
            assert read.leases is not None
            assert [lease.consumer for lease in read.leases] == ["b"]
            assert int(read.version) > int(version)

    run(play())


@pytest.mark.parametrize("garbage", [b"{", b"[]", b"{}", b'"x"', b"\xff", b'{"request_id":"1-0"}'])
def test_what_is_no_lease_counts_as_none(redis_url: str, garbage: bytes) -> None:
    """It is left out, does no harm to any step, and makes way for the lease whose name it bears."""

    async def play() -> None:
        async with store_at(redis_url) as (bus, store, now):
            await bus.set_fields(FEED_LEASES_KEY, {"quotes|AAPL|a": garbage, "?": garbage})
            await bus.put(FEED_LEASES_VERSION_KEY, b"1")
            assert await leases_of(store) == []
            assert not await store.give_back(unsubscribe(), f"{now}-0")
            assert await store.take(subscribe(), f"{now}-1") is Taken.CHANGED
            (lease,) = await leases_of(store)
            await bus.set_fields(FEED_LEASES_KEY, {"quotes|AAPL|a": garbage})
            assert await store.settle([lease]) == []

    run(play())
