"""How many market data lines may be used: all programs of an IBKR user share them, so fewer may be free than were bought."""

from __future__ import annotations

GROW_S_MIN = 15.0
GROW_S_MAX = 300.0
"""After a 101 the budget grows again so soon: whoever had the lines may have given them back. Each time that more are refused,
the wait doubles."""

GROW_LINES = 5
"""By so many lines it grows first; by twice as many each time that they were given."""


class LineBudget:
    """The lines of this process: what is configured, and less after IBKR has said that no more are free (101)."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._found: int | None = None
        """What IBKR gave, where that is less."""
        self._grows_at_s = 0.0
        self._grew_at_s: float | None = None
        """When it last grew, unless more was refused since."""
        self._wait_s = GROW_S_MIN
        self._step = GROW_LINES

    @property
    def lines(self) -> int:
        """How many may be used now."""
        return self._lines if self._found is None else min(self._found, self._lines)

    def set(self, lines: int) -> None:
        """So many are configured for this process."""
        self._lines = lines

    def refused(self, in_use: int, now_s: float) -> None:
        """IBKR said that there is no further line, while so many were in use."""
        if self._grew_at_s is not None:  # that was asking for too much; long after it, something else has happened
            is_recent = now_s - self._grew_at_s <= GROW_S_MAX
            self._wait_s = min(2 * self._wait_s, GROW_S_MAX) if is_recent else GROW_S_MIN
            self._grew_at_s = None
        self._found = max(0, min(in_use, self.lines))
        self._step = GROW_LINES
        self._grows_at_s = now_s + self._wait_s

    def review(self, now_s: float) -> bool:
        """Let it grow again if it is time to. Returns whether it did."""
        if self._found is None or now_s < self._grows_at_s:
            return False
        self._grew_at_s = now_s
        self._found += self._step
        self._step *= 2
        self._grows_at_s = now_s + self._wait_s
        if self._found >= self._lines:
            self._found = None
        return True

    def begin(self) -> None:
        """A new session, or other processes share the lines: what was found out before need not hold."""
        self._found = self._grew_at_s = None
        self._wait_s = GROW_S_MIN
        self._step = GROW_LINES
