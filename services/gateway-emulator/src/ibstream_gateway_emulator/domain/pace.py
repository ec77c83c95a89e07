"""How many tick messages may go out by now, if their number per second is set. Pure: the time is told, not asked."""

from __future__ import annotations

from ibstream.simulation.tree import NS_PER_S

LATE_STEPS_MAX = 2
"""A step has no larger share than these would have had in time, so that no pause ends in a flood."""


class Pace:
    """Shares out `per_second` messages over the steps, exact to the message over any number of steps.

    What a step could not use lapses, but for one message, half of a pair. What it used beyond its share, since an update is not
    torn, the next ones repay.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._owed = 0
        """Messages times nanoseconds."""

    def share(self, now_ns: int, per_second: int, interval_ns: int) -> int:
        """How many messages this step may send, if one comes every `interval_ns`. The first step has none."""
        elapsed_ns = 0 if self._last_ns is None else min(max(now_ns - self._last_ns, 0), LATE_STEPS_MAX * interval_ns)
        self._last_ns = now_ns
        self._owed = min(self._owed, 2 * NS_PER_S - 1) + elapsed_ns * per_second
        return max(self._owed // NS_PER_S, 0)

    def spent(self, messages: int) -> None:
        """So many have been sent."""
        self._owed -= messages * NS_PER_S
