"""A connection whose events the test decides, and a service around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from support import eventually

from ibstream.bus import Bus
from ibstream.contracts.registry import EDGES, heartbeat_key
from ibstream.contracts.system import ConnectionState
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.backoff import constant
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.service import ServiceHost, ServiceParts, Slot, Worker
from ibstream.runtime.settings import BrokerSettings, MetricsSettings, Settings

RETRY_S = 0.1


@dataclass
class ScriptedConnection:
    """Connects unless told not to; says what the test says."""

    gateway: str = ""
    account: str = "SCRIPTED"
    refuses: bool = False
    open: bool = False
    sessions: list[int] = field(default_factory=list)
    """The client ids of the sessions made so far."""
    _events: asyncio.Queue[ConnectionEvent] = field(default_factory=asyncio.Queue)

    async def connect(self, client_id: int) -> None:
        if self.refuses:
            raise GatewayUnavailable("refused by the script")
        self._events = asyncio.Queue()
        self.open = True
        self.sessions.append(client_id)

    async def next_event(self) -> ConnectionEvent:
        return await self._events.get()

    async def close(self) -> None:
        self.open = False

    def say(self, trigger: Trigger, reason: str = "", code: int = 0) -> None:
        """Make it happen."""
        self._events.put_nowait(ConnectionEvent(trigger, reason, code))


async def nothing_to_do(_: ConnectionEvent) -> None:
    """A service that needs nothing of its session."""


@contextlib.asynccontextmanager
async def hosted(
    bus: Bus,
    connection: Any,
    *,
    name: str = "feed",
    synchronise: Callable[[ConnectionEvent], Any] = nothing_to_do,
    workers: Callable[[Slot], tuple[Worker, ...]] = lambda _slot: (),
    on_state: Callable[[ConnectionState, str], None] = lambda _state, _reason: None,
) -> AsyncIterator[ServiceHost]:
    """A service's life around a connection, until the context ends."""
    ports = {f"port_{service}": 0 for service in ("broker", "data", "feed")}
    settings = Settings.model_construct(broker=BrokerSettings(provider="simulated"), metrics=MetricsSettings(**ports))
    parts = ServiceParts(
        name=name,
        connection=connection,
        synchronise=synchronise,
        workers=workers,
        delays=constant(RETRY_S),
        slots=1,
        on_state=on_state,
    )
    host, stop = ServiceHost(settings, bus, parts, clock=SYSTEM_CLOCK), asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    try:
        yield host
        assert not running.done(), f"the service ended by itself: {running}"
    finally:
        stop.set()
        await running


async def in_state(host: ServiceHost, state: ConnectionState, *, within_s: float = 5.0) -> None:
    """Wait until the service is in a state."""
    await eventually(lambda: host.state is state, within_s=within_s, what=f"state {state}")


async def heartbeat(bus: Bus, name: str, instance: str = "0") -> dict[str, Any]:
    """The service's latest heartbeat; empty without one."""
    found = await bus.get(heartbeat_key(name, instance))
    return dict(json.loads(found)) if found else {}


async def edges(bus: Bus, name: str) -> list[str]:
    """`disconnected` and `reconnected` in the order in which they were told."""
    told: list[tuple[bytes, str]] = []
    for stream in EDGES[name]:
        entries = await bus.call(bus.redis.xrange(stream.name))
        told += [(entry_id, stream.name.rpartition(":")[2]) for entry_id, _ in entries]
    return [word for _, word in sorted(told)]


def held(event: asyncio.Event) -> Callable[[ConnectionEvent], Awaitable[None]]:
    """A synchronisation that lasts until `event` is set."""

    async def synchronise(_: ConnectionEvent) -> None:
        await event.wait()

    return synchronise
