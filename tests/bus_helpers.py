"""What the tests of the bus share: small messages, raw entries, a consumer that runs, and a proxy that loses replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from ibstream.bus import Bus, Entry, GroupConsumer
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.orders import CancelOrder
from ibstream.contracts.registry import Stream
from ibstream.runtime.clock import SYSTEM_CLOCK, SystemClock

AT = datetime.fromisoformat("2026-11-23T14:30:00+00:00")

Handle = Callable[[str], Any]


def raw(bus: Bus) -> Any:
    """redis-py's client, whose annotations allow every reply shape there is."""
    return bus.redis


def cancel(order_id: str | int) -> CancelOrder:
    """The smallest message of `orders:requests`."""
    return CancelOrder(client_order_id=str(order_id), requested_at=AT)


def order_id(entry: Entry) -> str:
    """What `cancel` was given."""
    assert isinstance(entry.message, CancelOrder)
    return entry.message.client_order_id


async def add(bus: Bus, stream: Stream, *order_ids: str | int, at: str = "*") -> list[str]:
    """Write cancels past the publisher; `at` is the id of the first, whose milliseconds the others count on."""
    ids = []
    for number, name in enumerate(order_ids):
        entry_id = at if at == "*" else f"{int(at) + number}-0"
        message = cancel(name)
        fields: dict[Any, Any] = {"type": type_of(message), "data": encode(message)}
        ids.append((await raw(bus).xadd(stream.name, fields, id=entry_id)).decode())
    return ids


async def add_raw(bus: Bus, stream: Stream, **fields: bytes | str) -> str:
    """Write an entry of any fields."""
    values: dict[Any, Any] = dict(fields)
    entry_id: bytes = await raw(bus).xadd(stream.name, values)
    return entry_id.decode()


async def deliver(bus: Bus, stream: Stream, consumer: str, count: int) -> list[str]:
    """Have entries delivered to `consumer`, which then does nothing with them: it crashed."""
    await ensure_group(bus, stream)
    reply = await raw(bus).xreadgroup(stream.group, consumer, {stream.name: ">"}, count=count)
    return [entry_id.decode() for entry_id, _ in reply[0][1]]


async def ensure_group(bus: Bus, stream: Stream) -> None:
    """Make the stream's group, to be read from the beginning, unless it is there."""
    with contextlib.suppress(Exception):
        await raw(bus).xgroup_create(stream.name, stream.group, id="0", mkstream=True)


async def pending(bus: Bus, stream: Stream) -> dict[str, str]:
    """Entry id → consumer of everything that is delivered and not acknowledged."""
    items = await raw(bus).xpending_range(stream.name, stream.group, min="-", max="+", count=10_000)
    return {item["message_id"].decode(): item["consumer"].decode() for item in items}


async def dead_letters(bus: Bus, stream: Stream) -> list[dict[bytes, bytes]]:
    """The fields of every dead letter, oldest first."""
    return [fields for _, fields in await raw(bus).xrange(stream.dead)]


@contextlib.asynccontextmanager
async def consuming(consumer: GroupConsumer) -> AsyncIterator[asyncio.Task[None]]:
    """Run a consumer for as long as the context lasts, then stop it in good order."""
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await task


class HastyClock(SystemClock):
    """The machine's time, but waits take a hundredth of what was asked."""

    async def sleep(self, delay_s: float) -> None:
        """Wait a little."""
        await SYSTEM_CLOCK.sleep(delay_s / 100)


class LossyProxy:
    """Stands between client and server. While `loses` is set, a command that holds it reaches the server, but the
    connection is cut before the reply comes back; `lost` counts them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server_address = parts.hostname, parts.port
        self._path = parts.path
        self._server: asyncio.Server | None = None
        self.loses: bytes | None = None
        self.lost = 0

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(*self._server_address)
        try:
            while request := await client_reader.read(65536):
                writer.write(request)
                reply = await reader.read(65536)  # the clients of these tests have one command in flight
                if self.loses is not None and self.loses in request:
                    self.lost += 1
                    return
                client_writer.write(reply)
        finally:
            writer.close()
            client_writer.close()


class SilencingProxy:
    """Stands between client and server. After `silence`, nothing passes on any connection that was open then, and neither
    side is told: they are half-open. Those made later work."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server_address = parts.hostname, parts.port
        self._path = parts.path
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect instead."""
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    def silence(self) -> int:
        """How many connections this has made silent."""
        for passing in self._passing:
            passing.cancel()
        return len(self._passing) // 2

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._silent = asyncio.Event()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._silent.set()
        self.silence()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(*self._server_address)
        both = {
            asyncio.create_task(self._pass(client_reader, writer)),
            asyncio.create_task(self._pass(reader, client_writer)),
        }
        self._passing |= both
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        self._passing -= both
        if any(one.cancelled() for one in done):
            await self._silent.wait()
        for one in both:
            one.cancel()
        writer.close()
        client_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while told := await reader.read(65536):
                writer.write(told)
