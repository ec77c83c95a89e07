"""What tests of the watchdog share: services and a Gateway that the test plays, and a watchdog to watch them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support import eventually, free_port
from websockets.asyncio.client import ClientConnection, connect

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import encode
from ibstream.contracts.registry import (
    EDGES,
    HEARTBEAT_TTL_S,
    SERVICES,
    SYSTEM_MODE,
    heartbeat_key,
)
from ibstream.contracts.system import (
    ConnectionState,
    Disconnected,
    Heartbeat,
    Mode,
    ModeChanged,
    Reconnected,
)
from ibstream.ibkr.probe import HANDSHAKE
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.health import Health
from ibstream_gateway_watchdog.adapters.ibkr import HandshakeProbe
from ibstream_gateway_watchdog.http import create_app
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

    async def beat(self, service: str, instance: str = "0") -> None:
        """One heartbeat."""
        beat = Heartbeat(
            service=service,
            instance=instance,
            state=self.states[service],
            provider="ibkr",
            client_id=SERVICES.index(service) + 1,
            version="0",
            pid=1,
            started_at=SYSTEM_CLOCK.now(),
            at=SYSTEM_CLOCK.now(),
        )
        await self.bus.put(heartbeat_key(service, instance), encode(beat), ttl_s=HEARTBEAT_TTL_S)

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
async def watching(url: str, gateway: Gateway | None = None, *, probe_interval_s: float = 0.5) -> AsyncIterator[Page]:
    """A watchdog with its HTTP server on a free port."""
    stop, clock = asyncio.Event(), SYSTEM_CLOCK
    health = Health("gateway-watchdog", clock)
    probe = HandshakeProbe("127.0.0.1", gateway.port, timeout_s=0.5, clock=clock) if gateway else None
    with listen("127.0.0.1", 0) as listener:
        page = Page(listener.getsockname()[1])
        async with Bus(url, client_name="watchdog") as bus, asyncio.TaskGroup() as group:
            watchdog = Watchdog(
                bus, probe, probe_interval_s=probe_interval_s, has_resets=False, health=health, clock=clock
            )
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
