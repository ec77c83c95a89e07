"""Working a stream off together: each entry is handled by one consumer and acknowledged when its effect is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.bus.reader import BEGINNING, BLOCK_S_MAX, Entry
from ibstream.contracts.base import UndecodableError
from ibstream.contracts.registry import Stream
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError

MAX_DELIVERIES = 5
"""An entry delivered this often without being acknowledged goes to the dead letters: it kills whoever handles it."""

CLAIM_IDLE_S = 30.0
"""An entry that another consumer has held this long is taken over: that consumer is gone or stuck."""

UPKEEP_INTERVAL_S = 10.0
DEAD_LETTERS_KEPT = 100_000
_BATCH = 64
_DEADLINE_MARGIN_S = 3.0
_RETRY = exponential(0.1, 5.0)

_log = structlog.get_logger(__name__)

Handler = Callable[[Entry], Awaitable[None]]
"""Handles one entry. Returning means that the effect is durable: the entry is acknowledged. A `RecoverableError` leaves it
pending, to be handled again in its turn; any other error ends the consumer."""

RawEntry = tuple[bytes, dict[bytes, bytes] | None]


class GroupConsumer:
    """One consumer of a stream's group. At least once, in order per consumer.

    `consumer` must be the same after a restart of the same replica: its pending entries are handled first. An entry of
    unknown type is acknowledged and counted; an undecodable one, or one that was delivered `MAX_DELIVERIES` times, goes to
    `<stream>:dead` with the error, in one transaction with its acknowledgement.
    """

    def __init__(self, bus: Bus, stream: Stream, *, consumer: str, handler: Handler, clock: Clock) -> None:
        self._bus = bus
        self._blocking = bus.reader()
        self._stream = stream
        self._consumer = consumer
        self._handler = handler
        self._clock = clock
        self._codec = stream.codec()
        self._claim_cursor = BEGINNING

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; the entry being handled then is finished and acknowledged first."""
        waits = _RETRY()
        try:
            while not stop.is_set():
                try:
                    await self._session(stop)
                    waits = _RETRY()
                except RecoverableError as error:
                    _log.warning("bus.consumer_retries", stream=self._stream.name, error=str(error))
                    await self._clock.sleep(next(waits))
        finally:
            await self._blocking.close()

    async def _session(self, stop: asyncio.Event) -> None:
        """From own pending entries to new ones, until something fails or `stop` is set."""
        await self._ensure_group()
        await self._handle_own_pending(stop)
        next_upkeep = self._clock.monotonic()
        while not stop.is_set():
            if self._clock.monotonic() >= next_upkeep:
                await self._claim_abandoned(stop)
                await self._trim()
                next_upkeep = self._clock.monotonic() + UPKEEP_INTERVAL_S
            for entry in await self._read(">", block_s=BLOCK_S_MAX / 2):
                await self._handle(entry)

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
            self._stream.group, self._consumer, {self._stream.name: position}, count=_BATCH, block=block_ms
        )
        try:
            raw = await self._blocking.call(command, deadline_s=(block_s or 0) + _DEADLINE_MARGIN_S)
        except BusRefused as error:
            if "NOGROUP" not in str(error):
                raise
            # Somebody deleted the stream or the server came back empty: the next session makes the group again.
            raise BusUnavailable(str(error)) from error
        return cast("list[RawEntry]", raw[0][1]) if raw else []

    async def _handle_own_pending(self, stop: asyncio.Event) -> None:
        """What this consumer was given before it was interrupted, oldest first."""
        position = BEGINNING
        while not stop.is_set():
            entries = await self._read(position, block_s=None)
            if not entries:
                return
            deliveries = await self._deliveries(entries)
            for entry in entries:
                await self._handle(entry, deliveries.get(entry[0], 1))
            position = entries[-1][0].decode()

    async def _deliveries(self, entries: list[RawEntry]) -> dict[bytes, int]:
        command = self._bus.redis.xpending_range(
            self._stream.name, self._stream.group, min=entries[0][0], max=entries[-1][0], count=len(entries)
        )
        pending = await self._bus.call(command)
        return {item["message_id"]: item["times_delivered"] for item in pending}

    async def _claim_abandoned(self, stop: asyncio.Event) -> None:
        """Take over what others have held too long; the cursor goes on where the last round stopped."""
        command = self._bus.redis.xautoclaim(
            self._stream.name,
            self._stream.group,
            self._consumer,
            min_idle_time=round(CLAIM_IDLE_S * 1000),
            start_id=self._claim_cursor,
            count=_BATCH,
        )
        reply = await self._bus.call(command)
        self._claim_cursor = reply[0].decode()
        entries = cast("list[RawEntry]", reply[1])
        if not entries:
            return
        _log.info("bus.entries_claimed", stream=self._stream.name, entries=len(entries))
        deliveries = await self._deliveries(entries)
        for entry in entries:
            if stop.is_set():
                return
            await self._handle(entry, deliveries.get(entry[0], 1))

    async def _handle(self, raw: RawEntry, deliveries: int = 1) -> None:
        entry_id, fields = raw
        if not fields:  # trimmed while it was pending
            metrics.ENTRIES_SKIPPED.labels(self._stream.name).inc()
            await self._acknowledge(entry_id)
            return
        tag = fields.get(b"type", b"")
        if not self._codec.knows(tag):
            metrics.ENTRIES_SKIPPED.labels(self._stream.name).inc()
            _log.warning(
                "bus.unknown_type", stream=self._stream.name, id=entry_id.decode(), type=tag.decode(errors="replace")
            )
            await self._acknowledge(entry_id)
            return
        if deliveries > MAX_DELIVERIES:
            await self._bury(entry_id, fields, f"not handled in {MAX_DELIVERIES} deliveries")
            return
        try:
            message = self._codec.decode(tag, fields.get(b"data", b""))
        except UndecodableError as error:
            await self._bury(entry_id, fields, str(error))
            return
        await self._handler(Entry(self._stream.name, entry_id.decode(), message))
        await self._acknowledge(entry_id)

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
        """Drop entries older than the stream keeps, but never one that is pending or not yet delivered."""
        if not self._stream.keep_s:
            return
        keep_from = f"{max(0, self._clock.time_ns() // 1_000_000 - self._stream.keep_s * 1000)}-0"
        limits = [keep_from, await self._oldest_needed()]
        oldest = min(limits, key=_id_order)
        command = self._bus.redis.xtrim(self._stream.name, minid=oldest, approximate=True)
        await self._bus.call(command)

    async def _oldest_needed(self) -> str:
        redis, name, group = self._bus.redis, self._stream.name, self._stream.group
        pending = await self._bus.call(redis.xpending(name, group))
        if pending["pending"]:
            return cast("bytes", pending["min"]).decode()
        groups = await self._bus.call(redis.xinfo_groups(name))
        mine = next(item for item in groups if item["name"] == group.encode())
        return cast("bytes", mine["last-delivered-id"]).decode()


def _id_order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
