"""Trimming a stream that a group works off: by age, and never past what the group still needs."""

from __future__ import annotations

from typing import cast

from ibstream.bus.connection import Bus
from ibstream.bus.reader import entry_order
from ibstream.contracts.registry import Stream
from ibstream.runtime.clock import Clock


async def trim_handled(bus: Bus, stream: Stream, clock: Clock) -> None:
    """Drop entries older than `stream.keep_s`, but none that its group has pending or has not delivered yet.

    Trims whole nodes only (`~`), so somewhat more may stay. Raises as `Bus.call` does; `BusRefused` where stream or group
    do not exist.
    """
    if not stream.keep_s:
        return
    keep_from = f"{max(0, clock.time_ns() // 1_000_000 - stream.keep_s * 1000)}-0"
    oldest = min([keep_from, *await _needed(bus, stream)], key=entry_order)
    await bus.call(bus.redis.xtrim(stream.name, minid=oldest, approximate=True))


async def _needed(bus: Bus, stream: Stream) -> list[str]:
    """Ids that must stay. What is delivered between the two questions is younger than the answer to the first."""
    groups = await bus.call(bus.redis.xinfo_groups(stream.name))
    delivered = [item["last-delivered-id"] for item in groups if item["name"] == stream.group.encode()]
    pending = await bus.call(bus.redis.xpending(stream.name, stream.group))
    oldest_pending = [pending["min"]] if pending["pending"] else []
    return [cast("bytes", entry_id).decode() for entry_id in [*delivered, *oldest_pending]]
