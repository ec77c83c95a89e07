"""`Lease`: one holder at a time, a token that grows, and a holder that knows by its own clock when it must let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from bus_helpers import raw
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusUnavailable, Lease, LeaseLost
from ibstream.bus.lease import COUNTER_KEY, TTL_S
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock, SystemClock

NAME = "lease:client-id:127.0.0.1:4002:1"
SHORT_S = 0.8
"""Short enough to wait for, long enough for a busy machine to renew within."""

Servers = Callable[[], KillableServer]


def lease(bus: Bus, holder: str, *, ttl_s: float = SHORT_S) -> Lease:
    """A lease that lasts `ttl_s` and is renewed four times in that."""
    return Lease(bus, NAME, holder=holder, clock=SYSTEM_CLOCK, ttl_s=ttl_s, renew_interval_s=ttl_s / 4)


async def taken(one: Lease) -> Lease:
    """The lease, once it was free and is held."""
    await eventually(one.try_acquire, what=f"{one.name} to be free")
    return one


def test_one_holder_at_a_time(redis_url: str) -> None:
    """Twenty ask at once, one gets it; a second lease of the same holder is another one."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            crowd = [lease(bus, f"h{number}", ttl_s=30) for number in range(20)]
            assert sum(await asyncio.gather(*(one.try_acquire() for one in crowd))) == 1
            assert [one.held for one in crowd].count(True) == 1
            winner = next(one for one in crowd if one.held)
            assert winner.token > 0
            assert not await lease(bus, winner.name).try_acquire()

    run(scenario())


def test_the_token_grows_with_every_hand_over(redis_url: str) -> None:
    """By release or by running out; so a holder that wakes up late is known by its smaller token."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            tokens = []
            for turn in range(3):
                one = await taken(lease(bus, f"h{turn}"))
                tokens.append(one.token)
                await one.release()
                assert (one.token, one.held) == (0, False)
            silent = await taken(lease(bus, "silent"))
            successor = await taken(lease(bus, "successor"))
            tokens += [silent.token, successor.token]
            assert all(before < after for before, after in pairwise(tokens))
            assert not silent.held
            assert successor.held

    run(scenario())


@pytest.mark.parametrize("left", [None, "7"])
def test_the_token_grows_although_the_server_lost_what_it_had(redis_url: str, left: str | None) -> None:
    """Its file was gone, or older: who held the lease before may live on, and must not seem to be the newer one."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put(COUNTER_KEY, b"100")
            before = await taken(lease(bus, "before", ttl_s=30))
            await bus.delete(NAME, COUNTER_KEY)
            if left is not None:
                await bus.put(COUNTER_KEY, left.encode())
            after = await taken(lease(bus, "after", ttl_s=30))
            assert after.token > before.token
            assert await bus.get(NAME) == f"after|{after.token}".encode()

    run(scenario())


def test_the_token_grows_although_the_servers_clock_went_back(redis_url: str) -> None:
    """The counter is then ahead of the time, and goes on counting."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            ahead = 8 * 10**15  # microseconds: in two centuries
            await bus.put(COUNTER_KEY, str(ahead).encode())
            assert (await taken(lease(bus, "a"))).token == ahead + 1

    run(scenario())


def test_what_is_let_go_is_free_at_once(redis_url: str) -> None:
    """A standby that is refused while the lease is held gets it the next time it asks after the release."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            holder, standby = await taken(lease(bus, "a", ttl_s=30)), lease(bus, "b", ttl_s=30)
            assert not await standby.try_acquire()
            assert not standby.held
            await holder.release()
            assert await standby.try_acquire()
            assert standby.held

    run(scenario())


async def _asked(bus: Bus, times: int) -> bool:
    statistics = await raw(bus).info("commandstats")
    asked = (statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("eval", "evalsha"))
    return sum(map(int, asked)) >= times


def test_it_is_kept_as_long_as_it_is_renewed(redis_url: str) -> None:
    """Well past its TTL, without a moment in which it is not held or another could get it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            one = await taken(lease(bus, "a"))
            keeping = asyncio.create_task(one.keep())
            until = SYSTEM_CLOCK.monotonic() + 3 * SHORT_S
            while SYSTEM_CLOCK.monotonic() < until:
                assert one.held
                assert not await lease(bus, "b").try_acquire()
                await SYSTEM_CLOCK.sleep(0.01)
            assert not keeping.done()
            keeping.cancel()

    run(scenario())


@pytest.mark.parametrize("how", ["deleted", "stolen", "same holder, next token"])
def test_a_lease_that_is_no_longer_ours_is_lost_with_the_next_renewal(redis_url: str, how: str) -> None:
    """Somebody deleted it, or it belongs to another, even of the same name; and giving it back leaves theirs alone."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            one = await taken(lease(bus, "a", ttl_s=2))
            keeping = asyncio.create_task(one.keep())
            theirs = {"deleted": None, "stolen": b"b|7", "same holder, next token": b"a|2"}[how]
            await (bus.put(NAME, theirs) if theirs else bus.delete(NAME))
            with pytest.raises(LeaseLost, match=NAME):
                async with asyncio.timeout(1.5):
                    await keeping
            assert (one.token, one.held) == (0, False)
            await one.release()
            assert await bus.get(NAME) == theirs

    run(scenario())


def test_release_gives_back_only_ones_own(redis_url: str) -> None:
    """A holder that slept through its TTL does not take the lease from its successor when it wakes."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            late = await taken(lease(bus, "late"))
            successor = await taken(lease(bus, "successor", ttl_s=30))
            assert 0 < late.token < successor.token
            await late.release()
            assert not await lease(bus, "third").try_acquire()
            assert successor.held

    run(scenario())


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_without_the_server_it_is_lost_within_its_ttl_by_our_own_clock(private_server: Servers, how: str) -> None:
    """Whatever the server would say: no later than `ttl_s` after the last renewal that worked was sent."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            one = await taken(lease(bus, "a"))
            keeping = asyncio.create_task(one.keep())
            await eventually(lambda: _asked(bus, 3), what="two renewals")
            if how == "killed":
                await server.kill()
                gone = SYSTEM_CLOCK.monotonic()
                with pytest.raises(LeaseLost):
                    await keeping
            else:
                gone = SYSTEM_CLOCK.monotonic()
                async with server.frozen():
                    with pytest.raises(LeaseLost):
                        await keeping
            assert SYSTEM_CLOCK.monotonic() - gone < SHORT_S + 0.3
            assert (one.token, one.held) == (0, False)

    run(scenario())


def test_it_is_lost_at_the_moment_its_ttl_ends(private_server: Servers) -> None:
    """Not with the first renewal that is due after it: another may hold it from then on."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
            one = await taken(Lease(bus, NAME, holder="a", clock=clock, ttl_s=4, renew_interval_s=3))
            keeping = asyncio.create_task(one.keep())
            await eventually(lambda: clock.sleeps == [3.0], what="the wait for the first renewal")
            await server.kill()
            clock.advance(3)
            await eventually(lambda: clock.sleeps == [3.0, 1.0], what="the wait for what is left")
            held = [one.held]
            for seconds in (0.999, 0.001):
                clock.advance(seconds)
                held.append(one.held)
            assert held == [True, True, False]
            with pytest.raises(LeaseLost):
                await keeping

    run(scenario())


def test_a_machine_that_slept_holds_nothing_that_ran_out_meanwhile(redis_url: str) -> None:
    """The monotonic clock stood still; the time of day went on, and another may hold it by now."""

    class SleptClock(SystemClock):
        slept_ns = 0

        def time_ns(self) -> int:
            return super().time_ns() + self.slept_ns

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            clock = SleptClock()
            one = await taken(Lease(bus, NAME, holder="a", clock=clock, ttl_s=60))
            held = []
            for slept_s in (59, 61):
                clock.slept_ns = slept_s * 10**9
                held.append(one.held)
            assert held == [True, False]
            with pytest.raises(LeaseLost):
                await one.keep()

    run(scenario())


def test_a_short_outage_is_survived(private_server: Servers) -> None:
    """A server that is killed and started again within the TTL costs nobody the lease."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            one = await taken(lease(bus, "a", ttl_s=TTL_S))
            token = one.token
            keeping = asyncio.create_task(one.keep())
            await eventually(lambda: _asked(bus, 2), what="a renewal")
            await server.kill()
            with pytest.raises(BusUnavailable):
                await bus.ping()
            await server.start()
            await eventually(lambda: _asked(bus, 2), what="renewals at the new server")
            assert one.held
            assert one.token == token
            assert not await lease(bus, "b").try_acquire()
            assert not keeping.done()
            keeping.cancel()

    run(scenario())


def test_an_answer_that_comes_too_late_is_no_lease(private_server: Servers) -> None:
    """The server granted it, but the time it lasts had passed by our clock before we heard of it."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            await bus.ping()
            one = lease(bus, "a", ttl_s=0.2)
            async with server.frozen():
                asking = asyncio.create_task(one.try_acquire())
                await SYSTEM_CLOCK.sleep(0.5)  # not for a state: the 0.2 seconds that pass are the test
            assert not await asking
            assert not one.held

    run(scenario())


def test_asking_while_the_server_is_away_says_so(private_server: Servers) -> None:
    """Nobody believes that he holds what he could not ask for."""

    async def scenario() -> None:
        async with private_server() as server:
            url = server.url
        async with Bus(url, client_name="test") as bus:
            one = lease(bus, "a")
            with pytest.raises(BusUnavailable):
                await one.try_acquire()
            assert not one.held

    run(scenario())


def test_keeping_what_was_never_had_is_a_loss_at_once(redis_url: str) -> None:
    """There is no way to hold it without having acquired it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            with pytest.raises(LeaseLost):
                await lease(bus, "a").keep()

    run(scenario())
