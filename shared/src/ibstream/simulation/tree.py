"""One symbol's price path as a tree of open-high-low-close cells.

A UTC day is one cell. Its open and close come from value noise over the days, its high and low from a hash. Each cell is
split into children by a Brownian bridge kept within the parent's high and low, one child reaching the high and one the low;
so on down to cells of five seconds, and in these stand the single ticks. Any moment is reached in O(levels), and a bar of any
size is folded from a few cells yet agrees to the increment with the ticks inside it.

All prices are integers, multiples of the price increment, and the bid's. The ask stands a constant spread above it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

from ibstream.simulation.hashing import signed_unit, splitmix64
from ibstream.simulation.shapes import Shape

NS_PER_S = 1_000_000_000
RATIOS = (2, 2, 2, 2, 3, 2, 3, 5, 2, 2, 3)
"""How many children a cell has, from the day down to the leaf."""

SECONDS_PER_DAY = 86_400


def _durations_ns() -> tuple[int, ...]:
    durations = [SECONDS_PER_DAY * NS_PER_S]
    for ratio in RATIOS:
        durations.append(durations[-1] // ratio)
    return tuple(durations)


DURATIONS_NS = _durations_ns()
"""Length of a cell per level; level 0 is the day."""
LEAF_LEVEL = len(RATIOS)
LEAF_NS = DURATIONS_NS[LEAF_LEVEL]

Cell = tuple[int, int, int, int]
"""Open, high, low, close in increments."""

# A day's close wanders as a sum of these octaves; amplitudes grow with the root of the period, as a random walk's do.
_OCTAVE_DAYS = (1, 4, 16, 64, 256)
_OCTAVE_GAIN = 0.6
_UNIFORM_TO_SIGMA = math.sqrt(3.0)
"""A uniform number in [-1, 1) has a standard deviation of 1/sqrt(3)."""
_REACH_MIN, _REACH_MAX = 0.15, 0.95
"""How far, in standard deviations, a cell's high and low stand beyond its open and close."""


class PriceTree:
    """The path of one shape. Pure but for a memo of the cells looked at last; safe to share with a thread."""

    def __init__(self, shape: Shape) -> None:
        self.key = shape.key
        self._shape = shape
        typical = math.exp(shape.log_base) * shape.scale
        self._sigma = tuple(
            typical * shape.daily_volatility * math.sqrt(length / DURATIONS_NS[0]) for length in DURATIONS_NS
        )
        self._memo: list[tuple[int, tuple[Cell, ...]] | None] = [None] * (LEAF_LEVEL + 1)

    def cell(self, level: int, index: int) -> Cell:
        """The cell that covers `[index, index + 1) * DURATIONS_NS[level]` nanoseconds since the epoch."""
        if level == 0:
            return self._day(index)
        parent, child = divmod(index, RATIOS[level - 1])
        memo = self._memo[level]
        if memo is None or memo[0] != parent:
            memo = (parent, self._split(level, parent, self.cell(level - 1, parent)))
            self._memo[level] = memo
        return memo[1][child]

    def leaf_sigma(self) -> float:
        """Standard deviation of the price over a leaf, in increments."""
        return self._sigma[LEAF_LEVEL]

    def _day(self, day: int) -> Cell:
        memo = self._memo[0]
        if memo is None or memo[0] != day:
            memo = (day, (self._day_cell(day),))
            self._memo[0] = memo
        return memo[1][0]

    def _day_cell(self, day: int) -> Cell:
        opening, closing = self._anchor(day), self._anchor(day + 1)
        bits = splitmix64(self.key ^ splitmix64(day))
        high = max(opening, closing) + _reach(self._sigma[0], bits, 0)
        low = min(opening, closing) - _reach(self._sigma[0], bits, 16)
        return opening, high, low, closing

    def _anchor(self, day: int) -> int:
        """The bid at the UTC midnight that begins `day`, in increments."""
        shape = self._shape
        log_price = shape.log_base
        for octave, period in enumerate(_OCTAVE_DAYS):
            knot, offset = divmod(day, period)
            left, right = self._knot(octave, knot), self._knot(octave, knot + 1)
            noise = left + (right - left) * offset / period
            log_price += noise * shape.daily_volatility * _OCTAVE_GAIN * math.sqrt(period)
        return round(math.exp(log_price) * shape.scale)

    def _knot(self, octave: int, knot: int) -> float:
        return signed_unit(splitmix64(self.key ^ splitmix64((octave + 1) << 40 | knot)), 0)

    def _split(self, level: int, parent: int, cell: Cell) -> tuple[Cell, ...]:
        ratio = RATIOS[level - 1]
        bits = splitmix64(self.key ^ hashed_place(level << 50 | parent))
        path = self._bridge(cell, ratio, self._sigma[level], bits)
        return self._children(cell, path, self._sigma[level], bits)

    @staticmethod
    def _bridge(cell: Cell, ratio: int, sigma: float, bits: int) -> list[int]:
        """`ratio + 1` prices from the cell's open to its close."""
        opening, high, low, closing = cell
        path, price = [opening], float(opening)
        for remaining in range(ratio, 1, -1):
            noise = signed_unit(bits, 16 * (ratio - remaining)) * _UNIFORM_TO_SIGMA
            price += (closing - price) / remaining + sigma * math.sqrt((remaining - 1) / remaining) * noise
            price = _reflect(price, low, high)
            path.append(round(price))
        path.append(closing)
        return path

    @staticmethod
    def _children(cell: Cell, path: list[int], sigma: float, bits: int) -> tuple[Cell, ...]:
        """The child that comes nearest to the parent's high or low takes it; the others stay within."""
        _, high, low, _ = cell
        pairs = list(pairwise(path))
        tops = [max(pair) for pair in pairs]
        bottoms = [min(pair) for pair in pairs]
        highest, lowest = tops.index(max(tops)), bottoms.index(min(bottoms))
        children: list[Cell] = []
        for i, (opening, closing) in enumerate(pairs):
            more = splitmix64(bits + i)
            top = high if i == highest else min(high, tops[i] + _reach(sigma, more, 0))
            bottom = low if i == lowest else max(low, bottoms[i] - _reach(sigma, more, 16))
            children.append((opening, top, bottom, closing))
        return tuple(children)


@lru_cache(maxsize=256)
def hashed_place(place: int) -> int:
    """`splitmix64` of where in time something is; that is the same for all instruments, which are looked at together."""
    return splitmix64(place)


def _reach(sigma: float, bits: int, shift: int) -> int:
    """A distance in increments, from 16 of the bits."""
    return round(sigma * (_REACH_MIN + (_REACH_MAX - _REACH_MIN) * abs(signed_unit(bits, shift))))


def _reflect(price: float, low: int, high: int) -> float:
    """Throw a price that went beyond the bounds back inside, so that it does not stick to them."""
    if price > high:
        price = 2 * high - price
    if price < low:
        price = 2 * low - price
    return min(max(price, low), high)
