"""From the outlets of streams to Redis, one message after the other. While Redis is away they hold what they may, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable, Publisher
from ibstream.runtime.clock import Clock
from ibstream.runtime.supervise import unless
from ibstream_feed.domain.streams import Key
from ibstream_feed.outlets import Outlet, outlet
from ibstream_feed.ports import Item

BATCH_S = 0.05
"""What comes gathers so long before it is written: one message of each stream, then it gathers again."""

RETRY_S = 0.5
"""Between two tries to write while Redis is away."""

LAST_ROUNDS_MAX = 1_000
"""When streams are finished, so many messages of each are written, at most: more than an outlet holds."""

_log = structlog.get_logger(__name__)


class StreamWriter:
    """Every outlet of this process, and the loop that empties them."""

    def __init__(self, bus: Bus, *, holds: Callable[[str], bool], clock: Clock) -> None:
        """`holds` says of a symbol whether this process may write what is of it now. What it may not write waits."""
        self._publisher = Publisher(bus)
        self._holds = holds
        self._clock = clock
        self._outlets: dict[Key, Outlet] = {}
        self._kept: Collection[Key] = ()
        self._something = asyncio.Event()
        self._turn = asyncio.Lock()
        """Of whoever has taken a message."""
        self._under_way = ""
        """The symbol whose message that is."""
        self._is_torn = asyncio.Event()
        """Set once it must not be written any more."""

    def outlet(self, key: Key, *, epoch_after: int) -> Outlet:
        """The outlet of a stream, whose epochs are greater than `epoch_after`. The same one as long as it is kept, so that its
        epochs follow on each other."""
        found = self._outlets.get(key)
        if found is None:
            found = self._outlets[key] = outlet(*key, epoch_after=epoch_after)
        return found

    def keep(self, keys: Collection[Key]) -> None:
        """Outlets of other streams go, each once it is empty."""
        self._kept = keys
        self._something.set()

    def put(self, one: Outlet, item: Item) -> None:
        """Have an item written."""
        one.put(item)
        self._something.set()

    def interrupt(self, outlets: Iterable[Outlet]) -> None:
        """What comes from now on does not follow on what came so far."""
        now_ns = self._clock.time_ns()
        for one in outlets:
            one.interrupt(now_ns)
        self._something.set()

    def drop(self, is_dropped: Callable[[str], bool]) -> None:
        """Nothing more is written of these symbols, not even what waits."""
        self._outlets = {key: one for key, one in self._outlets.items() if not is_dropped(key[1])}
        if is_dropped(self._under_way):
            self._is_torn.set()

    async def finish(self, is_over: Callable[[str], bool]) -> None:
        """Write what is left of these symbols and that they are not kept up any more, as far as Redis takes it; then drop them.

        Nothing of them may be put meanwhile.
        """
        going = {key: one for key, one in self._outlets.items() if is_over(key[1])}
        async with self._turn:  # what is under way may be one of theirs
            self.interrupt(going.values())
        for _ in range(LAST_ROUNDS_MAX):
            if all(one.is_empty for one in going.values()) or not await self._write_each(going):
                break
        self.drop(is_over)

    async def work(self, stop: asyncio.Event) -> None:
        """Write whenever there is something, until it is told to stop."""
        while not stop.is_set():
            await unless(stop, self._something.wait())
            await unless(stop, self._clock.sleep(BATCH_S))
            self._something.clear()
            if not await self._write_each(dict(self._outlets)):
                self._something.set()
                await unless(stop, self._clock.sleep(RETRY_S))
            self._forget_what_is_not_kept()

    def _forget_what_is_not_kept(self) -> None:
        self._outlets = {key: one for key, one in self._outlets.items() if key in self._kept or not one.is_empty}
        if any(not one.is_empty for one in self._outlets.values()):
            self._something.set()

    async def _write_each(self, outlets: Mapping[Key, Outlet]) -> bool:
        """Write one message of each, so that none waits for another's backlog. Returns whether Redis took them."""
        for key, one in outlets.items():
            async with self._turn:
                if not await self._write_one(key, one):
                    return False
        return True

    async def _write_one(self, key: Key, one: Outlet) -> bool:
        if self._outlets.get(key) is not one or not self._holds(key[1]):
            return True
        message = one.take(self._clock.monotonic(), self._clock.time_ns())
        if message is None:
            return True
        self._under_way = key[1]
        self._is_torn.clear()
        try:
            await unless(self._is_torn, self._publisher.publish(one.stream, message))
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
