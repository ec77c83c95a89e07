"""What the generic tick list adds to a quote, from what the simulated market knows.

All of it follows from the seed, the instrument and the time. The 13, 26 and 52 weeks are calendar weeks, the average volume is
that of the last 13 of them by trading day, in shares; the volatilities are those of 30 daily closes, and of an option at the
money a month ahead. The average price in RTVolume is the same stand-in as in daily bars: high, low and last by three. Every
share can be sold short. There are no auctions, so nothing is told of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import msgspec

from ibstream.calendar.sessions import is_open, sessions
from ibstream.simulation.hashing import splitmix64, stable_hash
from ibstream.simulation.instruments import Listing
from ibstream.simulation.keys import option_key
from ibstream.simulation.market import Market
from ibstream.simulation.quotes import DayStatistics, Quote
from ibstream.simulation.sessions import NEW_YORK, day_window, from_ns, new_york_date, to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain import generic_ticks as asked
from ibstream_gateway_emulator.domain.ticks import GENERIC, NO_ATTRIBUTES, PRICE, SIZE, STRING, Tick

WEEKS = ((13, 15, 16), (26, 17, 18), (52, 19, 20))
"""Weeks looked back, and the types of their low and high."""
(
    AVERAGE_VOLUME, HISTORICAL_VOLATILITY, IMPLIED_VOLATILITY, MARK_PRICE, SHORTABLE, RT_VOLUME, TRADE_COUNT, TRADE_RATE,
    VOLUME_RATE, LAST_RTH_TRADE, RT_HISTORICAL_VOLATILITY, RT_TRADE_VOLUME, SHORTABLE_SHARES,
) = (21, 23, 24, 37, 46, 48, 54, 55, 56, 57, 58, 77, 89)  # fmt: skip
_MINUTES = {3: 63, 5: 64, 10: 65}
_MINUTE_NS = 60 * NS_PER_S
_EASY_TO_BORROW = 3.0
"""Above 2.5 IBKR means: at least a thousand shares can be sold short."""
_SHARES_MIN, _SHARES = 100_000, 10_000_000
_VOLATILITY_DAYS, _TRADING_DAYS = 30, 252
_MONTH = timedelta(days=30)
_LONGEST_CLOSURE = timedelta(days=10)
_PLACES = 6
_TRADING_DAYS_A_WEEK = 5


class Known(msgspec.Struct, frozen=True):
    """What an extra is read from."""

    market: Market
    listing: Listing
    quote: Quote
    day: DayStatistics


def rt_volume(known: Known, tick_type: int) -> list[Tick]:
    """`price;size;milliseconds;volume;average;single` of the last trade; each trade is one market maker's."""
    quote, day = known.quote, known.day
    average = round((day.high + day.low + quote.last) / 3, _PLACES)
    text = f"{quote.last};{quote.last_size};{quote.time_ns // 1_000_000};{quote.volume};{average};true"
    return [(STRING, tick_type, text)]


def mark_price(known: Known) -> list[Tick]:
    """The last trade within bid and ask, the middle where trades are not told."""
    quote = known.quote
    mark = quote.last
    if known.listing.has_book:
        middle = round((quote.bid + quote.ask) / 2, _PLACES)
        mark = min(max(mark, quote.bid), quote.ask) if known.listing.has_trades else middle
    return [(PRICE, MARK_PRICE, mark, 0, NO_ATTRIBUTES)]


def shortable(known: Known) -> list[Tick]:
    """That the share can be sold short, and how many of them on this day."""
    bits = splitmix64(known.market.seed ^ stable_hash(known.listing.symbol) ^ _midnight(known.quote.time_ns))
    shares = _SHARES_MIN + bits % _SHARES // 100 * 100
    return [(GENERIC, SHORTABLE, _EASY_TO_BORROW), (SIZE, SHORTABLE_SHARES, shares)]


def trade_count(known: Known) -> list[Tick]:
    """Trades since midnight."""
    before = known.market.quote(known.listing.symbol, _midnight(known.quote.time_ns) - 1)
    return [(GENERIC, TRADE_COUNT, float(known.quote.sequence - before.sequence))]


def trade_rate(known: Known) -> list[Tick]:
    """Trades in the last minute."""
    before = known.market.quote(known.listing.symbol, known.quote.time_ns - _MINUTE_NS)
    return [(GENERIC, TRADE_RATE, float(known.quote.sequence - before.sequence))]


def volume_rate(known: Known) -> list[Tick]:
    """Volume of the last minute."""
    return [(GENERIC, VOLUME_RATE, float(_volume_of(known, 1)))]


def short_term_volume(known: Known) -> list[Tick]:
    """Volume of the last three, five and ten minutes."""
    return [(SIZE, tick_type, _volume_of(known, minutes)) for minutes, tick_type in _MINUTES.items()]


def last_rth_trade(known: Known) -> list[Tick]:
    """The last trade in regular hours."""
    at, group = from_ns(known.quote.time_ns), known.listing.hours
    price = known.quote.last
    if not is_open(group, at):
        price = known.market.quote(known.listing.symbol, to_ns(last_close(known.listing, at)) - 1).last
    return [(PRICE, LAST_RTH_TRADE, price, 0, NO_ATTRIBUTES)]


def historical_volatility(known: Known, tick_type: int) -> list[Tick]:
    """Yearly standard deviation of the daily returns of the last thirty days with a regular session."""
    end = from_ns(known.quote.time_ns)
    start = end - timedelta(days=2 * _VOLATILITY_DAYS)
    bars = known.market.bars(known.listing.symbol, start, end, "1 day")[-_VOLATILITY_DAYS - 1 :]
    returns = [math.log(after.close / before.close) for before, after in pairwise(bars)]
    if not returns:
        return []
    mean = sum(returns) / len(returns)
    variance = sum((one - mean) ** 2 for one in returns) / max(len(returns) - 1, 1)
    return [(GENERIC, tick_type, round(math.sqrt(variance * _TRADING_DAYS), _PLACES))]


def implied_volatility(known: Known) -> list[Tick]:
    """The volatility of an option at the money that ends in a month."""
    key = option_key(known.listing.symbol, _date(known) + _MONTH, round(known.quote.last), "C")
    greeks = known.market.greeks(key, known.quote.time_ns)
    return [] if greeks is None else [(GENERIC, IMPLIED_VOLATILITY, round(greeks.implied_volatility, _PLACES))]


def miscellaneous(known: Known) -> list[Tick]:
    """Lows and highs of 13, 26 and 52 weeks, and the average volume."""
    end = from_ns(known.quote.time_ns)
    longest = WEEKS[-1][0]
    bars = known.market.bars(known.listing.symbol, end - timedelta(weeks=longest), end, "1 week", regular_hours=False)
    ticks: list[Tick] = []
    for weeks, low, high in WEEKS:
        lately = bars[-weeks:]
        ticks.append((PRICE, low, min(bar.low for bar in lately), 0, NO_ATTRIBUTES))
        ticks.append((PRICE, high, max(bar.high for bar in lately), 0, NO_ATTRIBUTES))
    if known.listing.security_type == "STK":
        lately = bars[-WEEKS[0][0] :]
        average = sum(bar.volume for bar in lately) // (len(lately) * _TRADING_DAYS_A_WEEK)
        ticks.append((SIZE, AVERAGE_VOLUME, average))
    return ticks


def last_close(listing: Listing, at: datetime) -> datetime:
    """When the regular session before `at` ended; an aware datetime in UTC."""
    day = at.astimezone(NEW_YORK).date()
    found = sessions(listing.hours, day - _LONGEST_CLOSURE, day + timedelta(days=1))
    return max(one.liquid_closes for one in found if one.liquid_closes <= at)


Extra = Callable[[Known], list[Tick]]

QUICK: dict[int, Extra] = {
    **dict.fromkeys(asked.MARK_PRICES, mark_price),
    asked.AUCTION: lambda _: [],
    asked.RT_VOLUME: lambda known: rt_volume(known, RT_VOLUME),
    asked.RT_TRADE_VOLUME: lambda known: rt_volume(known, RT_TRADE_VOLUME),
    asked.SHORTABLE: shortable,
    asked.TRADE_COUNT: trade_count,
    asked.TRADE_RATE: trade_rate,
    asked.VOLUME_RATE: volume_rate,
    asked.SHORT_TERM_VOLUME: short_term_volume,
    asked.LAST_RTH_TRADE: last_rth_trade,
}
"""Extras that may change with every quote."""

SLOW: dict[int, Extra] = {
    asked.HISTORICAL_VOLATILITY: lambda known: historical_volatility(known, HISTORICAL_VOLATILITY),
    asked.RT_HISTORICAL_VOLATILITY: lambda known: historical_volatility(known, RT_HISTORICAL_VOLATILITY),
    asked.IMPLIED_VOLATILITY: implied_volatility,
    asked.MISCELLANEOUS: miscellaneous,
}
"""Extras that take milliseconds to compute, and are told once a day."""


def _volume_of(known: Known, minutes: int) -> int:
    """Volume of the last minutes; the count starts anew at midnight."""
    quote = known.quote
    before = known.market.quote(known.listing.symbol, quote.time_ns - minutes * _MINUTE_NS)
    if before.volume <= quote.volume:
        return quote.volume - before.volume
    last = known.market.quote(known.listing.symbol, _midnight(quote.time_ns) - 1)
    return last.volume - before.volume + quote.volume


def _midnight(time_ns: int) -> int:
    return day_window(new_york_date(time_ns))[0]


def _date(known: Known) -> datetime:
    return from_ns(known.quote.time_ns).astimezone(NEW_YORK)
