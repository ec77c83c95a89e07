"""What ticks and spans of ticks are, whoever makes them, and how the spans of several become one.

Prices are integers: multiples of the instrument's price increment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ibstream.simulation.bars import Window
from ibstream.simulation.quotes import Quote
from ibstream.simulation.shapes import Shape

Prices = tuple[int, int, int, int]
"""Open, high, low and close in increments."""

TimedQuote = tuple[int, int, Quote]
"""From when and until when a quote stands, nanoseconds since the epoch, and the quote."""

Run = tuple[list[int], list[Quote]]
"""Quotes in a row, and since when each of them stands; one time more, until when the last one does."""


Stretch = tuple[int, list[int]]
"""When some ticks of one leaf begin, nanoseconds since the epoch, and their bids."""

SUMMED_NS = 3600 * 1_000_000_000
"""The average book of up to so long a span is that of its ticks; a longer one is composed of its cells."""


class Tick(NamedTuple):
    """One tick of a path."""

    sequence: int
    """Its number since 1970."""
    starts_ns: int
    ends_ns: int
    """When the next tick comes."""
    bid: int
    at_ask: bool
    """Whether the trade of this tick was at the ask."""
    bits: int
    """64 hashed bits."""


class Piece(NamedTuple):
    """What the bid did over a cell of the tree or one tick, and on which side were the trades at its four prices."""

    starts_ns: int
    ticks: int
    bids: Prices
    at_ask: tuple[bool, bool, bool, bool]


class Extent(msgspec.Struct, frozen=True, gc=False):
    """What the ticks of a span did: bids, asks and trades as open, high, low and close; the volume and their number."""

    bids: Prices
    asks: Prices
    trades: Prices
    volume: int
    ticks: int


class Averages(msgspec.Struct, frozen=True, gc=False):
    """Average bid and ask over the ticks of a span, in increments, and the highest ask and the lowest bid."""

    bid: float
    high_ask: int
    low_bid: int
    ask: float


class Instrument(Protocol):
    """What the market needs of the ticks of an instrument, whether it has a path of its own or follows another's."""

    shape: Shape
    latest: TimedQuote | None
    """What was last asked for."""

    def timed_quote_at(self, time_ns: int) -> TimedQuote:
        """What stands at `time_ns`. Keeps it in `latest`."""

    def run(self, time_ns: int, count: int) -> Run:
        """The quote that stands at `time_ns` and those after it, `count` in all or as many as there are before the end."""

    def ticks_before(self, time_ns: int) -> int:
        """The sequence of the first tick at or after `time_ns`."""

    def time_of(self, sequence: int) -> int:
        """When the tick comes, in nanoseconds since the epoch."""

    def extent_of(self, windows: Iterable[Window]) -> Extent | None:
        """What the ticks in all these windows did, taken together; None if there is none."""

    def averages_of(self, windows: Iterable[Window]) -> Averages | None:
        """The average book in all these windows; None if there is no tick."""


def before(ends_ns: int, windows: Iterable[Window]) -> list[Window]:
    """The parts of windows before an instrument's end."""
    return [(start_ns, min(end_ns, ends_ns)) for start_ns, end_ns in windows if start_ns < ends_ns]


def is_summed(windows: Iterable[Window]) -> bool:
    """Whether windows are short enough for every tick in them to be looked at."""
    return sum(end_ns - start_ns for start_ns, end_ns in windows) <= SUMMED_NS


def fold(parts: list[Prices]) -> Prices:
    """Open of the first, highest high, lowest low, close of the last."""
    if len(parts) == 1:
        return parts[0]
    return parts[0][0], max(part[1] for part in parts), min(part[2] for part in parts), parts[-1][3]


def average(ticks: Sequence[int], parts: Sequence[Prices]) -> float:
    """The mean price of parts with so many ticks, where the mean of a cell's four prices stands for that of its ticks."""
    return sum(count * sum(prices) / 4 for count, prices in zip(ticks, parts, strict=True)) / sum(ticks)
