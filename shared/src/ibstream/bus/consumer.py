"""Working a stream off together: each entry is handled by one consumer and acknowledged when its effect is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ibstream.bus.connection import Bus
from ibstream.bus.group import MAX_DELIVERIES, Group, RawEntry, on_stream
from ibstream.bus.reader import BEGINNING, Entry
from ibstream.contracts.registry import Stream
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import IbstreamError, RecoverableError
from ibstream.runtime.supervise import STABLE_AFTER_S, unless

CLAIM_IDLE_S = 30.0
"""An entry that another consumer has held this long without a sign of life is taken over: that consumer is gone."""

UPKEEP_INTERVAL_S = 10.0
BLOCK_S = 1.0
"""How long a read waits in the server; as long does a stop, because an interrupted read can leave an entry behind."""

_SIGNS_OF_LIFE = 3
"""How many signs of life an entry in hand gets within the time after which it would be taken over."""

_RETRY = exponential(0.1, 5.0)

_KEEP = """
local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #mine == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
"""

_log = structlog.get_logger(__name__)

Handler = Callable[[Entry], Awaitable[None]]
"""Handles one entry. Returning means that the effect is durable: the entry is acknowledged. A `RecoverableError` leaves it
pending, and it is handled again, before any later one, until it works; any other error ends the consumer."""


class GroupConsumer:
    """One consumer of a stream's group. At least once, in order per consumer, one entry in hand at a time.

    One at a time, so that a replica hoards nothing that an idle one could do, and so that a crash counts against the entry
    that was in hand and no other. While it is in hand, however long, other consumers are kept from taking it over.

    `consumer` must be the same after a restart of the same replica: its pending entries are handled first. An entry of
    unknown type is acknowledged and counted; an undecodable one, or one that was delivered `max_deliveries` times and never
    acknowledged, goes to `<stream>:dead` with the error, in one transaction with its acknowledgement. Tries that ended in a
    `RecoverableError` are no deliveries.
    """

    def __init__(
        self,
        bus: Bus,
        stream: Stream,
        *,
        consumer: str,
        handler: Handler,
        clock: Clock,
        max_deliveries: int = MAX_DELIVERIES,
        claim_idle_s: float = CLAIM_IDLE_S,
        upkeep_interval_s: float = UPKEEP_INTERVAL_S,
        block_s: float = BLOCK_S,
    ) -> None:
        self._bus = bus
        self._group = Group(bus, stream, consumer=consumer, max_deliveries=max_deliveries)
        self._stream = stream
        self._consumer = consumer
        self._handler = handler
        self._clock = clock
        self._claim_idle_s = claim_idle_s
        self._upkeep_interval_s = upkeep_interval_s
        self._block_s = block_s
        self._in_hand: bytes | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; the entry being handled then is finished and acknowledged first.

        Outlasts every `RecoverableError`; raises what else the handler raises, and `BusRefused` and `ConfigurationError`.
        """
        keeping = asyncio.create_task(self._keep_in_hand(), name=f"keep-{self._stream.name}")
        try:
            await self._sessions(stop)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await self._group.close()

    async def _sessions(self, stop: asyncio.Event) -> None:
        waits = _RETRY()
        while not stop.is_set():
            started = self._clock.monotonic()
            try:
                await self._session(stop)
            except RecoverableError as error:
                _log.warning("bus.consumer_retries", stream=self._stream.name, error=str(error))
                if self._clock.monotonic() - started >= STABLE_AFTER_S:
                    waits = _RETRY()
                await unless(stop, self._clock.sleep(next(waits)))

    async def _session(self, stop: asyncio.Event) -> None:
        """From own pending entries to new ones, until something fails or `stop` is set."""
        await self._group.ensure()
        await self._handle_own_pending(stop)
        next_upkeep = self._clock.monotonic()
        while not stop.is_set():
            if self._clock.monotonic() >= next_upkeep:
                await self._claim_abandoned(stop)
                await self._group.trim(self._clock)
                next_upkeep = self._clock.monotonic() + self._upkeep_interval_s
            for entry in await self._group.read_new(block_s=self._block_s):
                await self._handle(entry, 1, stop)

    async def _handle_own_pending(self, stop: asyncio.Event) -> None:
        """What this consumer was given before it was interrupted, oldest first."""
        position = BEGINNING
        while not stop.is_set():
            entries = await self._group.read_pending(position)
            if not entries:
                return
            for entry in entries:
                await self._handle(entry, await self._group.deliveries(entry), stop)
                position = entry[0].decode()

    async def _claim_abandoned(self, stop: asyncio.Event) -> None:
        """Take over, one by one, what others have held too long, until the cursor has been through all that is pending."""
        cursor = BEGINNING
        while not stop.is_set():
            command = self._bus.redis.xautoclaim(
                self._stream.name,
                self._stream.group,
                self._consumer,
                min_idle_time=round(self._claim_idle_s * 1000),
                start_id=cursor,
                count=1,
            )
            position, claimed, trimmed = await on_stream(self._bus.call(command))
            for entry_id in trimmed:
                self._group.skipped(entry_id, "trimmed while it was pending")
            for entry in claimed:
                _log.info("bus.entry_claimed", stream=self._stream.name, id=entry[0].decode())
                await self._handle(entry, await self._group.deliveries(entry), stop)
            cursor = position.decode()
            if cursor == BEGINNING:
                return

    async def _handle(self, raw: RawEntry, deliveries: int, stop: asyncio.Event) -> None:
        entry = await self._group.open(raw, deliveries)
        if entry is not None:
            await self._work(raw[0], entry, stop)

    async def _work(self, entry_id: bytes, entry: Entry, stop: asyncio.Event) -> None:
        """Handle and acknowledge, each until it works; what is not done when `stop` is set stays pending."""
        self._in_hand = entry_id
        try:
            if await self._until_done(lambda: self._handler(entry), entry.id, stop):
                await self._until_done(lambda: self._group.acknowledge([entry_id]), entry.id, stop)
        finally:
            self._in_hand = None

    async def _until_done(self, action: Callable[[], Awaitable[None]], entry_id: str, stop: asyncio.Event) -> bool:
        waits = _RETRY()
        while True:
            try:
                await action()
            except RecoverableError as error:
                _log.warning("bus.entry_retried", stream=self._stream.name, id=entry_id, error=str(error))
            else:
                return True
            await unless(stop, self._clock.sleep(next(waits)))
            if stop.is_set():
                return False

    async def _keep_in_hand(self) -> None:
        """Give signs of life for the entry in hand, which its delivery count does not feel."""
        while True:
            await self._clock.sleep(self._claim_idle_s / _SIGNS_OF_LIFE)
            entry_id = self._in_hand
            if entry_id is None:
                continue
            try:
                kept = await self._bus.run_script(
                    _KEEP, [self._stream.name], [self._stream.group, self._consumer, entry_id]
                )
            except IbstreamError as error:  # what is wrong with the bus, the consumer itself finds out
                _log.warning("bus.entry_not_kept", stream=self._stream.name, id=entry_id.decode(), error=str(error))
                continue
            if not kept and self._in_hand == entry_id:
                _log.warning("bus.entry_taken_over", stream=self._stream.name, id=entry_id.decode())
