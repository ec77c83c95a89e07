"""What the benchmark starts: a server of its own, a stand-in Gateway behind a wire-tap, brokers; and what it asks of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from _orders import witness
from ibstream.bus import Bus
from ibstream.bus.embedded import EmbeddedServer
from ibstream.bus.lease import TTL_S
from ibstream.cli.processes import Child, Processes, Program
from ibstream.contracts.base import Side, encode, type_of
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderStatus, OrderType, SubmitOrder
from ibstream.contracts.registry import HEARTBEAT_PATTERN, OPEN_ORDERS_KEY, ORDER_EVENTS, ORDER_REQUESTS
from ibstream.contracts.system import ConnectionState, Heartbeat
from ibstream.runtime.clock import SYSTEM_CLOCK

PATIENCE_S = 40.0
"""A state that takes longer than this is given up, and the benchmark with it."""
POLL_S = 0.002
LEASES = "lease:client-id:*"
JUST_NOW_MS = 20
EVENTS_AT_ONCE = 5000
WRITTEN_AT_ONCE = 100
VALID_FOR = timedelta(minutes=10)
"""No request is refused for its age: what waits is measured."""
LIMIT_PRICE = Decimal("1.00")
"""So low that a buy rests for ever."""
SYMBOLS = ("AAPL", "MSFT", "AMZN", "NVDA", "GOOGL", "META", "TSLA", "JPM", "V", "KO")


class Said(msgspec.Struct):
    """What the benchmark wants to know of an event."""

    client_order_id: str = ""
    status: str = ""
    final: bool = False


_SAID = msgspec.json.Decoder(Said)
_BEAT = msgspec.json.Decoder(Heartbeat)


def order(name: str, number: int, *, is_market: bool = False) -> SubmitOrder:
    """A request of the benchmark: a limit that rests, or a market order, buys and sells in turn."""
    now = SYSTEM_CLOCK.now()
    return SubmitOrder(
        client_order_id=f"{witness.NAMES.decode()}{name}-{number}",
        strategy="bench",
        instrument=Instrument(symbol=SYMBOLS[number // 2 % len(SYMBOLS)]),
        side=Side.SELL if is_market and number % 2 else Side.BUY,
        quantity=Decimal(1),
        order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
        limit_price=None if is_market else LIMIT_PRICE,
        requested_at=now,
        valid_until=now + VALID_FOR,
    )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Rig:
    """One server and the processes on it. Arrivals are by name, on CLOCK_MONOTONIC, which all processes of a machine share."""

    def __init__(self, folder: Path, server: EmbeddedServer, bus: Bus) -> None:
        self._folder = folder
        self.url = server.url
        self.bus = bus
        self.redis: Any = bus.redis
        self.processes = Processes(self._hear)
        self.arrived: dict[str, float] = {}
        self._heard = asyncio.Event()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SA_")},
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SA_REDIS__URL": server.url,
            "SA_METRICS__PORT_BROKER": "0",
            "SA_LOGGING__FORMAT": "json",
        }

    def _hear(self, _: str, line: str) -> None:
        name, _, at = line.partition(" ")
        with contextlib.suppress(ValueError):
            self.arrived.setdefault(name, float(at))
            self._heard.set()

    async def arrival(self, name: str) -> float:
        """When it arrived."""
        async with asyncio.timeout(PATIENCE_S):
            while name not in self.arrived:
                self._heard.clear()
                await self._heard.wait()
        return self.arrived[name]

    # Processes

    async def witness(self, *arguments: str) -> Child:
        """Start a witness, and wait until it is there."""
        self.arrived.pop("ready", None)
        child = await self._start(f"witness-{arguments[0]}", "_orders.witness", arguments, {}, log=False)
        await self.arrival("ready")
        return child

    async def gateway(self) -> int:
        """Start a stand-in Gateway without limits and a tap before it; returns the tap's port."""
        gateway, door = free_port(), free_port()
        arguments = ("--port", str(gateway), "--no-limits", "--log-level", "warning")
        await self._start("gateway", "ibstream_gateway_emulator", arguments, {})
        await until(lambda: _answers(gateway), "the stand-in Gateway")
        await self.witness("tap", str(door), str(gateway))
        return door

    async def broker(self, name: str, **settings: str) -> Child:
        """Start a broker; `settings` are environment variables. The limits of messages are lifted: they are not measured here."""
        lifted = {"SA_BROKER__REQUESTS_PER_S": "900", "SA_BROKER__IBKR__REQUESTS_PER_S": "1000"}
        return await self._start(name, "ibstream_broker", (), {**lifted, **settings})

    async def _start(
        self, name: str, module: str, arguments: tuple[str, ...], environment: dict[str, str], *, log: bool = True
    ) -> Child:
        path = self._folder / f"{name}.log" if log else None
        return await self.processes.start(Program(name, module, {**self._environment, **environment}, arguments, path))

    async def kill(self, child: Child) -> float:
        """SIGKILL; returns when it was sent."""
        at = SYSTEM_CLOCK.monotonic()
        os.kill(child.process.pid, signal.SIGKILL)
        await child.wait()
        return at

    # What is so

    async def beats(self) -> list[Heartbeat]:
        """The latest heartbeats of the brokers."""
        found = await self.bus.values_matching(HEARTBEAT_PATTERN.replace("*", "broker", 1))
        return [_BEAT.decode(beat) for beat in found.values()]

    async def beat(self, child: Child) -> Heartbeat | None:
        """The latest of one process; None before its first."""
        return next((one for one in await self.beats() if one.pid == child.process.pid), None)

    async def beating(self, child: Child) -> None:
        """Wait until a broker lives, as a standby or active."""
        await until(lambda: self.beat(child), "a broker's heartbeat")

    async def in_state(self, child: Child, *states: ConnectionState) -> float:
        """Wait for a state of a broker's; returns when its heartbeat was seen to say so."""

        async def is_so() -> bool:
            if child.status is not None:
                raise SystemExit(f"the broker has ended: {child.last_words()}")
            beat = await self.beat(child)
            return beat is not None and beat.state in states

        await until(is_so, f"a broker {' or '.join(states)}")
        return SYSTEM_CLOCK.monotonic()

    async def ready(self, child: Child) -> float:
        """Wait until orders pass; returns when the heartbeat was seen to say so."""
        return await self.in_state(child, ConnectionState.READY)

    async def settled(self, child: Child) -> int:
        """Wait until everything asked for is handled and every order clear; returns how many work."""
        counts: list[int] = []

        async def is_so() -> bool:
            last = await self.redis.xinfo_stream(ORDER_REQUESTS.name)
            beat, open_orders = await self.beat(child), await self.redis.scard(OPEN_ORDERS_KEY)
            counts[:] = [open_orders]
            if beat is None or not await self.all_handled(ORDER_REQUESTS.name, last["last-generated-id"]):
                return False
            return (beat.details["working_orders"], beat.details["unknown_orders"]) == (open_orders, 0)

        await until(is_so, "orders to be settled", poll_s=0.05)
        return counts[0]

    async def renewed(self) -> None:
        """Wait until the active broker has just renewed its lease."""
        [lease] = [key async for key in self.redis.scan_iter(match=LEASES)]

        async def is_so() -> bool:
            return bool(await self.redis.pttl(lease) > TTL_S * 1000 - JUST_NOW_MS)

        await until(is_so, "a renewal of the lease")

    # Requests and events

    async def ask(self, request: SubmitOrder) -> float:
        """Write one request; returns the time right before."""
        fields: dict[Any, Any] = {"type": type_of(request), "data": encode(request)}
        at = SYSTEM_CLOCK.monotonic()
        await self.redis.xadd(ORDER_REQUESTS.name, fields)
        return at

    async def ask_all(self, stream: str, requests: Iterable[SubmitOrder]) -> list[bytes]:
        """Write many requests as fast as can be; returns their entries' ids."""
        fields: list[dict[Any, Any]] = [{"type": type_of(one), "data": encode(one)} for one in requests]
        ids: list[bytes] = []
        for start in range(0, len(fields), WRITTEN_AT_ONCE):
            pipeline = self.redis.pipeline(transaction=False)
            for one in fields[start : start + WRITTEN_AT_ONCE]:
                pipeline.xadd(stream, one)
            ids += await pipeline.execute()
        return ids

    async def all_handled(self, stream: str, last: bytes) -> bool:
        """Whether everything up to an entry was delivered and acknowledged."""
        [state] = await self.redis.xinfo_groups(stream)
        return bool(state["last-delivered-id"] == last and state["pending"] == 0)


class Events:
    """Reads `orders:events` from now on."""

    def __init__(self, rig: Rig) -> None:
        self._redis = rig.redis
        self._position = b""
        self.last_ms = 0
        """When the last event that was read had been written, by the server's clock."""

    async def begin(self) -> Events:
        """Leave out what is there."""
        last = await self._redis.xrevrange(ORDER_EVENTS.name, count=1)
        self._position = last[0][0] if last else b"0-0"
        return self

    async def read(self) -> list[Said]:
        """What is new."""
        found = await self._redis.xrange(ORDER_EVENTS.name, f"({self._position.decode()}", count=EVENTS_AT_ONCE)
        if found:
            self._position = found[-1][0]
            self.last_ms = milliseconds(self._position)
        return [_SAID.decode(fields[b"data"]) for _, fields in found]

    async def until_all(self, names: set[str], is_it: Callable[[Said], bool]) -> None:
        """Read until each of these orders has had such an event; `last_ms` is then the last one's."""
        left = set(names)

        async def are_there() -> bool:
            left.difference_update(one.client_order_id for one in await self.read() if is_it(one))
            return not left

        await until(are_there, f"events of {len(names)} orders", poll_s=0.05)


def is_submitted(said: Said) -> bool:
    """Whether it says that the order works."""
    return said.status == OrderStatus.SUBMITTED


def is_filled(said: Said) -> bool:
    """Whether it says that the order has ended well."""
    return said.status == OrderStatus.FILLED


def milliseconds(entry_id: bytes) -> int:
    """The server's time of day in an entry's id."""
    return int(entry_id.partition(b"-")[0])


async def until(state: Callable[[], Any], what: str, *, poll_s: float = POLL_S) -> None:
    """Wait until `state`, which may be a coroutine function, holds."""
    deadline = SYSTEM_CLOCK.monotonic() + PATIENCE_S
    while True:
        value = state()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S:g} s in vain for {what}")
        await SYSTEM_CLOCK.sleep(poll_s)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.asynccontextmanager
async def rig_in(folder: Path) -> AsyncIterator[Rig]:
    """A server with its data in `folder`: whatever was started on it is gone when the context ends."""
    server = EmbeddedServer(folder / "redis", port=free_port(), clock=SYSTEM_CLOCK)
    async with server, Bus(server.url, client_name="bench") as bus:
        rig = Rig(folder, server, bus)
        async with rig.processes:
            yield rig
