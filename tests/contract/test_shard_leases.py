"""Members and shard leases in a real Redis: one holder each, tokens that grow, one round trip for all there is to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from bus_helpers import raw
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusUnavailable, Lease
from ibstream.bus.lease import COUNTER_KEY
from ibstream.contracts.registry import FEED_MEMBERS_KEY, feed_member_key, shard_lease
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_feed.adapters.shard_leases import TTL_S, Member, ShardLeases

SHARDS = 4
ALL = range(SHARDS)
DEADLINE_S = 5.0

Servers = Callable[[], KillableServer]


def member(pid: int = 1) -> Member:
    return Member(gateway="127.0.0.1:4002", lines=100, pid=pid)


def leases(bus: Bus, name: str) -> ShardLeases:
    return ShardLeases(bus, name, member(), shards=SHARDS)


async def taken(one: ShardLeases, shards: range | list[int] = ALL) -> dict[int, int]:
    """The tokens of all these shards, as soon as the server gives any away."""
    tokens: dict[int, int] = await eventually(
        lambda: one.acquire(list(shards), deadline_s=DEADLINE_S), what="a shard that is free"
    )
    assert tokens.keys() == set(shards)
    return tokens


def test_one_round_trip_tells_who_lives_what_is_kept_and_what_is_free(redis_url: str) -> None:
    """For two members, one of which holds two of four shards; and members are told in their own words."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            a, b = leases(bus, "gw:4002/0"), ShardLeases(bus, "b", member(pid=2), shards=SHARDS)
            assert (await a.keep({}, deadline_s=DEADLINE_S)).free == set(ALL)
            tokens = await taken(a, [1, 3])
            await a.keep(tokens, deadline_s=DEADLINE_S)
            told = await b.keep({}, deadline_s=DEADLINE_S)
            assert told.members == {"gw:4002/0": member(), "b": member(pid=2)}
            assert (told.kept, told.free) == (frozenset(), {0, 2})
            assert (await a.keep(tokens, deadline_s=DEADLINE_S)).kept == {1, 3}

    run(scenario())


def test_twenty_ask_for_all_at_once_and_each_shard_has_one_holder(redis_url: str) -> None:
    """Every token is another, and what Redis holds is what the winner was told."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            crowd = [leases(bus, f"m{number}") for number in range(20)]
            await taken(leases(bus, "first"), [0])
            await raw(bus).delete(shard_lease(0))
            answers = await asyncio.gather(*(one.acquire(list(ALL), deadline_s=DEADLINE_S) for one in crowd))
            won = [(shard, number, token) for number, answer in enumerate(answers) for shard, token in answer.items()]
            assert sorted(shard for shard, _, _ in won) == list(ALL)
            assert len({token for _, _, token in won}) == SHARDS
            for shard, number, token in won:
                assert await bus.get(shard_lease(shard)) == f"m{number}|{token}".encode()

    run(scenario())


def test_tokens_grow_with_each_holder_and_with_those_of_other_leases(redis_url: str) -> None:
    """They are counted together with the slots', and are no less than the server's time where the counter was lost."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            a, b = leases(bus, "a"), leases(bus, "b")
            first = (await taken(a, [0]))[0]
            slot = Lease(bus, "lease:client-id:gw:4002:3", holder="x", clock=SYSTEM_CLOCK)
            assert await slot.try_acquire()
            await a.release(0, first, deadline_s=DEADLINE_S)
            second = (await b.acquire([0], deadline_s=DEADLINE_S))[0]
            await b.release(0, second, deadline_s=DEADLINE_S)
            await bus.delete(COUNTER_KEY)
            third = (await a.acquire([0], deadline_s=DEADLINE_S))[0]
            assert first < slot.token < second < third
            await bus.put(COUNTER_KEY, str(8 * 10**15).encode())  # the server's clock went back
            assert (await a.acquire([1], deadline_s=DEADLINE_S))[1] == 8 * 10**15 + 1

    run(scenario())


@pytest.mark.parametrize("left", [None, b"other|7", b"a|7"], ids=["deleted", "another's", "an older one of that name"])
def test_only_a_lease_with_our_name_and_token_is_kept_or_released(redis_url: str, left: bytes | None) -> None:
    """A lease of the same name with another token belongs to an earlier life, or to a later one."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            a = leases(bus, "a")
            tokens = await taken(a, [0, 1])
            if left is None:
                await bus.delete(shard_lease(0))
            else:
                await bus.put(shard_lease(0), left, ttl_s=30)
            told = await a.keep(tokens, deadline_s=DEADLINE_S)
            assert told.kept == {1}
            assert (0 in told.free) is (left is None)
            await a.release(0, tokens[0], deadline_s=DEADLINE_S)
            assert await bus.get(shard_lease(0)) == left

    run(scenario())


def test_leases_and_members_that_say_nothing_run_out_together(redis_url: str) -> None:
    """Renewed once, both last for the TTL from then; and whoever died is taken off the index."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            silent, other = leases(bus, "silent"), leases(bus, "other")
            tokens = await taken(silent, [2])
            renewed_at = SYSTEM_CLOCK.monotonic()
            await silent.keep(tokens, deadline_s=DEADLINE_S)

            async def gone() -> bool:
                told = await other.keep({}, deadline_s=DEADLINE_S)
                assert ("silent" not in told.members) == (2 in told.free)
                return 2 in told.free

            await eventually(gone, what="the end of the lease")
            assert SYSTEM_CLOCK.monotonic() - renewed_at + 0.01 >= TTL_S
            assert await bus.members(FEED_MEMBERS_KEY) == {b"other"}
            assert 0 < await raw(bus).pttl(feed_member_key("other")) <= TTL_S * 1000

    run(scenario())


def test_who_leaves_is_no_member_and_a_successor_of_that_name_stays(redis_url: str) -> None:
    """A clean stop is known at once; one that is late must not strike out who came after."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            a, b = leases(bus, "a"), leases(bus, "b")
            successor = ShardLeases(bus, "a", member(pid=9), shards=SHARDS)
            await a.keep({}, deadline_s=DEADLINE_S)
            await a.leave(deadline_s=DEADLINE_S)
            assert (await b.keep({}, deadline_s=DEADLINE_S)).members.keys() == {"b"}
            await successor.keep({}, deadline_s=DEADLINE_S)
            await a.leave(deadline_s=DEADLINE_S)
            assert (await b.keep({}, deadline_s=DEADLINE_S)).members["a"].pid == 9

    run(scenario())


def test_a_member_of_a_form_unknown_is_no_member(redis_url: str) -> None:
    """It is logged, and the others share without it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await raw(bus).sadd(FEED_MEMBERS_KEY, "odd")
            await bus.put(feed_member_key("odd"), b"[1]")
            assert (await leases(bus, "a").keep({}, deadline_s=DEADLINE_S)).members.keys() == {"a"}

    run(scenario())


def test_a_server_that_has_just_started_gives_nothing_away_but_renews(private_server: Servers) -> None:
    """It may have lost leases that are still trusted; those that it did keep go on."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            a, b = leases(bus, "a"), leases(bus, "b")
            tokens = await taken(a, [0])
            await a.keep(tokens, deadline_s=DEADLINE_S)
            trusted_until = SYSTEM_CLOCK.monotonic() + TTL_S
            await server.kill()
            await server.start()
            assert (await a.keep(tokens, deadline_s=DEADLINE_S)).kept == {0}
            await raw(bus).delete(shard_lease(0))  # as a server without a file would have lost it
            assert await b.acquire([0, 1], deadline_s=DEADLINE_S) == {}
            await taken(b, [0, 1])
            assert SYSTEM_CLOCK.monotonic() >= trusted_until

    run(scenario())


def test_no_answer_in_time_is_said_so(private_server: Servers) -> None:
    """Within the deadline, as any other absence of Redis; and it answers afterwards."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            a = leases(bus, "a")
            await a.keep({}, deadline_s=DEADLINE_S)
            async with server.frozen():
                asked_at = SYSTEM_CLOCK.monotonic()
                with pytest.raises(BusUnavailable, match=r"no answer within 0\.2 s"):
                    await a.keep({}, deadline_s=0.2)
                assert SYSTEM_CLOCK.monotonic() - asked_at < 1
            assert (await a.keep({}, deadline_s=DEADLINE_S)).members.keys() == {"a"}

    run(scenario())
