"""What the bus is told of a service: an edge when its connection comes or goes, and a heartbeat while the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable

import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher
from ibstream.contracts.base import Message, encode
from ibstream.contracts.registry import EDGES, HEARTBEAT_TTL_S, Stream, heartbeat_key
from ibstream.contracts.system import Disconnected, Heartbeat, Reconnected
from ibstream.runtime.clock import Clock
from ibstream.runtime.supervise import unless

HEARTBEAT_INTERVAL_S = 1.0

EDGES_KEPT_MAX = 100
"""Edges that wait for Redis to return; of more, the oldest are dropped."""

_DELETE_OURS = """
local beat = redis.call('GET', KEYS[1])
if beat and string.find(beat, ARGV[1], 1, true) then return redis.call('DEL', KEYS[1]) end
return 0
"""

_log = structlog.get_logger(__name__)


class Presence:
    """Writes the heartbeats that `make_beat` makes, and the edges it is told of, whenever Redis is there."""

    def __init__(self, bus: Bus, service: str, make_beat: Callable[[], Heartbeat], *, clock: Clock) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._service = service
        self._make_beat = make_beat
        self._clock = clock
        self._edges: deque[tuple[Stream, Message]] = deque(maxlen=EDGES_KEPT_MAX)
        self._last_edge: type[Message] | None = None
        self._was_ready = False
        self._last_key = ""
        self._changed = asyncio.Event()

    def connected(self, instance: str) -> None:
        """The service is ready; told on `system:<service>:reconnected` unless that is what was told last."""
        if self._last_edge is not Reconnected:
            first = not self._was_ready
            edge = Reconnected(service=self._service, instance=instance, first=first, at=self._clock.now())
            self._tell(EDGES[self._service][1], edge)
        self._was_ready = True

    def disconnected(self, instance: str, reason: str) -> None:
        """The service is not connected; told on `system:<service>:disconnected` unless that is what was told last."""
        if self._last_edge is not Disconnected:
            edge = Disconnected(service=self._service, instance=instance, reason=reason, at=self._clock.now())
            self._tell(EDGES[self._service][0], edge)

    def refresh(self) -> None:
        """Something has changed: the next heartbeat is due now."""
        self._changed.set()

    async def show(self, ending: asyncio.Event) -> None:
        """Write a heartbeat every second and at each change, edges first, until `ending` is set; then leave no trace."""
        is_away = False
        while not ending.is_set():
            self._changed.clear()
            try:
                await self._write_edges()
                await self._write_heartbeat()
            except (BusUnavailable, BusRefused) as error:
                if not is_away:
                    _log.warning("service.redis_away", error=str(error))
                is_away = True
            else:
                if is_away:
                    _log.info("service.redis_back")
                is_away = False
            await unless(ending, unless(self._changed, self._clock.sleep(HEARTBEAT_INTERVAL_S)))
        with contextlib.suppress(BusUnavailable, BusRefused):
            await self._write_edges()
            await self._forget(self._key(self._make_beat()))

    def _tell(self, stream: Stream, edge: Message) -> None:
        self._last_edge = type(edge)
        self._edges.append((stream, edge))

    async def _write_edges(self) -> None:
        while self._edges:
            stream, edge = self._edges[0]
            await self._publisher.publish(stream, edge)
            if self._edges and self._edges[0][1] is edge:  # else it was dropped for a newer one meanwhile
                self._edges.popleft()

    async def _write_heartbeat(self) -> None:
        beat = self._make_beat()
        key = self._key(beat)
        if self._last_key not in ("", key):  # a standby has become active, or the other way round
            await self._forget(self._last_key)
        self._last_key = key
        await self._bus.put(key, encode(beat), ttl_s=HEARTBEAT_TTL_S)

    async def _forget(self, key: str) -> None:
        """Remove a heartbeat of ours; one that a successor has written there meanwhile stays."""
        await self._bus.run_script(_DELETE_OURS, [key], [f'"pid":{os.getpid()},'])

    def _key(self, beat: Heartbeat) -> str:
        return heartbeat_key(self._service, beat.instance)
