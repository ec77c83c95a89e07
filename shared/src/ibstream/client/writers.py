"""Whether somebody writes a shard: the lease that a feed process holds on it says so, and runs out when that has died."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ibstream.bus import Bus, BusUnavailable
from ibstream.contracts.quotes import Quality, Quote
from ibstream.contracts.registry import shard_lease
from ibstream.runtime.clock import Clock

LOOK_INTERVAL_S = 2.0
"""How often it is looked. A feed process that is killed leaves its leases for 3 s, so its rows are known to be stale within
5 s."""


class ShardWriters:
    """The leases of some shards, looked at again and again. They lie on the bus, wherever the quotes are."""

    def __init__(self, bus: Bus, shards: Sequence[int], *, clock: Clock) -> None:
        self._bus = bus
        self._shards = shards
        self._leases = [shard_lease(shard) for shard in shards]
        self._clock = clock
        self._look_at = 0.0

    @property
    def due_in_s(self) -> float:
        """Seconds until the next look; 0 where it is time."""
        return max(0.0, self._look_at - self._clock.monotonic())

    async def unwritten(self) -> frozenset[int]:
        """The shards that nobody writes now. Raises as `Bus.call` does."""
        self._look_at = self._clock.monotonic() + LOOK_INTERVAL_S
        holders = await self._bus.ask("MGET", *self._leases)
        return frozenset(shard for shard, holder in zip(self._shards, holders, strict=True) if holder is None)

    async def unwritten_if_due(self) -> frozenset[int]:
        """The same where it is time to look. None where it is not, or Redis does not answer, which says nothing of feeds."""
        if self.due_in_s:
            return frozenset()
        try:
            return await self.unwritten()
        except BusUnavailable:
            return frozenset()


def as_stale(row: Quote) -> Quote:
    """The row of a shard that nobody writes. Newer by a nanosecond, so that who keeps the newest row of a symbol keeps it."""
    if row.quality is Quality.STALE:
        return row
    return msgspec.structs.replace(row, quality=Quality.STALE, time_ns=row.time_ns + 1)
