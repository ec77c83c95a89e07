"""The watchdog on a real Redis, with services and a Gateway that the test plays: what HTTP, WebSocket and streams say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from redis_for_tests import KillableServer
from support import eventually, free_port, run
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import encode
from ibstream.contracts.registry import (
    EDGES,
    HEARTBEAT_TTL_S,
    SERVICES,
    STATUS_KEY,
    SYSTEM_CONTROL,
    SYSTEM_MODE,
    heartbeat_key,
)
from ibstream.contracts.system import (
    ConnectionState,
    Disconnected,
    Halt,
    Heartbeat,
    Mode,
    ModeChanged,
    Reconnected,
    Resume,
)
from ibstream.ibkr.probe import HANDSHAKE
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.health import Health
from ibstream_gateway_watchdog.adapters.ibkr import HandshakeProbe
from ibstream_gateway_watchdog.http import create_app
from ibstream_gateway_watchdog.hub import QUEUE_MAX
from ibstream_gateway_watchdog.server import listen, serve_http
from ibstream_gateway_watchdog.service import Watchdog

_TIME = b"178\x0020261123 10:00:00 EST\x00"
REPLY = struct.pack(">I", len(_TIME)) + _TIME


class Gateway:
    """Answers the handshake on one port, and can go away and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(HANDSHAKE))
            writer.write(REPLY)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Services:
    """Broker, data and feed as far as the bus shows them: heartbeats, and edges when told."""

    def __init__(self, url: str) -> None:
        self.bus = Bus(url, client_name="services")
        self.publisher = Publisher(self.bus)
        self.states = dict.fromkeys(SERVICES, ConnectionState.READY)

    async def beat_for_ever(self) -> None:
        """A heartbeat of each, several times a second; patient while Redis is away."""
        while True:
            with contextlib.suppress(BusUnavailable, BusRefused):
                for service in list(self.states):
                    await self.beat(service)
            await SYSTEM_CLOCK.sleep(0.2)

    async def beat(self, service: str) -> None:
        """One heartbeat."""
        beat = Heartbeat(
            service=service,
            instance="0",
            state=self.states[service],
            provider="ibkr",
            client_id=SERVICES.index(service) + 1,
            version="0",
            pid=1,
            started_at=SYSTEM_CLOCK.now(),
            at=SYSTEM_CLOCK.now(),
        )
        await self.bus.put(heartbeat_key(service, "0"), encode(beat), ttl_s=HEARTBEAT_TTL_S)

    async def lose(self, service: str) -> None:
        """The service loses its connection."""
        self.states[service] = ConnectionState.BACKING_OFF
        edge = Disconnected(service=service, instance="0", reason="connection refused", at=SYSTEM_CLOCK.now())
        await self.publisher.publish(EDGES[service][0], edge)

    async def regain(self, service: str) -> None:
        """The service is ready again."""
        self.states[service] = ConnectionState.READY
        edge = Reconnected(service=service, instance="0", first=False, at=SYSTEM_CLOCK.now())
        await self.publisher.publish(EDGES[service][1], edge)

    async def die(self, service: str) -> None:
        """The service's process is killed; its last heartbeat stays for its time to live."""
        del self.states[service]


class Page:
    """The HTTP side of a watchdog."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def health(self) -> dict[str, Any]:
        """`GET /api/system/health`, which always answers 200."""
        status, body = await self.get("/api/system/health")
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    async def until_mode(self, mode: str, *, within_s: float = 10.0) -> dict[str, Any]:
        """Wait for a mode."""
        last: dict[str, Any] = {}

        async def reached() -> bool:
            last.update(await self.health())
            return bool(last["mode"] == mode)

        await eventually(reached, within_s=within_s, what=f"mode {mode}; last: {last}")
        return last

    def changes(self, **headers: str) -> connect:
        """The WebSocket."""
        return connect(f"ws://127.0.0.1:{self.port}/ws/system", additional_headers=headers)


async def until_said(changes: ClientConnection, text: str, *, within_s: float = 10.0) -> list[dict[str, Any]]:
    """Read messages until one says `text`, and return them all."""
    said: list[dict[str, Any]] = []
    async with asyncio.timeout(within_s):
        while not said or said[-1]["text"] != text:
            said.append(json.loads(await changes.recv()))
    return said


@asynccontextmanager
async def watching(url: str, gateway: Gateway | None = None) -> AsyncIterator[Page]:
    """A watchdog with its HTTP server on a free port."""
    stop, clock = asyncio.Event(), SYSTEM_CLOCK
    health = Health("gateway-watchdog", clock)
    probe = HandshakeProbe("127.0.0.1", gateway.port, timeout_s=0.5, clock=clock) if gateway else None
    with listen("127.0.0.1", 0) as listener:
        page = Page(listener.getsockname()[1])
        async with Bus(url, client_name="watchdog") as bus, asyncio.TaskGroup() as group:
            watchdog = Watchdog(bus, probe, probe_interval_s=0.5, has_resets=False, health=health, clock=clock)
            group.create_task(serve_http(create_app(watchdog, health), listener, watchdog.hub, stop=stop))
            group.create_task(watchdog.run(stop))
            try:
                yield page
            finally:
                stop.set()


@asynccontextmanager
async def healthy_system(url: str) -> AsyncIterator[tuple[Page, Services, Gateway]]:
    """Services, Gateway and watchdog, in mode normal."""
    gateway, services = Gateway(), Services(url)
    await gateway.start()
    beating = asyncio.create_task(services.beat_for_ever())
    try:
        async with watching(url, gateway) as page:
            await page.until_mode("normal")
            yield page, services, gateway
    finally:
        beating.cancel()
        await gateway.stop()
        await services.bus.close()


async def published_modes(bus: Bus) -> list[Mode]:
    """The modes in `system:mode`, oldest first."""
    async with StreamReader(bus, {SYSTEM_MODE: BEGINNING}) as reader:
        messages = [entry.message for entry in await reader.read(block_s=0)]
    return [message.mode for message in messages if isinstance(message, ModeChanged)]


def reasons(health: dict[str, Any]) -> set[tuple[str, str]]:
    """Sources and codes of the reasons."""
    return {(reason["source"], reason["code"]) for reason in health["reasons"]}


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
                return msgspec.json.decode(value, type=ModeChanged) if value else None

            status = await eventually(written, what="system:status")
            assert (status.mode, status.gateway_up, len(status.services)) == (Mode.NORMAL, True, 3)
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
            said = await until_said(changes, "mode: normal", within_s=1)
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


async def started(port: int, **settings: str) -> Process:
    """The watchdog as a process."""
    environment = {**os.environ, "SA_WATCHDOG__HTTP_PORT": str(port), **settings}
    command = [sys.executable, "-m", "ibstream_gateway_watchdog"]
    return await asyncio.create_subprocess_exec(*command, env=environment, stderr=PIPE)


async def ended(process: Process, *, within_s: float) -> tuple[int | None, str]:
    """Exit status and log."""
    async with asyncio.timeout(within_s):
        _, log = await process.communicate()
    return process.returncode, log.decode()


def test_the_process_without_redis_and_gateway(redis_url: str) -> None:
    """It serves HTTP all the same, says what is missing, and a SIGTERM ends it in good order within a second."""
    del redis_url

    async def scenario() -> None:
        page = Page(free_port())
        gateway, redis = free_port(), free_port()
        process = await started(
            page.port, SA_REDIS__URL=f"redis://:secret@127.0.0.1:{redis}/0", SA_BROKER__IBKR__PORT=str(gateway)
        )
        try:

            async def first_picture() -> bool:
                try:
                    return (await page.get("/readyz"))[0] == 200
                except OSError:
                    return False

            await eventually(first_picture, what="the first picture")
            assert reasons(await page.health()) == {("bus", "unavailable"), ("gateway", "handshake_failed")}
            async with page.changes() as changes:
                await changes.recv()
                process.send_signal(signal.SIGTERM)
                async for _ in changes:
                    pass
            assert changes.close_code == 1001
            status, log = await ended(process, within_s=1)
            assert status == 0
            assert "secret" not in log
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    run(scenario())


def test_the_process_with_a_simulated_provider_looks_at_no_gateway(redis_url: str) -> None:
    """Nothing to probe: the Gateway is neither up nor down."""

    async def scenario() -> None:
        page = Page(free_port())
        process = await started(page.port, SA_REDIS__URL=redis_url, SA_BROKER__PROVIDER="simulated")
        try:

            async def absent() -> bool:
                try:
                    return ("broker", "absent") in reasons(await page.health())
                except OSError:
                    return False

            await eventually(absent, what="a picture of the empty bus")
            assert (await page.health())["gateway"]["up"] is None
        finally:
            process.send_signal(signal.SIGTERM)
            assert (await ended(process, within_s=3))[0] == 0

    run(scenario())


def test_a_taken_port_is_a_wrong_setting() -> None:
    """It ends at once with status 78 and names the setting to change."""

    async def scenario() -> None:
        with listen("127.0.0.1", 0) as taken:
            process = await started(taken.getsockname()[1])
            status, log = await ended(process, within_s=10)
        assert status == 78
        assert "SA_WATCHDOG__HTTP_PORT" in log

    run(scenario())
