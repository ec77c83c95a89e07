"""From the outlets of streams to Redis, one message after the other. While Redis is away they hold what they may, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher
from ibstream.runtime.clock import Clock
from ibstream.runtime.supervise import unless
from ibstream_feed.domain.streams import Key
from ibstream_feed.outlets import Outlet, outlet
from ibstream_feed.ports import Item

BATCH_S = 0.05
"""Ticks gather so long before they are written, unless a full batch is there before."""

RETRY_S = 0.5
"""Between two tries to write while Redis is away."""

_log = structlog.get_logger(__name__)


class StreamWriter:
    """Every outlet of this process, and the loop that empties them."""

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._publisher = Publisher(bus)
        self._clock = clock
        self._outlets: dict[Key, Outlet] = {}
        self._kept: Collection[Key] = ()
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()

    def outlet(self, key: Key) -> Outlet:
        """The outlet of a stream. The same one as long as it is kept, so that its epochs follow on each other."""
        found = self._outlets.get(key)
        if found is None:
            found = self._outlets[key] = outlet(*key)
        return found

    def keep(self, keys: Collection[Key]) -> None:
        """Outlets of other streams go, each once it is empty."""
        self._kept = keys
        self._something.set()

    def put(self, one: Outlet, item: Item) -> None:
        """Have an item written."""
        one.put(item)
        self._something.set()
        if one.is_urgent:
            self._urgent.set()

    def interrupt(self, outlets: Iterable[Outlet]) -> None:
        """What comes from now on does not follow on what came so far."""
        now_ns = self._clock.time_ns()
        for one in outlets:
            one.interrupt(now_ns)
        self._something.set()

    async def work(self, stop: asyncio.Event) -> None:
        """Write whenever there is something; with the stop, what is left, as far as Redis takes it."""
        while not stop.is_set():
            await unless(stop, self._something.wait())
            await unless(stop, unless(self._urgent, self._clock.sleep(BATCH_S)))
            self._something.clear()
            self._urgent.clear()
            if not await self._write_all():
                self._something.set()
                await unless(stop, self._clock.sleep(RETRY_S))
        self.interrupt(self._outlets.values())
        await self._write_all()

    async def _write_all(self) -> bool:
        """Write what is due. Returns whether Redis took it."""
        for key, one in list(self._outlets.items()):
            if not await self._write_one(one):
                return False
            if not one.is_empty:
                self._something.set()
            elif key not in self._kept:
                self._outlets.pop(key, None)
        return True

    async def _write_one(self, one: Outlet) -> bool:
        while (message := one.take(self._clock.monotonic(), self._clock.time_ns())) is not None:
            try:
                await self._publisher.publish(one.stream, message)
            except BusUnavailable as error:
                one.not_written()
                _log.warning("feed.stream_not_written", stream=one.stream.name, error=str(error))
                return False
            except BusRefused as error:  # something else lies under its name: the other streams go on
                one.written()
                self.interrupt([one])
                _log.error("feed.stream_refused", stream=one.stream.name, error=str(error))
            else:
                one.written()
        return True
