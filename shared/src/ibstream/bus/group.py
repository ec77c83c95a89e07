"""Working a stream off together: each entry is handled by one consumer and acknowledged when its effect is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.bus.reader import BEGINNING, Entry
from ibstream.bus.trimming import trim_handled
from ibstream.contracts.base import UndecodableError
from ibstream.contracts.registry import Stream
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import IbstreamError, RecoverableError
from ibstream.runtime.supervise import STABLE_AFTER_S, unless

MAX_DELIVERIES = 5
"""An entry delivered this often without being acknowledged goes to the dead letters: it kills whoever handles it."""

CLAIM_IDLE_S = 30.0
"""An entry that another consumer has held this long without a sign of life is taken over: that consumer is gone."""

UPKEEP_INTERVAL_S = 10.0
BLOCK_S = 1.0
"""How long a read waits in the server; as long does a stop, because an interrupted read can leave an entry behind."""

DEAD_LETTERS_KEPT = 100_000
_SIGNS_OF_LIFE = 3
"""How many signs of life an entry in hand gets within the time after which it would be taken over."""

_DEADLINE_MARGIN_S = 3.0
_RETRY = exponential(0.1, 5.0)
_GONE = ("NOGROUP", "no such key", "UNBLOCKED")
"""What Redis says when the stream or its group is not there (any more)."""

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

RawEntry = tuple[bytes, dict[bytes, bytes] | None]


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
        self._blocking = bus.reader()
        self._stream = stream
        self._consumer = consumer
        self._handler = handler
        self._clock = clock
        self._max_deliveries = max_deliveries
        self._claim_idle_s = claim_idle_s
        self._upkeep_interval_s = upkeep_interval_s
        self._block_s = block_s
        self._codec = stream.codec()
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
            await self._blocking.close()

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
        await self._ensure_group()
        await self._handle_own_pending(stop)
        next_upkeep = self._clock.monotonic()
        while not stop.is_set():
            if self._clock.monotonic() >= next_upkeep:
                await self._claim_abandoned(stop)
                await self._trim()
                next_upkeep = self._clock.monotonic() + self._upkeep_interval_s
            for entry in await self._read(">", block_s=self._block_s):
                await self._handle(entry, 1, stop)

    async def _ensure_group(self) -> None:
        command = self._bus.redis.xgroup_create(self._stream.name, self._stream.group, id=BEGINNING, mkstream=True)
        try:
            await self._bus.call(command)
        except BusRefused as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self, position: str, *, block_s: float | None) -> list[RawEntry]:
        block_ms = None if block_s is None else max(1, round(block_s * 1000))
        command = self._blocking.redis.xreadgroup(
            self._stream.group, self._consumer, {self._stream.name: position}, count=1, block=block_ms
        )
        raw = await _on_stream(self._blocking.call(command, deadline_s=(block_s or 0) + _DEADLINE_MARGIN_S))
        return cast("list[RawEntry]", raw[0][1]) if raw else []

    async def _handle_own_pending(self, stop: asyncio.Event) -> None:
        """What this consumer was given before it was interrupted, oldest first."""
        position = BEGINNING
        while not stop.is_set():
            entries = await self._read(position, block_s=None)
            if not entries:
                return
            for entry in entries:
                await self._handle(entry, await self._deliveries(entry), stop)
                position = entry[0].decode()

    async def _deliveries(self, entry: RawEntry) -> int:
        command = self._bus.redis.xpending_range(
            self._stream.name, self._stream.group, min=entry[0], max=entry[0], count=1
        )
        pending = await _on_stream(self._bus.call(command))
        return cast("int", pending[0]["times_delivered"]) if pending else 1

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
            position, claimed, trimmed = await _on_stream(self._bus.call(command))
            for entry_id in trimmed:
                self._skipped(entry_id, "trimmed while it was pending")
            for entry in claimed:
                _log.info("bus.entry_claimed", stream=self._stream.name, id=entry[0].decode())
                await self._handle(entry, await self._deliveries(entry), stop)
            cursor = position.decode()
            if cursor == BEGINNING:
                return

    async def _handle(self, raw: RawEntry, deliveries: int, stop: asyncio.Event) -> None:
        entry_id, fields = raw
        if not fields:
            self._skipped(entry_id, "trimmed while it was pending")
            await self._acknowledge(entry_id)
            return
        tag = fields.get(b"type", b"")
        if not self._codec.knows(tag):
            self._skipped(entry_id, f"unknown type {tag.decode(errors='replace')}")
            await self._acknowledge(entry_id)
            return
        if deliveries > self._max_deliveries:
            await self._bury(entry_id, fields, f"not handled in {self._max_deliveries} deliveries")
            return
        try:
            message = self._codec.decode(tag, fields.get(b"data", b""))
        except UndecodableError as error:
            await self._bury(entry_id, fields, str(error))
            return
        await self._work(entry_id, Entry(self._stream.name, entry_id.decode(), message), stop)

    async def _work(self, entry_id: bytes, entry: Entry, stop: asyncio.Event) -> None:
        """Handle and acknowledge, each until it works; what is not done when `stop` is set stays pending."""
        self._in_hand = entry_id
        try:
            if await self._until_done(lambda: self._handler(entry), entry.id, stop):
                await self._until_done(lambda: self._acknowledge(entry_id), entry.id, stop)
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

    def _skipped(self, entry_id: bytes, reason: str) -> None:
        metrics.ENTRIES_SKIPPED.labels(self._stream.name).inc()
        _log.warning("bus.entry_skipped", stream=self._stream.name, id=entry_id.decode(), reason=reason)

    async def _acknowledge(self, entry_id: bytes) -> None:
        await self._bus.call(self._bus.redis.xack(self._stream.name, self._stream.group, entry_id))

    async def _bury(self, entry_id: bytes, fields: dict[bytes, bytes], error: str) -> None:
        """To the dead letters, with all its fields and the error; and acknowledged."""
        letter = {**fields, b"error": error.encode(), b"source_id": entry_id, b"group": self._stream.group.encode()}
        pipeline = self._bus.redis.pipeline(transaction=True)
        pipeline.xadd(self._stream.dead, cast("dict[Any, Any]", letter), maxlen=DEAD_LETTERS_KEPT, approximate=True)
        pipeline.xack(self._stream.name, self._stream.group, entry_id)
        await self._bus.call(pipeline.execute())
        metrics.DEAD_LETTERS.labels(self._stream.name).inc()
        _log.error("bus.dead_letter", stream=self._stream.name, id=entry_id.decode(), error=error)

    async def _trim(self) -> None:
        await _on_stream(trim_handled(self._bus, self._stream, self._clock))


async def _on_stream(command: Awaitable[Any]) -> Any:
    """A stream or group that is gone (deleted, or the server came back empty) is made again by the next session."""
    try:
        return await command
    except BusRefused as error:
        if not any(sign in str(error) for sign in _GONE):
            raise
        raise BusUnavailable(str(error)) from error
