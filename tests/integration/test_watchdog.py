"""The watchdog on a real Redis, with services and a Gateway that the test plays: what HTTP, WebSocket and streams say."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

import msgspec
import pytest
from redis_for_tests import KillableServer
from support import eventually, run
from watchdog_harness import Gateway, Page, Services, healthy_system, published_modes, reasons, until_said, watching
from websockets.exceptions import InvalidStatus

from ibstream.bus import Bus
from ibstream.contracts.registry import (
    HEARTBEAT_TTL_S,
    SERVICES,
    STATUS_KEY,
    SYSTEM_CONTROL,
    heartbeat_key,
)
from ibstream.contracts.system import (
    Halt,
    Mode,
    ModeChanged,
    Resume,
)
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.health import Health
from ibstream_gateway_watchdog.heartbeats import DISCOVERY_INTERVAL_S, HeartbeatReader
from ibstream_gateway_watchdog.http import create_app
from ibstream_gateway_watchdog.hub import QUEUE_MAX
from ibstream_gateway_watchdog.server import listen, serve_http
from ibstream_gateway_watchdog.service import Watchdog


def test_a_healthy_system_is_normal_and_everyone_can_see_it(redis_url: str) -> None:
    """HTTP shows every part, the key `system:status` and the stream `system:mode` say the same, `/readyz` answers 200."""

    async def scenario() -> None:
        async with healthy_system(redis_url) as (page, services, gateway):
            health = await page.health()
            assert health["reasons"] == []
            assert [health["services"][service][0]["client_id"] for service in SERVICES] == [1, 2, 3]
            assert health["gateway"]["up"] is True
            assert health["gateway"]["server_version"] == 178
            assert health["gateway"]["address"] == f"127.0.0.1:{gateway.port}"
            assert health["bus"]["up"] is True
            assert (await page.get("/readyz"))[0] == 200
            assert (await page.get("/livez"))[0] == 200
            assert 'ibstream_mode{mode="normal"} 1.0' in (await page.get("/metrics"))[1]

            async def written() -> ModeChanged | None:
                value = await services.bus.get(STATUS_KEY)
                status = msgspec.json.decode(value, type=ModeChanged) if value else None
                return status if status and status.mode is Mode.NORMAL else None

            status: ModeChanged = await eventually(written, what="mode normal in system:status")
            assert (status.gateway_up, len(status.services)) == (True, 3)
            assert (await published_modes(services.bus))[-1] is Mode.NORMAL

    run(scenario())


def test_a_lost_connection_is_told_within_a_second(redis_url: str) -> None:
    """The WebSocket first says the state, then `broker: disconnected` and the mode with its reason, then the return."""

    async def scenario() -> None:
        async with healthy_system(redis_url) as (page, services, _), page.changes() as changes:
            first = json.loads(await changes.recv())
            assert (first["type"], first["mode"], first["text"]) == ("system.mode.v1", "normal", "mode: normal")
            await services.lose("broker")
            (news,) = await until_said(changes, "broker: disconnected", within_s=1)
            assert (news["type"], news["state"], news["reason"]) == (
                "system.connection",
                "disconnected",
                "connection refused",
            )
            await until_said(changes, "mode: degraded (broker: disconnected (connection refused))", within_s=1)
            assert reasons(await page.health()) == {("broker", "disconnected")}
            await services.regain("broker")
            said = await until_said(changes, "mode: normal")
            assert [message["text"] for message in said] == ["broker: connected", "mode: normal"]

    run(scenario())


def test_a_killed_service_is_absent_once_its_heartbeat_is_gone(redis_url: str) -> None:
    """No edge says so; the vanished key does."""

    async def scenario() -> None:
        async with healthy_system(redis_url) as (page, services, _), page.changes() as changes:
            await services.die("feed")
            await until_said(changes, "feed: absent", within_s=HEARTBEAT_TTL_S + 1)
            health = await page.until_mode("degraded", within_s=1)
            assert reasons(health) == {("feed", "absent")}
            assert health["services"]["feed"] == []

    run(scenario())


def test_no_service_at_all_is_down(redis_url: str) -> None:
    """A Gateway alone is no system."""

    async def scenario() -> None:
        async with watching(redis_url) as page:
            health = await page.until_mode("down")

            async def first_picture() -> bool:
                return (await page.get("/readyz"))[0] == 200

            await eventually(first_picture, what="the first picture")
            health = await page.health()
            assert reasons(health) == {(service, "absent") for service in SERVICES}
            assert (health["gateway"]["up"], health["gateway"]["address"]) == (None, "")

    run(scenario())


def test_a_gateway_that_goes_and_returns(redis_url: str) -> None:
    """The handshake tells, although the services have not noticed yet."""

    async def scenario() -> None:
        async with healthy_system(redis_url) as (page, _, gateway):
            await gateway.stop()
            health = await page.until_mode("degraded", within_s=2)
            assert reasons(health) == {("gateway", "handshake_failed")}
            assert (health["gateway"]["up"], health["gateway"]["code"]) == (False, "refused")
            await gateway.start()
            await page.until_mode("normal", within_s=2)

    run(scenario())


def test_an_edge_makes_it_look_at_the_gateway_at_once(redis_url: str) -> None:
    """Long before the next look is due: the loss of a connection and that of the Gateway show together."""

    async def scenario() -> None:
        gateway, services = Gateway(), Services(redis_url)
        await gateway.start()
        async with services.bus, watching(redis_url, gateway, probe_interval_s=300) as page:

            async def looked() -> bool:
                return (await page.health())["gateway"]["up"] is True

            await eventually(looked, what="the first look")
            await gateway.stop()
            await services.lose("broker")

            async def both_known() -> bool:
                wanted = {("broker", "disconnected"), ("gateway", "handshake_failed")}
                return wanted <= reasons(await page.health())

            await eventually(both_known, within_s=2, what="both reasons")

    run(scenario())


def test_replicas_are_found_and_nonsense_is_skipped(redis_url: str) -> None:
    """First slots are read by name, replicas once an edge names them or at the next search; what is no heartbeat is not one."""

    async def scenario() -> None:
        clock, services = ManualClock(SYSTEM_CLOCK.now()), Services(redis_url)
        async with services.bus as bus:
            reader = HeartbeatReader(bus, clock=clock)
            assert await reader.read() == []
            for instance in ("0", "1", "standby-7"):
                await services.beat("feed", instance)
            await bus.put(heartbeat_key("data", "0"), b"nonsense", ttl_s=HEARTBEAT_TTL_S)
            assert [beat.instance for beat in await reader.read()] == ["0"]
            reader.learn("feed", "1")
            assert [beat.instance for beat in await reader.read()] == ["0", "1"]
            clock.advance(DISCOVERY_INTERVAL_S)
            assert sorted(beat.instance for beat in await reader.read()) == ["0", "1", "standby-7"]

    run(scenario())


def test_a_halt_holds_until_it_is_ended_even_over_a_restart(redis_url: str) -> None:
    """The last word of the operators counts, also for a watchdog that was not there when it was spoken."""

    async def scenario() -> None:
        async with healthy_system(redis_url) as (page, services, gateway):
            halt = Halt(who="ops", why="test", at=SYSTEM_CLOCK.now())
            await services.publisher.publish(SYSTEM_CONTROL, halt)
            await page.until_mode("halted", within_s=2)
            async with watching(redis_url, gateway) as restarted, restarted.changes() as changes:
                first = json.loads(await changes.recv())
                assert first["mode"] in ("down", "halted")
                assert reasons(await restarted.until_mode("halted")) == {("operator", "halted")}
                resume = Resume(who="ops", at=SYSTEM_CLOCK.now())
                await services.publisher.publish(SYSTEM_CONTROL, resume)
                await restarted.until_mode("normal", within_s=2)
            await page.until_mode("normal", within_s=2)

    run(scenario())


def test_redis_dies_and_returns(private_server: Callable[[], KillableServer]) -> None:
    """HTTP answers throughout and names the bus; afterwards all is well again, and no service was called absent."""

    async def scenario() -> None:
        async with private_server() as server, healthy_system(server.url) as (page, services, _):
            async with page.changes() as changes:
                await server.kill()
                health = await page.until_mode("down", within_s=3)
                assert reasons(health) == {("bus", "unavailable")}
                assert health["bus"]["up"] is False
                assert health["gateway"]["up"] is True
                await server.start()
                await page.until_mode("normal")
                said = await until_said(changes, "mode: normal")  # the greeting
                said = await until_said(changes, "mode: normal")
                assert [m["type"] for m in said] == ["system.mode.v1"] * len(said)
                assert not [m for m in said if "absent" in m["text"]]

            async def both_published() -> bool:
                return (await published_modes(services.bus))[-2:] == [Mode.DOWN, Mode.NORMAL]

            await eventually(both_published, what="both changes in the stream, the one in the dark included")

    run(scenario())


def test_a_redis_that_hangs_is_found(private_server: Callable[[], KillableServer]) -> None:
    """A connection that stays open and says nothing is no bus; it is named within three seconds."""

    async def scenario() -> None:
        async with private_server() as server, healthy_system(server.url) as (page, *_):
            async with server.frozen():
                health = await page.until_mode("down", within_s=3)
                assert reasons(health) == {("bus", "unavailable")}
            await page.until_mode("normal")

    run(scenario())


def test_a_redis_that_refuses_writes_is_found(private_server: Callable[[], KillableServer]) -> None:
    """Out of memory it still answers reads, but nothing can be told; the watchdog goes on and says so over HTTP."""

    async def scenario() -> None:
        async with private_server() as server, healthy_system(server.url) as (page, services, _):
            await services.bus.redis.config_set("maxmemory", "1")
            health = await page.until_mode("down", within_s=3)
            assert reasons(health) == {("bus", "unavailable")}
            await services.bus.redis.config_set("maxmemory", "0")
            await page.until_mode("normal")

    run(scenario())


def test_a_page_from_elsewhere_may_not_listen(redis_url: str) -> None:
    """Any page in a browser may open a WebSocket to this machine; ours refuses all but its own."""

    async def scenario() -> None:
        async with watching(redis_url) as page:
            with pytest.raises(InvalidStatus) as refused:
                async with page.changes(Origin="http://evil.example"):
                    pass
            assert refused.value.response.status_code == 403
            async with page.changes(Origin=f"http://127.0.0.1:{page.port}") as changes:
                assert json.loads(await changes.recv())["type"] == "system.mode.v1"

    run(scenario())


def test_a_client_that_does_not_read_harms_nobody(redis_url: str) -> None:
    """Its socket fills up, its queue runs over, it is dropped; another client hears everything meanwhile."""

    async def scenario() -> None:
        stop, health = asyncio.Event(), Health("gateway-watchdog", SYSTEM_CLOCK)
        with listen("127.0.0.1", 0) as listener:
            page = Page(listener.getsockname()[1])
            async with Bus(redis_url, client_name="watchdog") as bus, asyncio.TaskGroup() as group:
                watchdog = Watchdog(bus, None, probe_interval_s=1, has_resets=False, health=health, clock=SYSTEM_CLOCK)
                group.create_task(serve_http(create_app(watchdog, health), listener, watchdog.hub, stop=stop))
                lazy = await asyncio.to_thread(_open_websocket_and_read_nothing, page.port)
                with lazy:
                    async with page.changes() as keen:
                        await eventually(lambda: watchdog.hub.clients == 2, what="both clients")
                        await keen.recv()
                        heard = 0
                        while watchdog.hub.clients == 2:
                            assert heard < 50 * QUEUE_MAX, "the lazy client was never dropped"
                            watchdog.hub.publish("x" * 100_000)
                            heard += len(await keen.recv()) // 100_000
                        watchdog.hub.publish("still there")
                        assert await keen.recv() == "still there"
                stop.set()

    run(scenario())


def _open_websocket_and_read_nothing(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        f"GET /ws/system HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client
