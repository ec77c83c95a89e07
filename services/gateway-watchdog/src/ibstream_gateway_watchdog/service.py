"""The watchdog at work: it feeds the status with facts and publishes what follows from them.

Four loops, each kept alive by a supervisor, so that none can silence another:

    streams     edges and operators' orders, at once
    heartbeats  every half second; a key that vanished is an instance that is gone
    gateway     the handshake, every few seconds, and at once after an edge
    status      changes to `system:mode`; the state to the key `system:status`, every second
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.bus.publisher import Publisher
from ibstream.bus.reader import BEGINNING, LATEST, Entry, StreamReader
from ibstream.contracts.base import encode
from ibstream.contracts.registry import EDGES, HEARTBEAT_TTL_S, STATUS_KEY, STATUS_TTL_S, SYSTEM_CONTROL, SYSTEM_MODE
from ibstream.contracts.system import Disconnected, Halt, Heartbeat, ModeChanged, Reconnected, Resume
from ibstream.runtime.backoff import constant
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import Trigger
from ibstream.runtime.health import Health
from ibstream.runtime.supervise import supervise, unless
from ibstream_gateway_watchdog.announcements import connection_announcement, mode_announcement
from ibstream_gateway_watchdog.domain.picture import ConnectionNews
from ibstream_gateway_watchdog.heartbeats import HeartbeatReader
from ibstream_gateway_watchdog.hub import Hub
from ibstream_gateway_watchdog.ports import GatewayProbe
from ibstream_gateway_watchdog.status import Options, Status

HEARTBEAT_SCAN_INTERVAL_S = 0.5
SETTLING_INTERVAL_S = 0.1
STATUS_INTERVAL_S = 1.0

BUS_RETRY_INTERVAL_S = 0.5
"""How soon a part that Redis did not serve asks again."""

BUS_DEADLINE_S = 2.0
"""A Redis that hangs is found after this long; the bus's own deadline of 5 s is meant for work worth waiting for."""

STREAM_BLOCK_S = 1.0

PROBE_GAP_S = 0.25
"""Between two probes at least, however many edges come."""

CHANGES_KEPT_MAX = 100
"""Changes of the mode that wait for Redis to return; of more, the oldest are dropped."""

_STREAMS, _HEARTBEATS, _STATUS = "streams", "heartbeats", "status"

Work = Callable[[], Coroutine[Any, Any, None]]


class Watchdog:
    """Watches until it is told to stop. `status` and `hub` are for whoever shows what it found."""

    def __init__(
        self,
        bus: Bus,
        probe: GatewayProbe | None,
        *,
        probe_interval_s: float,
        has_resets: bool,
        health: Health,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._probe = probe
        self._probe_interval_s = probe_interval_s
        self._health = health
        self._clock = clock
        self._publisher = Publisher(bus)
        self._heartbeats = HeartbeatReader(bus, clock=clock)
        edges = {stream: LATEST for pair in EDGES.values() for stream in pair}
        # From the beginning: a halt outlives the watchdog, and the last word on it is somewhere in the stream.
        self._streams = StreamReader(bus, {**edges, SYSTEM_CONTROL: BEGINNING})
        self._changes: deque[ModeChanged] = deque(maxlen=CHANGES_KEPT_MAX)
        self._changed = asyncio.Event()
        self._probe_now = asyncio.Event()
        self._has_picture = False
        self.hub = Hub()
        options = Options(
            has_gateway=probe is not None,
            has_resets=has_resets,
            bus_parts=frozenset({_STREAMS, _HEARTBEATS}),
        )
        self.status = Status(options, clock=clock, on_mode=self._on_mode, on_news=self._on_news)

    @property
    def bus_address(self) -> str:
        """Where Redis is, without its password."""
        return self._bus.address

    @property
    def gateway_address(self) -> str:
        """Where the Gateway is; empty where there is none."""
        return self._probe.address if self._probe is not None else ""

    def greeting(self) -> str:
        """What a new WebSocket client is told first: the state now."""
        return mode_announcement(self.status.message())

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. Raises only what no retry can mend."""
        async with self._streams, asyncio.TaskGroup() as group:
            beat = group.create_task(self._health.beat_for_ever(), name="beat")
            for part, work in self._parts().items():
                group.create_task(self._keep_alive(part, work, stop), name=part)
            await stop.wait()
            self._health.set_not_ready("stopping")
            beat.cancel()

    def _parts(self) -> dict[str, Work]:
        parts: dict[str, Work] = {
            _STREAMS: self._follow_streams,
            _HEARTBEATS: self._read_heartbeats,
            _STATUS: self._publish_status,
        }
        return {**parts, "gateway": self._watch_gateway} if self._probe is not None else parts

    async def _keep_alive(self, part: str, work: Work, stop: asyncio.Event) -> None:
        async def connect() -> Work:
            return work

        def on_state(trigger: Trigger, reason: str) -> None:
            if trigger is Trigger.LOST and part in (_STREAMS, _HEARTBEATS, _STATUS):
                self.status.bus_failed(part, reason)

        async def serve(work: Work) -> None:
            with _refusals_retried():
                await work()

        await supervise(
            connect,
            serve,
            delays=constant(BUS_RETRY_INTERVAL_S),
            on_state=on_state,
            stop=stop,
            clock=self._clock,
        )

    async def _follow_streams(self) -> None:
        while entries := await self._read_streams(
            block_s=0.0
        ):  # what was written before; it also proves Redis is there
            self._take(entries)
        self.status.bus_works(_STREAMS)
        while True:
            self._take(await self._read_streams(block_s=STREAM_BLOCK_S))

    async def _read_streams(self, *, block_s: float) -> list[Entry]:
        async with self._deadline(BUS_DEADLINE_S + block_s):
            return await self._streams.read(block_s=block_s)

    def _take(self, entries: list[Entry]) -> None:
        for entry in entries:
            match entry.message:
                case Disconnected() | Reconnected() as edge:
                    self._heartbeats.learn(edge.service, edge.instance)
                    self.status.edge(edge)
                    self._probe_now.set()
                case Halt() as halt:
                    self.status.halted(halt)
                case Resume():
                    self.status.halted(None)

    async def _read_heartbeats(self) -> None:
        beats = await self._first_heartbeats()
        while True:
            self.status.heartbeats(beats)
            self.status.bus_works(_HEARTBEATS)
            await self._clock.sleep(HEARTBEAT_SCAN_INTERVAL_S)
            beats = await self._all_heartbeats()

    async def _first_heartbeats(self) -> list[Heartbeat]:
        """After Redis was away, services need a moment to write theirs again; until then none of them counts as absent."""
        give_up_s = self._clock.monotonic() + HEARTBEAT_TTL_S
        while True:
            beats = await self._all_heartbeats()
            if self.status.misses_none(beats) or self._clock.monotonic() > give_up_s:
                return beats
            await self._clock.sleep(SETTLING_INTERVAL_S)

    async def _all_heartbeats(self) -> list[Heartbeat]:
        async with self._deadline(BUS_DEADLINE_S):
            return await self._heartbeats.read()

    async def _watch_gateway(self) -> None:
        assert self._probe is not None  # noqa: S101 - this part runs only where there is a Gateway
        while True:
            self._probe_now.clear()
            self.status.probed(await self._probe.look())
            await self._clock.sleep(PROBE_GAP_S)
            await unless(self._probe_now, self._clock.sleep(self._probe_interval_s - PROBE_GAP_S))

    async def _publish_status(self) -> None:
        while True:
            self._changed.clear()
            if self.status.is_known:
                async with self._deadline(BUS_DEADLINE_S):
                    await self._write_status()
                self.status.bus_works(_STATUS)
            await unless(self._changed, self._clock.sleep(STATUS_INTERVAL_S))
            self.status.refresh()

    async def _write_status(self) -> None:
        """Changes first, in order. One whose reply was lost is written twice, which says the same thing twice."""
        while self._changes:
            change = self._changes[0]
            await self._publisher.publish(SYSTEM_MODE, change)
            if self._changes and self._changes[0] is change:  # else it was dropped for a newer one meanwhile
                self._changes.popleft()
        await self._bus.put(STATUS_KEY, encode(self.status.message()), ttl_s=STATUS_TTL_S)

    @contextlib.asynccontextmanager
    async def _deadline(self, deadline_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError as error:
            raise BusUnavailable(f"Redis at {self._bus.address}: no answer within {deadline_s:g} s") from error

    def _on_mode(self, change: ModeChanged) -> None:
        if not self._has_picture:
            self._has_picture = True
            self._health.set_ready()
        self._changes.append(change)
        self._changed.set()
        self.hub.publish(mode_announcement(change))

    def _on_news(self, news: ConnectionNews) -> None:
        self.hub.publish(connection_announcement(news, self._clock.now()))


@contextlib.contextmanager
def _refusals_retried() -> Iterator[None]:
    """What Redis refuses (out of memory, a key of a wrong type) an operator can mend while the watchdog goes on."""
    try:
        yield
    except BusRefused as error:
        raise BusUnavailable(str(error)) from error
