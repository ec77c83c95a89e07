"""Writing entries. A write whose reply was lost is never repeated here: only its caller knows whether it may be."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis

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

        Trims and expires as the stream's definition says, in the same transaction. Raises `BusUnavailable` when it is not
        known to have been written, and `BusRefused` when it was not.
        """
        if stream.expires_s:
            pipeline = self._bus.redis.pipeline(transaction=True)
            _add(pipeline, stream, message)
            pipeline.expire(stream.name, stream.expires_s)
            entry_id = (await self._bus.call(pipeline.execute()))[0]
        else:
            entry_id = await self._bus.call(_add(self._bus.redis, stream, message))
        metrics.ENTRIES_PUBLISHED.labels(metrics.stream_label(stream.name)).inc()
        return cast("bytes", entry_id).decode()


def _add(redis: Redis, stream: Stream, message: Message) -> Any:
    return redis.xadd(
        stream.name,
        {"type": type_of(message), "data": encode(message)},
        maxlen=stream.keep_entries or None,
        approximate=True,
    )
