"""From the stream to the desk: requests are read ahead of their turn, and acknowledged when their effect is durable.

Read ahead, so that a cancel is seen while a thousand orders still wait for IBKR's message limit. What waits stays pending in the
group; a broker that takes over finds it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice, takewhile

import structlog

from ibstream.bus import Bus, BusUnavailable, Entry, Group
from ibstream.bus.group import OnBuried, RawEntry
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError
from ibstream.runtime.faultpoints import fault_point
from ibstream.runtime.supervise import unless
from ibstream_broker.ports import Fenced

READ_AT_ONCE = 64
"""Entries in one read, as many as are journalled in one write. A request of ordinary size has half a kilobyte."""

LOOKED_AT_ONCE = 1000
"""Ids of pending entries in one look; they are small."""

BLOCK_S = 1.0
"""How long a read waits in the server; as long can a stop take."""

TRUSTED_DELIVERIES = 1
"""An entry delivered more often than this may have killed the broker: it is handled alone, so that no other one is counted
against with it."""

TURNS_LEFT = 2
"""Turns of the event loop that are left to the desk before the next read: one to take up what has come, one for its write to
go out."""

TRIM_INTERVAL_S = 10.0
_RETRY = exponential(0.1, 5.0)

_log = structlog.get_logger(__name__)

Take = Callable[[Sequence[Entry]], Awaitable[None]]
"""Takes requests in; each is told to `Intake.done` once its effect is durable."""


class Intake:
    """Reads `orders:requests` as one consumer of its group, and keeps count of what is on its way."""

    def __init__(
        self,
        bus: Bus,
        take: Take,
        *,
        consumer: str,
        clock: Clock,
        held: Callable[[], bool] = lambda: True,
        on_buried: OnBuried | None = None,
    ) -> None:
        """`held`: whether the slot is still ours. Whoever reads without it takes requests from the broker that holds it.

        `on_buried` hears of a readable request that goes to the dead letters, so that whoever asked hears of it, too.
        """
        self._group = Group(bus, ORDER_REQUESTS, consumer=consumer, on_buried=on_buried)
        self._take = take
        self._clock = clock
        self._held = held
        self._on_its_way: set[str] = set()
        self._done: list[str] = []
        self._any_done = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._next_trim = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set. What is on its way then stays pending, unless it is done in time."""
        try:
            async with asyncio.TaskGroup() as group:
                acknowledging = group.create_task(self._acknowledge_for_ever(), name="acknowledge")
                await self._sessions(stop)
                acknowledging.cancel()
        finally:
            await self._group.close()

    async def _sessions(self, stop: asyncio.Event) -> None:
        waits = _RETRY()
        while not stop.is_set():
            try:
                await self._read(stop)
                waits = _RETRY()
            except Fenced:
                raise
            except RecoverableError as error:
                _log.warning("broker.intake_retries", error=str(error))
                await unless(stop, self._clock.sleep(next(waits)))

    def done(self, entry_id: str) -> None:
        """The effect of a request is durable; it may be acknowledged."""
        self._done.append(entry_id)
        self._any_done.set()

    async def flush(self) -> None:
        """Acknowledge what is done; raise as `Bus.call` does."""
        self._any_done.clear()
        done, self._done = self._done, []
        if not done:
            return
        try:
            await self._group.acknowledge(done)
        except RecoverableError:
            self._done += done
            raise
        self._on_its_way.difference_update(done)
        self._acknowledged.set()
        fault_point("request.acknowledged")

    async def _read(self, stop: asyncio.Event) -> None:
        await self._group.ensure()
        await self._take_pending(stop)
        while not stop.is_set():
            if not self._held():
                raise Fenced("the slot has passed on: what is read now would be handled by nobody")
            await self._hand_on([(raw, 1) for raw in await self._group.read_new(block_s=BLOCK_S, count=READ_AT_ONCE)])
            if self._clock.monotonic() >= self._next_trim:
                await self._group.trim(self._clock)
                await self._take_pending(stop)  # a broker that woke up late may have been given some, and dropped them
                self._next_trim = self._clock.monotonic() + TRIM_INTERVAL_S

    async def _take_pending(self, stop: asyncio.Event) -> None:
        """What this consumer was given before it was interrupted, oldest first; an entry under suspicion alone."""
        position = BEGINNING
        while not stop.is_set():
            pending = await self._group.pending_after(position, count=LOOKED_AT_ONCE)
            if not pending:
                return
            known = [entry_id for entry_id, _ in takewhile(lambda one: one[0] in self._on_its_way, pending)]
            if known:  # Redis was away, and we were not: to be delivered once more would count against them
                position = known[-1]
                continue
            trusted = list(islice(takewhile(self._is_trusted, pending), READ_AT_ONCE))
            if not trusted:
                await self._until_all_done(stop)  # the trusted ones before it
            entries = await self._group.read_pending(position, count=max(len(trusted), 1))
            await self._hand_on([(raw, times + 1) for raw, (_, times) in zip(entries, pending, strict=False)])
            position = entries[-1][0].decode() if entries else pending[-1][0]
            if not trusted:
                await self._until_all_done(stop)

    def _is_trusted(self, pending: tuple[str, int]) -> bool:
        entry_id, times_delivered = pending
        return times_delivered <= TRUSTED_DELIVERIES and entry_id not in self._on_its_way

    async def _until_all_done(self, stop: asyncio.Event) -> None:
        """Until nothing is on its way; who acknowledges it is another task."""
        while self._on_its_way and not stop.is_set():
            self._acknowledged.clear()
            await unless(stop, self._acknowledged.wait())

    async def _hand_on(self, raws: Sequence[tuple[RawEntry, int]]) -> None:
        entries = []
        for raw, deliveries in raws:
            if raw[0].decode() in self._on_its_way:  # read again after Redis was away
                continue
            entry = await self._group.open(raw, deliveries)
            if entry is not None:
                entries.append(entry)
        if entries:
            self._on_its_way.update(entry.id for entry in entries)
            fault_point("request.taken")
            await self._take(entries)
            for _ in range(TURNS_LEFT):
                await self._clock.sleep(0)

    async def _acknowledge_for_ever(self) -> None:
        waits = _RETRY()
        while True:
            await self._any_done.wait()
            try:
                await self.flush()
                waits = _RETRY()
            except BusUnavailable as error:
                _log.warning("broker.not_acknowledged", requests=len(self._done), error=str(error))
                self._any_done.set()
                await self._clock.sleep(next(waits))
