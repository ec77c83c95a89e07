"""Writing entries. A write whose reply was lost is never repeated here: only its caller knows whether it may be."""

from __future__ import annotations

from typing import cast

from ibstream.bus.connection import Bus
from ibstream.contracts.base import Message, encode, type_of
from ibstream.contracts.registry import Stream
from ibstream.runtime import metrics


class Publisher:
    """Writes messages to streams of one bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, stream: Stream, message: Message) -> str:
        """Append `message` and return the entry's id.

        Trims as the stream's definition says. Raises `BusUnavailable` when it is not known to have been written, and
        `BusRefused` when it was not.
        """
        redis = self._bus.redis
        add = redis.xadd(
            stream.name,
            {"type": type_of(message), "data": encode(message)},
            maxlen=stream.keep_entries or None,
            approximate=True,
        )
        entry_id = cast("bytes", await self._bus.call(add))
        metrics.ENTRIES_PUBLISHED.labels(_family(stream)).inc()
        if stream.expires_s:
            await self._bus.call(redis.expire(stream.name, stream.expires_s))
        return entry_id.decode()


def _family(stream: Stream) -> str:
    """A label with few values: job ids and shards are left off."""
    head, colon, last = stream.name.rpartition(":")
    return f"{head}:*" if colon and (last.isdigit() or head == "data:jobs") else stream.name
