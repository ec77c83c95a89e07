"""Ticks and spans of one instrument, read off its price path.

Prices inside are integers: multiples of the price increment, `scale` of them to a price of 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, repeat
from typing import NamedTuple

from ibstream.simulation.bars import Window
from ibstream.simulation.extents import (
    Averages,
    Extent,
    Piece,
    Prices,
    Run,
    Stretch,
    Tick,
    TimedQuote,
    average,
    before,
    fold,
    is_summed,
)
from ibstream.simulation.hashing import splitmix64, splitmix64_run
from ibstream.simulation.quotes import NO_PRICE, Quote
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream.simulation.shapes import FOREVER_NS, Shape
from ibstream.simulation.tree import DURATIONS_NS, LEAF_LEVEL, LEAF_NS, Cell, PriceTree, hashed_place
from ibstream.simulation.volume import VolumeClock

AVERAGED_LEVEL = 7
"""Averages over long spans are composed of cells no larger than those of this level, five minutes."""
_LEAF_SALT, _SIDE_SALT = 0x4C454146, 0x53494445


class _Leaf(NamedTuple):
    """Five seconds of ticks, ready to be read: whoever asks for one mostly asks for the others next."""

    number: int
    """Of the leaf, since 1970."""
    hashes: tuple[int, ...]
    """64 bits of every tick."""
    bids: list[int]
    at_ask: list[int]
    """Whether the trade of each tick was at the ask; else 0."""
    last_at_ask: bool
    volume_before: int
    volume: int


class Series:
    """One path's ticks. They are numbered by `sequence`, `ticks_per_leaf` to every five seconds since the epoch."""

    def __init__(self, symbol: str, shape: Shape) -> None:
        self.shape = shape
        self.latest: TimedQuote | None = None
        self._symbol = symbol
        self._tree = PriceTree(shape)
        self._key = shape.key
        self._jitter = 2 * self._tree.leaf_sigma()
        self._count = count = shape.ticks_per_leaf
        self._offsets = tuple(-(-number * LEAF_NS // count) for number in range(count + 1))
        self._figures = (count, shape.scale, shape.spread, shape.lot, shape.salt, self._offsets, shape.ends_ns)
        self._ends_ns = shape.ends_ns
        self._volume = VolumeClock(shape.key ^ shape.salt, shape.volume_per_leaf, count)
        self._leaf_memo = self._new_leaf(0, self._at_ask(0))
        self._day = (0, 0, 0)
        """Start and end of a New York day, and the volume before it."""

    def timed_quote_at(self, time_ns: int) -> TimedQuote:
        """What stands at `time_ns`. Keeps it in `latest`."""
        count, scale, spread, lot, salt, offsets, expires_ns = self._figures
        if time_ns >= expires_ns:
            time_ns = expires_ns - 1
        index = time_ns // LEAF_NS
        leaf_ns = index * LEAF_NS
        leaf = self._leaf_memo
        if leaf.number != index:
            leaf = self._leaf(index)
        day = self._day
        if not day[0] <= time_ns < day[1]:
            day = self._new_day(time_ns)
        number = (time_ns - leaf_ns) * count // LEAF_NS
        bid, bits, volume = leaf.bids[number], leaf.hashes[number] ^ salt, leaf.volume
        ask, traded = bid + spread, volume * (number + 1) // count
        starts_ns, ends_ns = leaf_ns + offsets[number], leaf_ns + offsets[number + 1]
        quote = Quote(
            self._symbol,
            starts_ns,
            index * count + number,
            bid / scale if lot else NO_PRICE,
            ask / scale if lot else NO_PRICE,
            (ask if leaf.at_ask[number] else bid) / scale,
            lot + (bits >> 32) % 10 * lot,
            lot + (bits >> 40) % 10 * lot,
            traded - volume * number // count,
            leaf.volume_before + traded - day[2],
        )
        self.latest = timed = (starts_ns, ends_ns if ends_ns < expires_ns else FOREVER_NS, quote)
        return timed

    def run(self, time_ns: int, count: int) -> Run:
        """The quote that stands at `time_ns` and those after it, `count` in all or as many as there are before the end."""
        first = self.ticks_before(min(time_ns, self._ends_ns - 1) + 1) - 1
        beyond = min(first + count, self.ticks_before(self._ends_ns))
        starts: list[int] = []
        quotes: list[Quote] = []
        at = first
        while at < beyond:
            index, number = divmod(at, self._count)
            until = min(number + beyond - at, self._count)
            begun = [index * LEAF_NS + offset for offset in self._offsets[number:until]]
            starts += begun
            quotes += self._quotes(self._leaf(index), begun, number, until)
            at += until - number
        ends_ns = self.time_of(beyond)
        starts.append(ends_ns if ends_ns < self._ends_ns else FOREVER_NS)
        return starts, quotes

    def _quotes(self, leaf: _Leaf, starts: list[int], number: int, until: int) -> Iterable[Quote]:
        """Some of a leaf's quotes, by columns: in a row they are had for a third of the cost."""
        count, scale, spread, lot, salt, _, _ = self._figures
        bids, hashes, sides = leaf.bids[number:until], leaf.hashes[number:until], leaf.at_ask[number:until]
        if salt:
            hashes = tuple([one ^ salt for one in hashes])
        volume, day = leaf.volume, self._day
        if not day[0] <= starts[0] < day[1]:
            day = self._new_day(starts[0])
        traded = [volume * one // count for one in range(number, until + 1)]
        earlier = leaf.volume_before - day[2]
        sequence = leaf.number * count
        return map(
            Quote,
            repeat(self._symbol),
            starts,
            range(sequence + number, sequence + until),
            [bid / scale for bid in bids] if lot else repeat(NO_PRICE),
            [(bid + spread) / scale for bid in bids] if lot else repeat(NO_PRICE),
            [(bid + spread if side else bid) / scale for bid, side in zip(bids, sides, strict=True)],
            [lot + (bits >> 32) % 10 * lot for bits in hashes],
            [lot + (bits >> 40) % 10 * lot for bits in hashes],
            [after - before for before, after in pairwise(traded)],
            [earlier + one for one in traded[1:]],
        )

    def tick_at(self, time_ns: int) -> Tick:
        """The tick that stands at `time_ns`."""
        index, offset = divmod(time_ns, LEAF_NS)
        number = offset * self._count // LEAF_NS
        starts_ns, ends_ns = (index * LEAF_NS + at for at in self._offsets[number : number + 2])
        leaf = self._leaf(index)
        return Tick(
            index * self._count + number,
            starts_ns,
            ends_ns,
            leaf.bids[number],
            bool(leaf.at_ask[number]),
            leaf.hashes[number],
        )

    def time_of(self, sequence: int) -> int:
        """When the tick comes, in nanoseconds since the epoch."""
        index, number = divmod(sequence, self._count)
        return index * LEAF_NS + self._offsets[number]

    def ticks_before(self, time_ns: int) -> int:
        """The sequence of the first tick at or after `time_ns`."""
        index, offset = divmod(time_ns, LEAF_NS)
        return index * self._count - (-offset * self._count // LEAF_NS)

    def extent_of(self, windows: Iterable[Window]) -> Extent | None:
        """What the ticks in all these windows did, taken together; None if there is none."""
        windows = before(self._ends_ns, windows)
        pieces = self.pieces_in(windows)
        if not pieces:
            return None
        spread = self.shape.spread
        bids = fold([piece.bids for piece in pieces])
        trades = fold([_trades(piece, spread) for piece in pieces])
        opening, high, low, close = bids
        asks = (opening + spread, high + spread, low + spread, close + spread)
        return Extent(bids, asks, trades, *self.traded_in(windows, self._volume))

    def averages_of(self, windows: Iterable[Window]) -> Averages | None:
        """The average book in all these windows; None if there is no tick."""
        windows, spread = before(self._ends_ns, windows), self.shape.spread
        if is_summed(windows):
            bids = [bid for _, stretch in self.stretches_in(windows) for bid in stretch]
            if not bids:
                return None
            bid, high, low = sum(bids) / len(bids), max(bids), min(bids)
        else:
            pieces = self.pieces_in(windows, AVERAGED_LEVEL)
            cells = [piece.bids for piece in pieces]
            bid, (_, high, low, _) = average([piece.ticks for piece in pieces], cells), fold(cells)
        return Averages(bid, high + spread, low, bid + spread)

    def traded_in(self, windows: Iterable[Window], clock: VolumeClock) -> tuple[int, int]:
        """How much was traded in the windows by a clock that goes with these ticks, and in how many of them."""
        volume = ticks = 0
        for start_ns, end_ns in windows:
            first, beyond = self.ticks_before(start_ns), self.ticks_before(end_ns)
            ticks += beyond - first
            volume += clock.before(beyond) - clock.before(first)
        return volume, ticks

    def stretches_in(self, windows: Iterable[Window]) -> Iterator[Stretch]:
        """Every tick in the windows, leaf by leaf."""
        for start_ns, end_ns in windows:
            at, beyond = self.ticks_before(start_ns), self.ticks_before(end_ns)
            while at < beyond:
                index, number = divmod(at, self._count)
                until = min(number + beyond - at, self._count)
                yield index * LEAF_NS, self._leaf(index).bids[number:until]
                at += until - number

    def pieces_in(self, windows: Iterable[Window], top_level: int = 0) -> list[Piece]:
        """The largest cells that fit into each window, and single ticks where not even a leaf does; none crosses midnight UTC.

        No cell is larger than those of `top_level`.
        """
        return [piece for start_ns, end_ns in windows for piece in self._pieces(start_ns, end_ns, top_level)]

    def _pieces(self, start_ns: int, end_ns: int, top_level: int) -> Iterator[Piece]:
        at = start_ns
        while at < end_ns:
            level = _largest_cell(at, end_ns, top_level)
            if level is None:
                until = min(end_ns, at - at % LEAF_NS + LEAF_NS)
                yield from self._single_ticks(at, until)
            else:
                until = at + DURATIONS_NS[level]
                yield self._whole_cell(level, at // DURATIONS_NS[level])
            at = until

    def _single_ticks(self, start_ns: int, end_ns: int) -> Iterator[Piece]:
        index = start_ns // LEAF_NS
        leaf, first = self._leaf(index), index * self._count
        for sequence in range(self.ticks_before(start_ns), self.ticks_before(end_ns)):
            bid, at_ask = leaf.bids[sequence - first], bool(leaf.at_ask[sequence - first])
            yield Piece(start_ns, 1, (bid, bid, bid, bid), (at_ask, at_ask, at_ask, at_ask))

    def _whole_cell(self, level: int, index: int) -> Piece:
        leaves = DURATIONS_NS[level] // LEAF_NS
        first, last = self._at_ask(index * leaves), self._at_ask((index + 1) * leaves)
        return Piece(
            index * DURATIONS_NS[level], leaves * self._count, self._cell(level, index), (first, True, False, last)
        )

    def _cell(self, level: int, index: int) -> Cell:
        cell, basis = self._tree.cell(level, index), self.shape.basis
        if not basis:
            return cell
        opening, high, low, close = cell
        return opening + basis, high + basis, low + basis, close + basis

    def _at_ask(self, leaf: int) -> bool:
        """Whether the trade at the boundary before `leaf` was at the ask."""
        return bool(splitmix64(self._key ^ _SIDE_SALT ^ leaf) & 1)

    def _leaf(self, index: int) -> _Leaf:
        leaf = self._leaf_memo
        if leaf.number != index:
            # Leaves are mostly read in a row, and one begins on the side where the other ended.
            first_at_ask = leaf.last_at_ask if leaf.number == index - 1 else self._at_ask(index)
            leaf = self._leaf_memo = self._new_leaf(index, first_at_ask)
        return leaf

    def _new_leaf(self, index: int, first_at_ask: bool) -> _Leaf:
        bits = splitmix64(self._key ^ _LEAF_SALT ^ hashed_place(index))
        count, last_at_ask = self._count, self._at_ask(index + 1)
        inner = count - 2
        # The tick that bids the cell's high trades at the ask, the one that bids the low at the bid.
        highest = 1 + bits % inner
        lowest = 1 + (bits >> 16) % (inner - 1)
        lowest += lowest >= highest
        hashes = splitmix64_run(bits, count)
        bids = self._bids(self._cell(LEAF_LEVEL, index), hashes, highest, lowest)
        at_ask = [one & 0x100 for one in hashes]
        at_ask[0], at_ask[highest], at_ask[lowest], at_ask[-1] = first_at_ask, 1, 0, last_at_ask
        return _Leaf(index, hashes, bids, at_ask, last_at_ask, *self._volume.leaf(index))

    def _bids(self, cell: Cell, hashes: tuple[int, ...], highest: int, lowest: int) -> list[int]:
        """From the cell's open to its close along a line, with noise that its high and low bound."""
        opening, high, low, close = cell
        rise, count, jitter = close - opening, self._count, self._jitter
        bids = [
            opening + rise * number // count + int(jitter * ((bits & 0xFF) - 128) / 256)
            for number, bits in enumerate(hashes)
        ]
        if min(bids) < low or max(bids) > high:
            bids = [low if bid < low else min(bid, high) for bid in bids]
        bids[0], bids[highest], bids[lowest], bids[-1] = opening, high, low, close
        return bids

    def _new_day(self, time_ns: int) -> tuple[int, int, int]:
        start_ns, end_ns = day_window(new_york_date(time_ns))
        day = self._day = (start_ns, end_ns, self._volume.before(self.ticks_before(start_ns)))
        return day


def _trades(piece: Piece, spread: int) -> Prices:
    opening, high, low, close = piece.bids
    at_open, at_high, at_low, at_close = piece.at_ask
    return opening + spread * at_open, high + spread * at_high, low + spread * at_low, close + spread * at_close


def _largest_cell(at_ns: int, end_ns: int, top_level: int) -> int | None:
    """The highest level, from `top_level` on, with a cell that starts at `at_ns` and ends by `end_ns`."""
    if at_ns % LEAF_NS:
        return None
    for level in range(top_level, LEAF_LEVEL + 1):
        length = DURATIONS_NS[level]
        if at_ns + length <= end_ns and at_ns % length == 0:
            return level
    return None
