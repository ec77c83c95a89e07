"""Whether the machine may have stood still, so that what is trusted by the monotonic clock cannot be trusted."""

from __future__ import annotations

JUMP_NS = 1_000_000_000
"""So far the time of day may get ahead of the monotonic clock between two looks."""


class Standstill:
    """Sees that the machine was suspended: the monotonic clock stood still meanwhile, the time of day did not.

    A time of day that somebody sets forward looks the same, and costs the same wait.
    """

    def __init__(self, distrust_s: float) -> None:
        """For `distrust_s` after a standstill was seen nothing is trusted that may be from before it."""
        self._distrust_s = distrust_s
        self._ahead_ns: int | None = None
        self._until_s = 0.0

    def is_possible(self, time_ns: int, monotonic_s: float) -> bool:
        """Whether, at this time of day and of the monotonic clock, a standstill is not `distrust_s` ago yet."""
        ahead_ns = time_ns - int(monotonic_s * 1e9)
        if self._ahead_ns is not None and ahead_ns - self._ahead_ns > JUMP_NS:
            self._until_s = monotonic_s + self._distrust_s
        self._ahead_ns = ahead_ns
        return monotonic_s < self._until_s
