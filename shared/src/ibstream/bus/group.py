"""A stream's group as one consumer has it: reading, acknowledging, burying; what is done with the entries is not known here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

import structlog

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.bus.reader import BEGINNING, Entry
from ibstream.bus.trimming import trim_handled
from ibstream.contracts.base import Message, UndecodableError
from ibstream.contracts.registry import Stream
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock

MAX_DELIVERIES = 5
"""An entry delivered this often without being acknowledged goes to the dead letters: it kills whoever handles it."""

BURIAL_TRIES = 3
"""In so many further deliveries it is tried to tell of an entry that is to be buried: the telling, too, may kill who does it."""

DATA_BYTES_MAX = 1024 * 1024
"""Longer `data` is not decoded: the longest message of this system is far below it."""

DEAD_LETTER_BYTES_MAX = 64 * 1024
"""How much of `data` a dead letter keeps; and how much of all other fields together, those that fit."""

DEAD_LETTERS_KEPT = 100_000
_DEADLINE_MARGIN_S = 3.0
_GONE = ("NOGROUP", "no such key", "UNBLOCKED")
"""What Redis says when the stream or its group is not there (any more)."""

_log = structlog.get_logger(__name__)

RawEntry = tuple[bytes, dict[bytes, bytes] | None]

OnBuried = Callable[[Entry, str], Awaitable[None]]
"""Told of an entry that can be read and was delivered too often, and of the error, before it goes to the dead letters. Returning
means that the effect is durable. Where it raises, nothing is buried, and it is told in the next delivery again."""


class Group:
    """One consumer's hold on the group of a stream.

    `consumer` must be the same after a restart of the same replica: it finds its pending entries by it. A stream or group
    that is gone raises `BusUnavailable` and is made again by `ensure`. Close it when done: it reads on a connection of its own.
    """

    def __init__(
        self,
        bus: Bus,
        stream: Stream,
        *,
        consumer: str,
        max_deliveries: int = MAX_DELIVERIES,
        on_buried: OnBuried | None = None,
    ) -> None:
        """`on_buried`: who tells the sender of an entry that nobody could handle; at most `BURIAL_TRIES` times, then it is buried
        without."""
        self._bus = bus
        self._blocking = bus.reader()
        self.stream = stream
        self.consumer = consumer
        self._max_deliveries = max_deliveries
        self._on_buried = on_buried
        self._codec = stream.codec()

    async def close(self) -> None:
        """Close the reading connection."""
        await self._blocking.close()

    async def ensure(self) -> None:
        """Make the group, from the stream's beginning, if it is not there."""
        command = self._bus.redis.xgroup_create(self.stream.name, self.stream.group, id=BEGINNING, mkstream=True)
        try:
            await self._bus.call(command)
        except BusRefused as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def read_new(self, *, block_s: float, count: int = 1) -> list[RawEntry]:
        """Entries that nobody was given yet; empty after `block_s` seconds without any."""
        return await self._read(">", count=count, block_ms=max(1, round(block_s * 1000)), deadline_s=block_s)

    async def read_pending(self, after: str, *, count: int = 1) -> list[RawEntry]:
        """What this consumer was given before and has not acknowledged, oldest first. Counts as another delivery."""
        return await self._read(after, count=count, block_ms=None, deadline_s=0)

    async def _read(self, position: str, *, count: int, block_ms: int | None, deadline_s: float) -> list[RawEntry]:
        block = () if block_ms is None else ("BLOCK", block_ms)
        group = ("GROUP", self.stream.group, self.consumer)
        command = ("XREADGROUP", *group, "COUNT", count, *block, "STREAMS", self.stream.name, position)
        raw = await on_stream(self._blocking.ask(*command, deadline_s=deadline_s + _DEADLINE_MARGIN_S))
        return [(entry_id, _fields(flat)) for entry_id, flat in raw[0][1]] if raw else []

    async def pending_after(self, after: str, *, count: int) -> list[tuple[str, int]]:
        """This consumer's next pending entries: id, and how often delivered so far. Does not count as a delivery."""
        command = self._bus.redis.xpending_range(
            self.stream.name, self.stream.group, min=f"({after}", max="+", count=count, consumername=self.consumer
        )
        found = await on_stream(self._bus.call(command))
        return [(one["message_id"].decode(), cast("int", one["times_delivered"])) for one in found]

    async def deliveries(self, entry: RawEntry) -> int:
        """How often an entry was delivered, this time included."""
        command = self._bus.redis.xpending_range(
            self.stream.name, self.stream.group, min=entry[0], max=entry[0], count=1
        )
        pending = await on_stream(self._bus.call(command))
        return cast("int", pending[0]["times_delivered"]) if pending else 1

    async def open(self, raw: RawEntry, deliveries: int) -> Entry | None:
        """The entry, decoded; None where there is nothing to handle, and what becomes of it is done already.

        One that was trimmed or is of unknown type is counted and acknowledged; one that cannot be read, or was delivered too
        often, goes to the dead letters.
        """
        entry_id, fields = raw
        if not fields:
            await self._skip(entry_id, "trimmed while it was pending")
            return None
        tag = fields.get(b"type", b"")
        if not self._codec.knows(tag):
            await self._skip(entry_id, f"unknown type {tag[:64].decode(errors='replace')}")
            return None
        over = deliveries - self._max_deliveries
        error = f"not handled in {self._max_deliveries} deliveries"
        if over > (BURIAL_TRIES if self._on_buried is not None else 0):
            await self._bury(entry_id, fields, error + (", and not told" if self._on_buried is not None else ""))
            return None
        try:
            entry = Entry(self.stream.name, entry_id.decode(), self._decode(tag, fields.get(b"data", b"")))
        except UndecodableError as unreadable:
            await self._bury(entry_id, fields, str(unreadable))
            return None
        if over > 0 and self._on_buried is not None:
            await self._on_buried(entry, error)
            await self._bury(entry_id, fields, error)
            return None
        return entry

    def _decode(self, tag: bytes, data: bytes) -> Message:
        if len(data) > DATA_BYTES_MAX:
            raise UndecodableError(f"data of {len(data):,} bytes: more than {DATA_BYTES_MAX:,} are not read")
        return self._codec.decode(tag, data)

    async def acknowledge(self, entry_ids: Collection[str | bytes]) -> None:
        """Tell Redis that the effect of these is durable."""
        await self._bus.call(self._bus.redis.xack(self.stream.name, self.stream.group, *entry_ids))

    async def trim(self, clock: Clock) -> None:
        """Drop what is old and handled."""
        await on_stream(trim_handled(self._bus, self.stream, clock))

    def skipped(self, entry_id: bytes, reason: str) -> None:
        """Count an entry that nobody can handle."""
        metrics.ENTRIES_SKIPPED.labels(self.stream.name).inc()
        _log.warning("bus.entry_skipped", stream=self.stream.name, id=entry_id.decode(), reason=reason)

    async def _skip(self, entry_id: bytes, reason: str) -> None:
        self.skipped(entry_id, reason)
        await self.acknowledge([entry_id])

    async def _bury(self, entry_id: bytes, fields: dict[bytes, bytes], error: str) -> None:
        """To the dead letters, with its fields and the error; and acknowledged."""
        about = {b"error": error.encode(), b"source_id": entry_id, b"group": self.stream.group.encode()}
        letter = {**_shortened(fields), **about}
        pipeline = self._bus.redis.pipeline(transaction=True)
        pipeline.xadd(self.stream.dead, cast("dict[Any, Any]", letter), maxlen=DEAD_LETTERS_KEPT, approximate=True)
        pipeline.xack(self.stream.name, self.stream.group, entry_id)
        await self._bus.call(pipeline.execute())
        metrics.DEAD_LETTERS.labels(self.stream.name).inc()
        _log.error("bus.dead_letter", stream=self.stream.name, id=entry_id.decode(), error=error)


def _shortened(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The type, the beginning of the data and how long it was, and of the other fields those that there is room for."""
    data = fields.get(b"data", b"")
    kept: dict[bytes, bytes] = {}
    for name in (b"type", b"data"):
        if name in fields:
            kept[name] = fields[name][:DEAD_LETTER_BYTES_MAX]
    kept[b"data_bytes"] = str(len(data)).encode()
    room = DEAD_LETTER_BYTES_MAX
    for name, value in fields.items():
        if name not in kept and len(name) + len(value) <= room:
            kept[name] = value
            room -= len(name) + len(value)
    return kept


def _fields(flat: list[bytes] | None) -> dict[bytes, bytes]:
    """Of an entry that was trimmed while it was pending there are none."""
    pairs = iter(flat or ())
    return dict(zip(pairs, pairs, strict=True))


async def on_stream(command: Awaitable[Any]) -> Any:
    """A stream or group that is gone (deleted, or the server came back empty) is made again by the next session."""
    try:
        return await command
    except BusRefused as error:
        if not any(sign in str(error) for sign in _GONE):
            raise
        raise BusUnavailable(str(error)) from error
