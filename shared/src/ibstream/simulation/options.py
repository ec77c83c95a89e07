"""The ticks of an option: its underlying's, each priced anew.

Within a UTC day the time to expiry is held, so an option's price depends on its underlying's bid alone, and monotonically. A
bar of the option is therefore its underlying's bar, priced, and agrees with the option's ticks to the cent: a call's high is
at the underlying's high, a put's at its low, and a put trades at the ask where the underlying traded at the bid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

import msgspec

from ibstream.simulation import pricing
from ibstream.simulation.bars import Window
from ibstream.simulation.extents import (
    Averages,
    Extent,
    Piece,
    Prices,
    Run,
    TimedQuote,
    average,
    before,
    fold,
    is_summed,
)
from ibstream.simulation.hashing import splitmix64, stable_hash
from ibstream.simulation.keys import Key
from ibstream.simulation.quotes import Greeks, Quote, Side
from ibstream.simulation.series import AVERAGED_LEVEL, Series
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream.simulation.shapes import FOREVER_NS, closing_ns
from ibstream.simulation.tree import DURATIONS_NS
from ibstream.simulation.volume import VolumeClock

DAY_NS = DURATIONS_NS[0]
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CENTS = 100
_WIDE_FROM_CENTS, _WIDE_TICK = 300, 5
"""From 3 USD on, options are quoted in steps of 5 cents."""
_HALF_SPREAD = 0.01
"""Bid and ask stand so far from the theoretical price, as a part of it, before they are rounded away from it."""
_CONTRACTS_PER_TICK = 2

Book = tuple[int, int]
"""Bid and ask in cents."""


class OptionSeries:
    """One option's ticks, priced from the ticks of its underlying."""

    def __init__(self, seed: int, symbol: str, parsed: Key, underlying: Series) -> None:
        under = underlying.shape
        if parsed.expiry is None:
            raise AssertionError(f"{symbol} has no expiry")
        salt = splitmix64(stable_hash(symbol) ^ splitmix64(seed))
        volume = _CONTRACTS_PER_TICK * under.ticks_per_leaf
        self.shape = msgspec.structs.replace(
            under, salt=salt, scale=_CENTS, volume_per_leaf=volume, lot=1, ends_ns=closing_ns(parsed.expiry)
        )
        self.latest: TimedQuote | None = None
        self._symbol = symbol
        self._underlying = underlying
        self._put, self._strike = parsed.right == "P", float(parsed.strike)
        self._expiry_day = parsed.expiry.toordinal() - _EPOCH_ORDINAL
        self._volatility = pricing.smile(under.daily_volatility, self._strike, math.exp(under.log_base))
        self._volume = VolumeClock(under.key ^ salt, volume, under.ticks_per_leaf)
        self._books: tuple[int, dict[int, Book]] = (-1, {})
        self._day = (0, 0, 0)
        """Start and end of a New York day, and the volume before it."""

    def timed_quote_at(self, time_ns: int) -> TimedQuote:
        """What stands at `time_ns`. Keeps it in `latest`."""
        time_ns = min(time_ns, self.shape.ends_ns - 1)
        tick, clock = self._underlying.tick_at(time_ns), self._volume
        bid, ask = self._book(tick.starts_ns // DAY_NS, tick.bid)
        bits = splitmix64(tick.bits ^ self.shape.salt)
        day = self._day
        if not day[0] <= time_ns < day[1]:
            start_ns, end_ns = day_window(new_york_date(time_ns))
            day = self._day = (start_ns, end_ns, clock.before(self.ticks_before(start_ns)))
        traded, earlier = clock.before(tick.sequence + 1), clock.before(tick.sequence)
        quote = Quote(
            self._symbol,
            tick.starts_ns,
            tick.sequence,
            bid / _CENTS,
            ask / _CENTS,
            (ask if tick.at_ask is not self._put else max(bid, 1)) / _CENTS,
            1 + (bits >> 32) % 50 if bid else 0,
            1 + (bits >> 40) % 50,
            traded - earlier,
            traded - day[2],
        )
        ends_ns = tick.ends_ns if tick.ends_ns < self.shape.ends_ns else FOREVER_NS
        self.latest = timed = (tick.starts_ns, ends_ns, quote)
        return timed

    def run(self, time_ns: int, count: int) -> Run:
        """The quote that stands at `time_ns` and those after it, `count` in all or as many as there are before the end."""
        found = [self.timed_quote_at(time_ns)]
        while len(found) < count and found[-1][1] < FOREVER_NS:
            found.append(self.timed_quote_at(found[-1][1]))
        return [since_ns for since_ns, _, _ in found] + [found[-1][1]], [quote for _, _, quote in found]

    def ticks_before(self, time_ns: int) -> int:
        """The sequence of the first tick at or after `time_ns`."""
        return self._underlying.ticks_before(time_ns)

    def time_of(self, sequence: int) -> int:
        """When the tick comes, in nanoseconds since the epoch."""
        return self._underlying.time_of(sequence)

    def extent_of(self, windows: Iterable[Window]) -> Extent | None:
        """What the ticks in all these windows did, taken together; None if there is none."""
        windows = before(self.shape.ends_ns, windows)
        priced = [self._priced(piece) for piece in self._underlying.pieces_in(windows)]
        if not priced:
            return None
        bids, asks, trades = (fold(list(side)) for side in zip(*priced, strict=True))
        return Extent(bids, asks, trades, *self._underlying.traded_in(windows, self._volume))

    def averages_of(self, windows: Iterable[Window]) -> Averages | None:
        """The average book in all these windows; None if there is no tick."""
        windows = before(self.shape.ends_ns, windows)
        if is_summed(windows):
            return self._summed(windows)
        pieces = self._underlying.pieces_in(windows, AVERAGED_LEVEL)
        bids, asks, _ = zip(*(self._priced(piece) for piece in pieces), strict=True)
        ticks = [piece.ticks for piece in pieces]
        low_bid, high_ask = min(bid[2] for bid in bids), max(ask[1] for ask in asks)
        return Averages(average(ticks, bids), high_ask, low_bid, average(ticks, asks))

    def _summed(self, windows: Iterable[Window]) -> Averages | None:
        stretches = self._underlying.stretches_in(windows)
        books = [self._book(starts_ns // DAY_NS, bid) for starts_ns, stretch in stretches for bid in stretch]
        if not books:
            return None
        bids, asks = zip(*books, strict=True)
        return Averages(sum(bids) / len(bids), max(asks), min(bids), sum(asks) / len(asks))

    def greeks_at(self, time_ns: int, side: Side) -> Greeks | None:
        """Greeks at the tick that stands at `time_ns`; None where no volatility gives the price of that side."""
        tick = self._underlying.tick_at(time_ns)
        day, spot = tick.starts_ns // DAY_NS, self._spot(tick.bid)
        volatility: float | None = self._volatility
        if side != "model":
            bid, ask = self._book(day, tick.bid)
            last = ask if tick.at_ask is not self._put else max(bid, 1)
            price = {"bid": bid, "ask": ask, "last": last}[side] / _CENTS
            volatility = pricing.implied_volatility(price, spot, self._strike, self._years(day), put=self._put)
        if volatility is None:
            return None
        return pricing.greeks(spot, self._strike, self._years(day), volatility, put=self._put)

    def _priced(self, piece: Piece) -> tuple[Prices, Prices, Prices]:
        """Bids, asks and trades of the option over a piece of its underlying's path."""
        day = piece.starts_ns // DAY_NS
        books = [self._book(day, bid) for bid in piece.bids]
        at_ask = list(piece.at_ask)
        if self._put:
            books[1], books[2] = books[2], books[1]
            at_ask = [not at_ask[0], not at_ask[2], not at_ask[1], not at_ask[3]]
        bids, asks = ((books[0][side], books[1][side], books[2][side], books[3][side]) for side in (0, 1))
        traded = [ask if side else max(bid, 1) for (bid, ask), side in zip(books, at_ask, strict=True)]
        return bids, asks, (traded[0], traded[1], traded[2], traded[3])

    def _book(self, day: int, under_bid: int) -> Book:
        """Bid and ask in cents, for the underlying's bid in its increments on a UTC day."""
        books = self._books
        if books[0] != day:
            books = self._books = (day, {})
        book = books[1].get(under_bid)
        if book is None:
            book = books[1][under_bid] = self._new_book(day, under_bid)
        return book

    def _new_book(self, day: int, under_bid: int) -> Book:
        spot, years = self._spot(under_bid), self._years(day)
        theory = _CENTS * pricing.value(spot, self._strike, years, self._volatility, put=self._put)
        # Far from the money the formula returns noise around zero; rounding keeps it from lifting an ask.
        theory = round(max(theory, 0.0), 6)
        return floor_to_tick(theory * (1 - _HALF_SPREAD)), _ceil(theory * (1 + _HALF_SPREAD))

    def _spot(self, under_bid: int) -> float:
        """The underlying's midpoint."""
        under = self._underlying.shape
        return (2 * under_bid + under.spread) / (2 * under.scale)

    def _years(self, day: int) -> float:
        """Time to expiry on a UTC day; half a day on the last."""
        return (self._expiry_day - day + 0.5) / pricing.DAYS_PER_YEAR


def step_of(cents: int) -> int:
    """The tick at a price, upwards."""
    return 1 if cents < _WIDE_FROM_CENTS else _WIDE_TICK


def floor_to_tick(cents: float) -> int:
    """The highest option price up to `cents`."""
    whole = math.floor(cents)
    return whole - whole % step_of(whole)


def _ceil(cents: float) -> int:
    whole = max(math.ceil(cents), 1)
    return whole if whole <= _WIDE_FROM_CENTS else -(-whole // _WIDE_TICK) * _WIDE_TICK
