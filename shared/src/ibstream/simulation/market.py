"""The market as a pure function of (seed, symbol, time).

Every process that knows the seed sees the same prices without talking to the others: the stand-in Gateway, the simulated
broker, feed and data. The market never closes; see `sessions` for what a day is, and `tree` for how a price comes about.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from ibstream.contracts.data import BarSize, WhatToShow
from ibstream.simulation.bars import Bar, Window, spans
from ibstream.simulation.series import Extent, Series
from ibstream.simulation.sessions import day_window, from_ns, new_york_date, to_ns


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Top of the book and last trade of one symbol at one tick.

    Prices are USD on the 0.01 tick with bid < ask, sizes are shares. `last` is a trade at the bid or at the ask.
    """

    symbol: str
    time_ns: int
    """When this tick came to be, nanoseconds since 1970-01-01 UTC; the quote holds until the next tick."""
    sequence: int
    """Number of the tick since 1970; a larger number is a newer quote of the same symbol."""
    bid: float
    ask: float
    last: float
    bid_size: int
    ask_size: int
    last_size: int
    volume: int
    """Shares traded since New York's midnight, this tick included."""


class DayStatistics(msgspec.Struct, frozen=True, gc=False):
    """Open, high and low of the trades since New York's midnight, and the day before's last trade; USD."""

    open: float
    high: float
    low: float
    previous_close: float


class Market:
    """Quotes and bars of any symbol at any time, for one seed.

    No state but memos: two markets of one seed answer alike, whatever was asked before. May be used from several threads.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._series: dict[str, Series] = {}
        self._day: Window = (0, 0)
        self._latest: dict[str, tuple[int, int, Quote]] = {}

    def quote(self, symbol: str, time_ns: int) -> Quote:
        """The quote that stands at `time_ns`."""
        latest = self._latest.get(symbol)
        if latest is not None and latest[0] <= time_ns < latest[1]:
            return latest[2]
        series = self._series.get(symbol) or self._new_series(symbol)
        quote = self._quote(series, symbol, time_ns)
        # Whoever asks next most often asks for the same tick: other subscribers, the matching of orders.
        self._latest[symbol] = (quote.time_ns, series.time_of(quote.sequence + 1), quote)
        return quote

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Quote]:
        """Every tick in `[start_ns, end_ns)`, oldest first."""
        series = self._series.get(symbol) or self._new_series(symbol)
        for sequence in range(series.ticks_before(start_ns), series.ticks_before(end_ns)):
            yield self.quote(symbol, series.time_of(sequence))

    def day(self, symbol: str, time_ns: int) -> DayStatistics:
        """The day so far, the tick that stands at `time_ns` included."""
        series = self._series.get(symbol) or self._new_series(symbol)
        midnight = self._midnight(time_ns)
        today = series.extent(midnight, time_ns + 1)
        before = series.tick_at(midnight - 1)
        if today is None:
            raise AssertionError(f"no tick of {symbol} between New York's midnight and {time_ns}")
        opening, high, low, _ = today.trades
        return DayStatistics(opening / 100, high / 100, low / 100, before[3] / 100)

    def bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        bar_size: BarSize,
        what: WhatToShow = "TRADES",
        *,
        regular_hours: bool = True,
    ) -> list[Bar]:
        """The bars that start in `[start, end)`, oldest first; a bar that `end` cuts holds what came before `end`.

        `start` and `end` are aware datetimes, `bar_size` and `what` in IBKR's spelling. Spans without a tick are left out.
        The prices are exactly those the quotes of the same time show, whatever the size.
        """
        series = self._series.get(symbol) or self._new_series(symbol)
        found = spans(to_ns(start), to_ns(end), bar_size, regular_hours=regular_hours)
        extents = ((span.start_ns, series.extent_of(span.windows)) for span in found)
        return [_bar(start_ns, extent, what, series.spread) for start_ns, extent in extents if extent]

    def _quote(self, series: Series, symbol: str, time_ns: int) -> Quote:
        sequence, tick_ns, bid, last, bits = series.tick_at(time_ns)
        traded, traded_before = series.volume_to(sequence + 1), series.volume_to(sequence)
        return Quote(
            symbol,
            tick_ns,
            sequence,
            bid / 100,
            (bid + series.spread) / 100,
            last / 100,
            100 + (bits >> 32) % 10 * 100,
            100 + (bits >> 40) % 10 * 100,
            traded - traded_before,
            traded - series.volume_base(self._midnight(tick_ns)),
        )

    def _new_series(self, symbol: str) -> Series:
        return self._series.setdefault(symbol, Series(self.seed, symbol))

    def _midnight(self, time_ns: int) -> int:
        day = self._day
        if not day[0] <= time_ns < day[1]:
            day = self._day = day_window(new_york_date(time_ns))
        return day[0]


def _bar(start_ns: int, extent: Extent, what: WhatToShow, spread: int) -> Bar:
    start = from_ns(start_ns)
    if what == "TRADES":
        opening, high, low, close = (cents / 100 for cents in extent.trades)
        average = round((high + low + close) / 3, 3)
        return Bar(start, opening, high, low, close, extent.volume, average, extent.ticks)
    offset = {"BID": 0, "MIDPOINT": spread // 2, "ASK": spread}[what]
    opening, high, low, close = ((cents + offset) / 100 for cents in extent.bids)
    return Bar(start, opening, high, low, close, -1, -1.0, -1)
