"""Keeping under IBKR's message limit before ib_async has to: its queue is first in, first out, and knows no urgency."""

from __future__ import annotations

from ibstream.runtime.clock import Clock


class Pacer:
    """Lets one message through every 1/`per_s` seconds; whoever comes too early waits in the order of coming."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self._interval_s = 1.0 / per_s
        self._clock = clock
        self._next = clock.monotonic()

    async def take(self) -> None:
        """Return when the next message may go."""
        now = self._clock.monotonic()
        slot = max(self._next, now)
        self._next = slot + self._interval_s
        if slot > now:
            await self._clock.sleep(slot - now)
