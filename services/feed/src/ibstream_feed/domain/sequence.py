"""How a shard's batches are numbered, so that a consumer can prove that it missed none."""

from __future__ import annotations


class Sequence:
    """`seq` counts from 1 without a gap within an epoch; a new epoch says that continuity is not promised across it."""

    def __init__(self) -> None:
        self.epoch = 0
        self._last = 0

    def begin(self, time_ms: int, *, after: int = 0) -> None:
        """Start a new epoch, named after the time but always greater than the one before, and than `after`."""
        self.epoch = max(time_ms, after + 1, self.epoch + 1)
        self._last = 0

    def next(self) -> int:
        """The number of the next batch."""
        self._last += 1
        return self._last
