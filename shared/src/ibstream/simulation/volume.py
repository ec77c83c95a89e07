"""How much was traded by when: a count that only grows, at its own pace for every instrument."""

from __future__ import annotations

from ibstream.simulation.hashing import splitmix64

_VOLUME_SALT = 0x564F4C55


class VolumeClock:
    """Traded volume since the epoch, known at every tick. A leaf of five seconds trades half to one and a half the mean."""

    def __init__(self, key: int, mean: int, ticks_per_leaf: int) -> None:
        self._key = key ^ _VOLUME_SALT
        self._mean = mean
        self._count = ticks_per_leaf
        self._memo: tuple[int, int, int] = (-1, 0, 0)

    def leaf(self, index: int) -> tuple[int, int]:
        """Traded since the epoch before a leaf, and within it."""
        memo = self._memo
        if memo[0] != index:
            # Leaves are mostly read in a row, and one begins where the other ended.
            start = memo[1] + memo[2] if memo[0] == index - 1 and index else self._at(index)
            memo = self._memo = (index, start, self._at(index + 1) - start)
        return memo[1], memo[2]

    def before(self, sequence: int) -> int:
        """Traded since the epoch before a tick."""
        index, number = divmod(sequence, self._count)
        start, length = self.leaf(index)
        return start + length * number // self._count

    def _at(self, index: int) -> int:
        noise = splitmix64(self._key ^ index) & 0xFFFF
        return index * self._mean + (self._mean * noise >> 17)
