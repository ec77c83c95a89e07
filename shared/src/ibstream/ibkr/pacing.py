"""Keeping under IBKR's message limit before ib_async has to: its queue is first in, first out, and knows no urgency."""

from __future__ import annotations

from collections import deque

from ibstream.runtime.clock import Clock

WINDOW_S = 1.05
"""IBKR counts by the second; the rest is for messages that are on their way between two counts."""


class Window:
    """Lets at most `most` messages through in any `WINDOW_S` seconds.

    A burst passes at once; whoever comes too early waits in the order of coming.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._slots: deque[float] = deque()
        """When each message may go, the latest last, as far as it still counts; those that still wait lie ahead."""

    def limit(self, most: int) -> None:
        """Let at most `most` through from now on. What has gone still counts, and who waits keeps the time given to him."""
        self._most = most

    def free(self) -> int:
        """How many messages may go now without waiting; 0 while somebody waits."""
        self._forget(self._clock.monotonic())
        return max(0, self._most - len(self._slots))

    async def take(self) -> None:
        """Return when the next message may go."""
        now = self._clock.monotonic()
        self._forget(now)
        slot = max(now, self._slots[-1]) if self._slots else now
        if len(self._slots) >= self._most:
            slot = max(slot, self._slots[-self._most] + WINDOW_S)
        self._slots.append(slot)
        if slot > now:
            await self._clock.sleep(slot - now)

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0] <= now - WINDOW_S:
            self._slots.popleft()
