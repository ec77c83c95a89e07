"""How many messages a client may send in a second. Pure: the time is told, not asked."""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0
VIOLATIONS_MAX = 3
"""The connection ends with this one. Source: IBKR's TWS API documentation, "Pacing limitations"."""


class MessageRate:
    """The messages of one connection in the last second; those that were refused do not count. Holds `allowed` times at most."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.violations = 0
        """Messages that were one too many."""

    def admits(self, now_s: float, allowed: int | None) -> bool:
        """Whether a message that comes now is allowed; one that is not is a violation. None allows any number."""
        if allowed is None:
            return True
        while self._times and self._times[0] <= now_s - WINDOW_S:
            self._times.popleft()
        if len(self._times) >= allowed:
            self.violations += 1
            return False
        self._times.append(now_s)
        return True

    @property
    def received(self) -> int:
        """Messages of the last second, the one that was refused included."""
        return len(self._times) + 1

    @property
    def is_over(self) -> bool:
        """Whether the client has gone too far too often."""
        return self.violations >= VIOLATIONS_MAX
