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
        self._slots: deque[float] = deque(maxlen=most)
        """When each of the last `most` messages may go, the latest last; those that still wait lie ahead."""

    def free(self) -> int:
        """How many messages may go now without waiting; 0 while somebody waits."""
        oldest = self._clock.monotonic() - WINDOW_S
        while self._slots and self._slots[0] <= oldest:
            self._slots.popleft()
        return self._most - len(self._slots)

    async def take(self) -> None:
        """Return when the next message may go."""
        now = self._clock.monotonic()
        is_full = len(self._slots) == self._slots.maxlen
        slot = max(now, self._slots[0] + WINDOW_S) if is_full else now
        self._slots.append(slot)
        if slot > now:
            await self._clock.sleep(slot - now)
