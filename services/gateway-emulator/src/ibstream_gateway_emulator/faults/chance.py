"""Chance that follows from a seed: the same seed and the same number of draws give the same values in every process."""

from __future__ import annotations

from ibstream.simulation.hashing import splitmix64, stable_hash

_RESOLUTION = 1 << 53


class Chance:
    """A row of numbers. Each use has a row of its own by its name, so that one does not shift the other."""

    def __init__(self, seed: int, name: str) -> None:
        self._start = splitmix64(seed) ^ stable_hash(name)
        self._drawn = 0

    def unit(self) -> float:
        """The next number in [0, 1)."""
        self._drawn += 1
        return (splitmix64(self._start + self._drawn) >> 11) / _RESOLUTION

    def index(self, length: int) -> int:
        """The next number of 0 to `length` - 1."""
        return min(int(self.unit() * length), length - 1)
