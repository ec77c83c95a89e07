"""How many market data lines may be used: all programs of an IBKR user share them, so fewer may be free than were bought."""

from __future__ import annotations

GROW_INTERVAL_S = 300.0
"""After a 101 the budget grows again this often, by `GROW_LINES`: whoever has taken the others may have given them back."""

GROW_LINES = 5


class LineBudget:
    """The lines of this process: what is configured, and less after IBKR has said that no more are free (101)."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._found: int | None = None
        """What IBKR gave, where that is less."""
        self._grows_at_s = 0.0

    @property
    def lines(self) -> int:
        """How many may be used now."""
        return self._lines if self._found is None else min(self._found, self._lines)

    @property
    def is_shrunk(self) -> bool:
        """Whether IBKR gives less than is configured."""
        return self.lines < self._lines

    def set(self, lines: int) -> None:
        """So many are configured for this process: there are more or fewer that share them."""
        self._lines = lines

    def refused(self, in_use: int, now_s: float) -> None:
        """IBKR said that there is no further line, while so many were in use."""
        self._found = max(0, min(in_use, self.lines))
        self._grows_at_s = now_s + GROW_INTERVAL_S

    def review(self, now_s: float) -> bool:
        """Let it grow again if it is time to. Returns whether it did."""
        if self._found is None or now_s < self._grows_at_s:
            return False
        self._found += GROW_LINES
        self._grows_at_s = now_s + GROW_INTERVAL_S
        if self._found >= self._lines:
            self._found = None
        return True

    def begin(self) -> None:
        """A new session: what was found out in the one before need not hold."""
        self._found = None
