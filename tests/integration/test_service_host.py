"""The life that broker, data and feed share, over a real Redis and a connection whose events the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis_for_tests import KillableServer
from scripted import ScriptedConnection, edges, heartbeat, held, hosted, in_state
from support import eventually, run

from ibstream.bus import Bus
from ibstream.bus.lease import TTL_S
from ibstream.contracts.registry import client_id_lease, heartbeat_key
from ibstream.contracts.system import ConnectionState
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.service import Slot, Worker

FEED_CLIENT_ID = 3
"""The base of 1, and the feed adds 2."""


def test_a_link_lost_while_synchronising_is_heard_at_once(redis_url: str) -> None:
    """It must not pass for ready: the synchronisation is given up, and begun again when the link is back."""

    async def scenario() -> None:
        connection, begun = ScriptedConnection(), list[ConnectionEvent]()
        may_end = asyncio.Event()

        async def synchronise(event: ConnectionEvent) -> None:
            begun.append(event)
            await may_end.wait()

        async with Bus(redis_url, client_name="test") as bus, hosted(bus, connection, synchronise=synchronise) as host:
            await in_state(host, ConnectionState.SYNCHRONISING)
            connection.say(Trigger.LINK_LOST, "lost (1100)")
            await in_state(host, ConnectionState.DEGRADED)
            may_end.set()
            connection.say(Trigger.LINK_RESTORED, "restored (1101)", 1101)
            await in_state(host, ConnectionState.READY)
            assert [event.code for event in begun] == [0, 1101]
            assert await edges(bus, "feed") == ["disconnected", "reconnected"]

    run(scenario())


def test_a_session_lost_while_synchronising_is_made_again(redis_url: str) -> None:
    """The client id stays the same, and the service is ready in the end."""

    async def scenario() -> None:
        connection, may_end = ScriptedConnection(), asyncio.Event()
        async with (
            Bus(redis_url, client_name="test") as bus,
            hosted(bus, connection, synchronise=held(may_end)) as host,
        ):
            await in_state(host, ConnectionState.SYNCHRONISING)
            connection.say(Trigger.LOST, "gone")
            await eventually(lambda: len(connection.sessions) == 2, what="another session")
            may_end.set()
            await in_state(host, ConnectionState.READY)
            assert connection.sessions == [FEED_CLIENT_ID] * 2

    run(scenario())


def test_an_absent_gateway_is_told_once_and_the_heartbeat_says_why(redis_url: str) -> None:
    """However often it is tried, there is one edge; the next one comes when it is ready."""

    async def scenario() -> None:
        connection = ScriptedConnection(refuses=True)
        async with Bus(redis_url, client_name="test") as bus, hosted(bus, connection) as host:

            async def is_told() -> bool:
                beat = await heartbeat(bus, "feed")
                return beat.get("state") == "backing_off" and beat["reason"] == "refused by the script"

            await eventually(is_told, what="a heartbeat that says why")
            connection.refuses = False
            await in_state(host, ConnectionState.READY)
            await eventually(lambda: _told(bus, 2), what="the second edge")
            assert await edges(bus, "feed") == ["disconnected", "reconnected"]
        async with Bus(redis_url, client_name="test") as bus:
            assert await heartbeat(bus, "feed") == {}
            assert await edges(bus, "feed") == ["disconnected", "reconnected", "disconnected"]
        assert not connection.open

    run(scenario())


async def _told(bus: Bus, count: int) -> bool:
    return len(await edges(bus, "feed")) == count


def test_a_standby_takes_over_within_five_seconds(redis_url: str) -> None:
    """Two on one bus: one connects, the other waits; when the first one's lease goes, it connects with the same client id."""

    async def scenario() -> None:
        first, second = ScriptedConnection(), ScriptedConnection()
        async with (
            Bus(redis_url, client_name="first") as first_bus,
            Bus(redis_url, client_name="second") as second_bus,
            hosted(first_bus, first) as host,
        ):
            await in_state(host, ConnectionState.READY)
            async with hosted(second_bus, second) as standby:
                assert (standby.state, second.sessions) == (ConnectionState.IDLE, [])
                lease = client_id_lease("simulated", 0, FEED_CLIENT_ID)
                await first_bus.put(lease, b"somebody else|9", ttl_s=1.0)  # as if the first had been frozen
                await eventually(lambda: not first.open, what="the first one letting go")
                await eventually(lambda: first.open != second.open, within_s=5, what="one of them taking over")
                assert first.sessions + second.sessions == [FEED_CLIENT_ID] * 2

    run(scenario())


def test_a_successors_heartbeat_is_left_alone(redis_url: str) -> None:
    """Whoever lost the slot takes its own traces away, and nobody else's."""

    async def scenario() -> None:
        key = heartbeat_key("feed", "0")
        async with Bus(redis_url, client_name="test") as bus:
            async with hosted(bus, ScriptedConnection()) as host:
                await eventually(lambda: heartbeat(bus, "feed"), what="a heartbeat")
                await bus.put(client_id_lease("simulated", 0, FEED_CLIENT_ID), b"somebody else|9", ttl_s=30)
                await eventually(lambda: host.instance != "0", what="the loss of the slot")
                await bus.put(key, b'{"pid":1,"service":"feed"}')
                await eventually(lambda: heartbeat(bus, "feed", host.instance), what="a heartbeat as a standby")
            assert await bus.get(key) == b'{"pid":1,"service":"feed"}'

    run(scenario())


def test_a_redis_that_refuses_writes_ends_no_service(private_server: Callable[[], KillableServer]) -> None:
    """Full memory passes: without heartbeats the service counts as absent meanwhile, but it lives through it."""

    async def scenario() -> None:
        connection = ScriptedConnection()
        async with (
            private_server() as server,
            Bus(server.url, client_name="test") as bus,
            hosted(bus, connection) as host,
        ):
            await eventually(lambda: heartbeat(bus, "feed"), what="a heartbeat")
            await bus.call(bus.redis.config_set("maxmemory", "1"))
            await eventually(lambda: _is_silent(bus), what="the end of its heartbeats")
            await bus.call(bus.redis.config_set("maxmemory", "0"))
            await eventually(lambda: heartbeat(bus, "feed"), what="heartbeats again")
            await in_state(host, ConnectionState.READY)

    run(scenario())


async def _is_silent(bus: Bus) -> bool:
    return not await heartbeat(bus, "feed")


def test_a_slot_says_by_the_clock_of_its_holder_whether_it_is_still_held(redis_url: str) -> None:
    """While it is renewed it is; Redis unheard of for as long as the lease lasts, it is not, whatever Redis would say."""

    async def scenario() -> None:
        slots: list[Slot] = []

        def workers(slot: Slot) -> tuple[Worker, ...]:
            slots.append(slot)
            return ()

        async with (
            Bus(redis_url, client_name="test") as bus,
            hosted(bus, ScriptedConnection(), workers=workers) as host,
        ):
            await in_state(host, ConnectionState.READY)
            [slot] = slots
            assert slot.held()
            assert slot.fencing_token > 0
            frozen_until = SYSTEM_CLOCK.monotonic() + TTL_S + 0.1
            while SYSTEM_CLOCK.monotonic() < frozen_until:
                pass  # nothing else of this process runs
            assert not slot.held()
            await eventually(lambda: len(slots) == 2, what="the slot taken again")
            assert slots[1].held()
            assert not slot.held()
            assert slots[1].fencing_token > slot.fencing_token

    run(scenario())
