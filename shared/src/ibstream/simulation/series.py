"""Ticks and spans of one symbol, read off its price tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ibstream.simulation.bars import Window
from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.tree import DURATIONS_NS, LEAF_LEVEL, LEAF_NS, Cell, PriceTree

_LEAF_SALT, _SIDE_SALT, _VOLUME_SALT = 0x4C454146, 0x53494445, 0x564F4C55

Tick = tuple[int, int, int, int, int]
"""Sequence, time in nanoseconds, bid and last in cents, and 64 hashed bits."""
Prices = tuple[int, int, int, int]
"""Open, high, low and close in cents."""


class Extent(msgspec.Struct, frozen=True, gc=False):
    """What the ticks of a span did: their bids, their trades, the volume in shares and their number."""

    bids: Prices
    trades: Prices
    volume: int
    ticks: int


class _Leaf(msgspec.Struct, frozen=True, gc=False):
    """Five seconds of ticks, ready to be read."""

    index: int
    cell: Cell
    bits: int
    highest: int
    """The tick that bids the cell's high; it trades at the ask."""
    lowest: int
    """The tick that bids the cell's low; it trades at the bid."""


class Series:
    """One symbol's ticks. Ticks are numbered by `sequence`, `ticks_per_leaf` to every five seconds since the epoch."""

    def __init__(self, seed: int, symbol: str) -> None:
        self._tree = PriceTree(seed, symbol)
        self._key = self._tree.key
        self._jitter = 2 * self._tree.leaf_sigma()
        self._count = self._tree.ticks_per_leaf
        self._leaf_memo = self._new_leaf(0)
        self._volume_memo: tuple[int, int, int] = (-1, 0, 0)
        self._base_memo = (0, self.volume_to(0))
        self.spread = self._tree.spread
        """Ask minus bid in cents."""

    def tick_at(self, time_ns: int) -> Tick:
        """The tick that stands at `time_ns`."""
        index, offset = divmod(time_ns, LEAF_NS)
        return self._tick(self._leaf(index), offset * self._count // LEAF_NS)

    def time_of(self, sequence: int) -> int:
        """When the tick comes, in nanoseconds since the epoch."""
        index, number = divmod(sequence, self._count)
        return index * LEAF_NS - (-number * LEAF_NS // self._count)

    def ticks_before(self, time_ns: int) -> int:
        """The sequence of the first tick at or after `time_ns`."""
        index, offset = divmod(time_ns, LEAF_NS)
        return index * self._count - (-offset * self._count // LEAF_NS)

    def volume_to(self, sequence: int) -> int:
        """Shares traded since the epoch before the tick `sequence`."""
        index, number = divmod(sequence, self._count)
        start, length = self._leaf_volume(index)
        return start + length * number // self._count

    def volume_base(self, midnight_ns: int) -> int:
        """Shares traded since the epoch before `midnight_ns`."""
        memo = self._base_memo
        if memo[0] != midnight_ns:
            memo = self._base_memo = (midnight_ns, self.volume_to(self.ticks_before(midnight_ns)))
        return memo[1]

    def extent(self, start_ns: int, end_ns: int) -> Extent | None:
        """What the ticks in `[start_ns, end_ns)` did; None if there is none."""
        return self.extent_of(((start_ns, end_ns),))

    def extent_of(self, windows: Iterable[Window]) -> Extent | None:
        """What the ticks in all these windows did, taken together; None if there is none."""
        pieces: list[tuple[Prices, Prices]] = []
        volume = ticks = 0
        for start_ns, end_ns in windows:
            pieces += self._pieces(start_ns, end_ns)
            first, beyond = self.ticks_before(start_ns), self.ticks_before(end_ns)
            ticks += beyond - first
            volume += self.volume_to(beyond) - self.volume_to(first)
        if not pieces:
            return None
        bids, trades = zip(*pieces, strict=True)
        return Extent(_fold(bids), _fold(trades), volume, ticks)

    def _pieces(self, start_ns: int, end_ns: int) -> Iterator[tuple[Prices, Prices]]:
        """Bids and trades of the largest cells that fit, and of single ticks where not even a leaf does."""
        at = start_ns
        while at < end_ns:
            level = _largest_cell(at, end_ns)
            if level is None:
                until = min(end_ns, at - at % LEAF_NS + LEAF_NS)
                yield from self._single_ticks(at, until)
            else:
                until = at + DURATIONS_NS[level]
                yield self._whole_cell(level, at // DURATIONS_NS[level])
            at = until

    def _single_ticks(self, start_ns: int, end_ns: int) -> Iterator[tuple[Prices, Prices]]:
        leaf = self._leaf(start_ns // LEAF_NS)
        first = leaf.index * self._count
        for sequence in range(self.ticks_before(start_ns), self.ticks_before(end_ns)):
            _, _, bid, last, _ = self._tick(leaf, sequence - first)
            yield (bid, bid, bid, bid), (last, last, last, last)

    def _whole_cell(self, level: int, index: int) -> tuple[Prices, Prices]:
        cell = self._tree.cell(level, index)
        opening, high, low, close = cell
        leaves = DURATIONS_NS[level] // LEAF_NS
        first_trade = opening + self._side_at(index * leaves)
        last_trade = close + self._side_at((index + 1) * leaves)
        return cell, (first_trade, high + self.spread, low, last_trade)

    def _side_at(self, leaf: int) -> int:
        """0 where the trade at the boundary before `leaf` was at the bid, the spread where it was at the ask."""
        return self.spread if splitmix64(self._key ^ _SIDE_SALT ^ leaf) & 1 else 0

    def _leaf(self, index: int) -> _Leaf:
        leaf = self._leaf_memo
        if leaf.index != index:
            leaf = self._leaf_memo = self._new_leaf(index)
        return leaf

    def _new_leaf(self, index: int) -> _Leaf:
        bits = splitmix64(self._key ^ _LEAF_SALT ^ splitmix64(index))
        inner = self._count - 2
        highest = 1 + bits % inner
        lowest = 1 + (bits >> 16) % (inner - 1)
        return _Leaf(index, self._tree.cell(LEAF_LEVEL, index), bits, highest, lowest + (lowest >= highest))

    def _tick(self, leaf: _Leaf, number: int) -> Tick:
        sequence = leaf.index * self._count + number
        time_ns = leaf.index * LEAF_NS - (-number * LEAF_NS // self._count)
        bits = splitmix64(leaf.bits + number)
        opening, high, low, close = leaf.cell
        if number == 0:
            return sequence, time_ns, opening, opening + self._side_at(leaf.index), bits
        if number == self._count - 1:
            return sequence, time_ns, close, close + self._side_at(leaf.index + 1), bits
        if number == leaf.highest:
            return sequence, time_ns, high, high + self.spread, bits
        if number == leaf.lowest:
            return sequence, time_ns, low, low, bits
        bid = opening + (close - opening) * number // self._count + int(self._jitter * ((bits & 0xFF) - 128) / 256)
        bid = min(max(bid, low), high)
        return sequence, time_ns, bid, bid + self.spread if bits & 0x100 else bid, bits

    def _leaf_volume(self, index: int) -> tuple[int, int]:
        """Shares traded since the epoch before this leaf, and within it; it trades half to one and a half the mean."""
        memo = self._volume_memo
        if memo[0] != index:
            start, end = self._volume_at(index), self._volume_at(index + 1)
            memo = self._volume_memo = (index, start, end - start)
        return memo[1], memo[2]

    def _volume_at(self, index: int) -> int:
        mean = self._tree.volume_per_leaf
        noise = splitmix64(self._key ^ _VOLUME_SALT ^ index) & 0xFFFF
        return index * mean + (mean * noise >> 17)


def _largest_cell(at_ns: int, end_ns: int) -> int | None:
    """The highest level with a cell that starts at `at_ns` and ends by `end_ns`."""
    if at_ns % LEAF_NS:
        return None
    for level in range(LEAF_LEVEL + 1):
        length = DURATIONS_NS[level]
        if at_ns + length <= end_ns and at_ns % length == 0:
            return level
    return None


def _fold(parts: tuple[Prices, ...]) -> Prices:
    """Open of the first, highest high, lowest low, close of the last."""
    return parts[0][0], max(part[1] for part in parts), min(part[2] for part in parts), parts[-1][3]
