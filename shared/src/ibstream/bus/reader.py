"""Reading streams for oneself: every reader has its own position, nobody acknowledges anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import structlog

from ibstream.bus.connection import Bus, BusRefused
from ibstream.contracts.base import ContractError, Message, UndecodableError
from ibstream.contracts.registry import Stream
from ibstream.runtime import metrics

BEGINNING = "0-0"
"""Read from the oldest entry kept."""

LATEST = "$"
"""Read what is written from now on. Resolved to a concrete id once: Redis would resolve it anew with every read, and
entries between two reads would be lost."""

BLOCK_S_MAX = 2.0
"""The longest a read blocks in the server, so that a dead connection shows soon after."""

_DEADLINE_MARGIN_S = 3.0

_log = structlog.get_logger(__name__)

RawEntries = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as read: where it stood and what it says."""

    stream: str
    id: str
    message: Message


class StreamReader:
    """Reads one or more streams on a connection of its own. Close it when done, or use it as a context manager."""

    def __init__(self, bus: Bus, streams: Mapping[Stream, str]) -> None:
        self._bus = bus.reader()
        self._positions = {stream.name: position for stream, position in streams.items()}
        self._codecs = {stream.name: stream.codec() for stream in streams}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._bus.close()

    async def start(self) -> None:
        """Fix the positions that were given as `LATEST`. Entries written after this are read; call it before asking for any."""
        for name, position in self._positions.items():
            if position == LATEST:
                self._positions[name] = await self._last_id(name)

    async def read(self, *, block_s: float = BLOCK_S_MAX, count: int = 1000) -> list[Entry]:
        """The next entries, at most `count` per stream; empty after `block_s` seconds without any.

        An entry of unknown type is skipped and counted; an undecodable one too, with a line in the log (it stays in the
        stream, so nothing is lost: dead letters are the business of the group that owns a stream).
        """
        await self.start()
        block_s = min(block_s, BLOCK_S_MAX)
        streams: dict[Any, Any] = dict(self._positions)
        command = self._bus.redis.xread(streams, count=count, block=max(1, round(block_s * 1000)))
        raw = await self._bus.call(command, deadline_s=block_s + _DEADLINE_MARGIN_S)
        return list(self._decoded(raw))

    def _decoded(self, raw: RawEntries) -> Iterable[Entry]:
        for name_bytes, entries in raw:
            name = name_bytes.decode()
            for entry_id, fields in entries:
                self._positions[name] = entry_id.decode()
                message = self._decode(name, entry_id, fields)
                if message is not None:
                    yield Entry(name, entry_id.decode(), message)

    def _decode(self, name: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Message | None:
        codec, tag = self._codecs[name], fields.get(b"type", b"")
        if not codec.knows(tag):
            metrics.ENTRIES_SKIPPED.labels(metrics.stream_label(name)).inc()
            return None
        try:
            return codec.decode(tag, fields.get(b"data", b""))
        except UndecodableError as error:
            metrics.ENTRIES_SKIPPED.labels(metrics.stream_label(name)).inc()
            _log.warning("bus.undecodable_entry", stream=name, id=entry_id.decode(), error=str(error))
            return None

    async def _last_id(self, name: str) -> str:
        try:
            info = await self._bus.call(self._bus.redis.xinfo_stream(name))
        except BusRefused as error:
            if "no such key" not in str(error):
                raise
            return BEGINNING  # all of a stream that does not exist yet is still to come
        return cast("bytes", info["last-generated-id"]).decode()


def entry_order(entry_id: str) -> tuple[int, int]:
    """By what entry ids are ordered: their text is not."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


async def last_message(bus: Bus, stream: Stream) -> Message | None:
    """The newest message of a stream; None where there is none that this version can read."""
    entries: list[tuple[bytes, dict[bytes, bytes]]] = await bus.call(bus.redis.xrevrange(stream.name, count=1))
    if not entries:
        return None
    fields = entries[0][1]
    try:
        return stream.codec().decode(fields.get(b"type", b""), fields.get(b"data", b""))
    except ContractError:
        return None
