"""The market as a pure function of (seed, symbol, time).

Every process that knows the seed sees the same prices without talking to the others: the stand-in Gateway, the simulated
broker, feed and data. The market never closes; see `sessions` for what a day is, `tree` for how a price comes about, `keys`
for how instruments are named, `options` for what follows from another's price.

A future or option trades until its last moment (`Listing.last_trade_date`; 16:00 New York for options). Its last quote then
stands for ever, and there are no more ticks and bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from ibstream.calendar.hours import Group
from ibstream.calendar.sessions import Session, sessions
from ibstream.contracts.data import BarSize
from ibstream.simulation.bars import Bar, Kind, Span, Window, spans
from ibstream.simulation.depth import depth_of
from ibstream.simulation.extents import Averages, Extent, Instrument, Run, TimedQuote
from ibstream.simulation.indicators import INDICATORS, indicator_bar
from ibstream.simulation.keys import parse
from ibstream.simulation.listings import listing
from ibstream.simulation.options import OptionSeries
from ibstream.simulation.quotes import DayStatistics, Depth, Greeks, Quote, Side
from ibstream.simulation.series import Series
from ibstream.simulation.sessions import NEW_YORK, day_window, from_ns, new_york_date, to_ns
from ibstream.simulation.shapes import shape_of

__all__ = ["DayStatistics", "Depth", "Greeks", "Market", "Quote", "Side", "TimedQuote"]

_AVERAGE_PLACES = 6


class Market:
    """Quotes and bars of any instrument at any time, for one seed.

    No state but memos: two markets of one seed answer alike, whatever was asked before. May be used from several threads.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._series: dict[str, Instrument] = {}
        self._day: Window = (0, 0)

    def quote(self, symbol: str, time_ns: int) -> Quote:
        """The quote that stands at `time_ns`."""
        series = self._series.get(symbol) or self._new_series(symbol)
        # Whoever asks next most often asks for the same tick: other subscribers, the matching of orders.
        latest = series.latest
        if latest is not None and latest[0] <= time_ns < latest[1]:
            return latest[2]
        return series.timed_quote_at(time_ns)[2]

    def source(self, symbol: str) -> Callable[[int], TimedQuote]:
        """What answers as `quote` does for one symbol, and tells how long that stands: for who asks on and on."""
        series = self._series.get(symbol) or self._new_series(symbol)
        return series.timed_quote_at

    def run(self, symbol: str, time_ns: int, count: int) -> Run:
        """The quote that stands at `time_ns` and those after it, for less than they cost one by one."""
        series = self._series.get(symbol) or self._new_series(symbol)
        return series.run(time_ns, count)

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Quote]:
        """Every tick in `[start_ns, end_ns)`, oldest first."""
        series = self._series.get(symbol) or self._new_series(symbol)
        beyond = series.ticks_before(min(end_ns, series.shape.ends_ns))
        for sequence in range(series.ticks_before(start_ns), beyond):
            yield self.quote(symbol, series.time_of(sequence))

    def day(self, symbol: str, time_ns: int) -> DayStatistics:
        """The day so far, the tick that stands at `time_ns` included; of an expired instrument its last day."""
        series = self._series.get(symbol) or self._new_series(symbol)
        time_ns = min(time_ns, series.shape.ends_ns - 1)
        midnight, scale = self._midnight(time_ns), series.shape.scale
        today = series.extent_of(((midnight, time_ns + 1),))
        if today is None:
            raise AssertionError(f"no tick of {symbol} between New York's midnight and {time_ns}")
        opening, high, low, _ = today.trades
        before = self.quote(symbol, midnight - 1)
        return DayStatistics(opening / scale, high / scale, low / scale, before.last)

    def depth(self, symbol: str, time_ns: int, rows: int) -> Depth:
        """The best `rows` prices of both sides; the first are the quote's, with its sizes. Both are empty for an index."""
        quote, listed = self.quote(symbol, time_ns), listing(symbol)
        return depth_of(quote, self._series[symbol].shape, listed.security_type, listed.exchange, rows)

    def greeks(self, symbol: str, time_ns: int, side: Side = "model") -> Greeks | None:
        """An option's greeks at the tick that stands at `time_ns`, computed from its bid, ask, last or theoretical price.

        None for what is no option, for an expired one, and where no volatility gives the price.
        """
        series = self._series.get(symbol) or self._new_series(symbol)
        if not isinstance(series, OptionSeries) or time_ns >= series.shape.ends_ns:
            return None
        return series.greeks_at(time_ns, side)

    def bars(
        self,
        symbol: str,
        start: datetime,
        end: datetime,
        bar_size: BarSize,
        what: Kind = "TRADES",
        *,
        regular_hours: bool = True,
    ) -> list[Bar]:
        """The bars that start in `[start, end)`, oldest first; a bar that `end` cuts holds what came before `end`.

        `start` and `end` are aware datetimes, `bar_size` and `what` in IBKR's spelling. Spans without a tick are left out.
        The prices are exactly those the quotes of the same time show, whatever the size, but for some averages. ADJUSTED_LAST
        is TRADES, as nothing splits or pays dividends. BID_ASK has the average bid as open, the highest ask, the lowest bid and
        the average ask as close; the averages are the ticks' for up to an hour, and of a longer bar those of cells of five
        minutes, whose open, high, low and close stand for their ticks. An index has no bars of its book.
        """
        series = self._series.get(symbol) or self._new_series(symbol)
        found = spans(to_ns(start), to_ns(end), bar_size, regular_hours=regular_hours, group=self._hours(symbol))
        bars = (_bar(series, span, what) for span in found)
        return [bar for bar in bars if bar is not None]

    def schedule(self, symbol: str, start: datetime, end: datetime) -> list[Session]:
        """The regular sessions that touch `[start, end)`, oldest first; aware datetimes."""
        first, beyond = start.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date() + timedelta(days=2)
        found = sessions(self._hours(symbol), first, beyond)
        return [one for one in found if one.liquid_closes > start and one.liquid_opens < end]

    def _hours(self, symbol: str) -> Group:
        return listing(symbol).hours

    def _new_series(self, symbol: str) -> Instrument:
        parsed = parse(symbol)
        if parsed.security_type != "OPT":
            return self._series.setdefault(symbol, Series(symbol, shape_of(self.seed, symbol)))
        underlying = self._series.get(parsed.root) or self._new_series(parsed.root)
        if not isinstance(underlying, Series):
            raise TypeError(f"{symbol} is an option on an option")
        return self._series.setdefault(symbol, OptionSeries(self.seed, symbol, parsed, underlying))

    def _midnight(self, time_ns: int) -> int:
        day = self._day
        if not day[0] <= time_ns < day[1]:
            day = self._day = day_window(new_york_date(time_ns))
        return day[0]


def _bar(series: Instrument, span: Span, what: Kind) -> Bar | None:
    scale, start = series.shape.scale, from_ns(span.start_ns)
    if what in INDICATORS:
        return Bar(start, *indicator_bar(series.shape, what, span.windows), -1, -1.0, -1)
    if not series.shape.lot and what not in ("TRADES", "ADJUSTED_LAST"):
        return None
    if what == "BID_ASK":
        averages = series.averages_of(span.windows)
        return None if averages is None else _book_bar(start, averages, scale)
    extent = series.extent_of(span.windows)
    return None if extent is None else _price_bar(start, extent, what, scale)


def _price_bar(start: datetime, extent: Extent, what: Kind, scale: int) -> Bar:
    if what in ("TRADES", "ADJUSTED_LAST"):
        opening, high, low, close = (price / scale for price in extent.trades)
        return Bar(start, opening, high, low, close, extent.volume, round((high + low + close) / 3, 3), extent.ticks)
    if what == "MIDPOINT":
        opening, high, low, close = (
            (bid + ask) / (2 * scale) for bid, ask in zip(extent.bids, extent.asks, strict=True)
        )
    else:
        opening, high, low, close = (price / scale for price in (extent.bids if what == "BID" else extent.asks))
    return Bar(start, opening, high, low, close, -1, -1.0, -1)


def _book_bar(start: datetime, averages: Averages, scale: int) -> Bar:
    bid, ask = (round(price / scale, _AVERAGE_PLACES) for price in (averages.bid, averages.ask))
    return Bar(start, bid, averages.high_ask / scale, averages.low_bid / scale, ask, -1, -1.0, -1)
