"""From quotes to ticks: what of a quote is new to a subscription, in the order a Gateway tells it.

A tick is a tuple: the id of the message that carries it, the tick type, and the message's other fields, see `Tick`. A price is
followed by its size in a message of its own; where only the size changed there is no price. A bid or an ask that is not there
is told as price -1 with size 0. An index has a last price alone, a currency pair and a combination a bid and an ask alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ibstream.simulation.quotes import DayStatistics, Greeks, Quote
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.protocol.messages import (
    Message,
    TickGeneric,
    TickOptionComputation,
    TickPrice,
    TickSize,
    TickString,
)

PRICE, SIZE, OPTION, GENERIC, STRING = 1, 2, 21, 45, 46
"""The messages that carry ticks."""

Tick = tuple[Any, ...]
"""`(PRICE, type, price, size, attributes)`, `(SIZE, type, size)`, `(GENERIC, type, number)`, `(STRING, type, text)` or
`(OPTION, type, basis, volatility, delta, price, dividends, gamma, vega, theta, underlying)`."""

BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE = range(10)
BID_GREEKS, ASK_GREEKS, LAST_GREEKS, MODEL_GREEKS = range(10, 14)
OPEN, LAST_TIMESTAMP, HALTED = 14, 45, 49

NO_PRICE = -1.0
AUTO_EXECUTE, NO_ATTRIBUTES = 1, 0
_FROM_PRICES = 1

DELAYED_TYPES = {
    BID: 66, ASK: 67, LAST: 68, BID_SIZE: 69, ASK_SIZE: 70, LAST_SIZE: 71, HIGH: 72, LOW: 73, VOLUME: 74, CLOSE: 75, OPEN: 76,
    BID_GREEKS: 80, ASK_GREEKS: 81, LAST_GREEKS: 82, MODEL_GREEKS: 83, LAST_TIMESTAMP: 88, HALTED: 90,
}  # fmt: skip
"""Under which types delayed data comes. Source: IBKR's table of tick types. Others have no delayed form."""

_SHAPES: dict[int, type[Message]] = {
    PRICE: TickPrice,
    SIZE: TickSize,
    OPTION: TickOptionComputation,
    GENERIC: TickGeneric,
    STRING: TickString,
}


class Kind(msgspec.Struct, frozen=True):
    """What is told of an instrument."""

    has_book: bool = True
    """Bid and ask."""
    has_trades: bool = True
    """The last price and its time."""
    has_volume: bool = True
    """Sizes of trades, and the day's volume."""
    has_day: bool = True
    """Open, high, low, and the close of the day before."""


def quote_ticks(quote: Quote, told: Quote | None, kind: Kind) -> list[Tick]:
    """What of `quote` is new to who was told `told`; all of it where nothing was told yet."""
    ticks: list[Tick] = []
    if kind.has_book:
        _book(ticks, quote, told)
    if kind.has_trades:
        _trade(ticks, quote, told, has_volume=kind.has_volume)
    return ticks


def _book(ticks: list[Tick], quote: Quote, told: Quote | None) -> None:
    size = quote.bid_size
    if told is None or quote.bid != told.bid or (size == 0) != (told.bid_size == 0):
        ticks.append((PRICE, BID, quote.bid if size else NO_PRICE, size, AUTO_EXECUTE))
        ticks.append((SIZE, BID_SIZE, size))
    elif size != told.bid_size:
        ticks.append((SIZE, BID_SIZE, size))
    size = quote.ask_size
    if told is None or quote.ask != told.ask or (size == 0) != (told.ask_size == 0):
        ticks.append((PRICE, ASK, quote.ask if size else NO_PRICE, size, AUTO_EXECUTE))
        ticks.append((SIZE, ASK_SIZE, size))
    elif size != told.ask_size:
        ticks.append((SIZE, ASK_SIZE, size))


def _trade(ticks: list[Tick], quote: Quote, told: Quote | None, *, has_volume: bool) -> None:
    second, size = quote.time_ns // NS_PER_S, quote.last_size
    if told is None or second != told.time_ns // NS_PER_S:
        ticks.append((STRING, LAST_TIMESTAMP, str(second)))
    if told is None or quote.last != told.last:
        ticks.append((PRICE, LAST, quote.last, size, NO_ATTRIBUTES))
        if has_volume:
            ticks.append((SIZE, LAST_SIZE, size))
    elif has_volume and size != told.last_size:
        ticks.append((SIZE, LAST_SIZE, size))
    if has_volume and (told is None or quote.volume != told.volume):
        ticks.append((SIZE, VOLUME, quote.volume))


def day_ticks(day: DayStatistics, told: DayStatistics | None) -> list[Tick]:
    """What of the day's figures is new."""
    figures = (
        (HIGH, day.high, told and told.high),
        (LOW, day.low, told and told.low),
        (CLOSE, day.previous_close, told and told.previous_close),
        (OPEN, day.open, told and told.open),
    )
    return [(PRICE, tick_type, new, 0, NO_ATTRIBUTES) for tick_type, new, old in figures if new != old]


def greek_tick(tick_type: int, greeks: Greeks) -> Tick:
    """An option's computation for one of its prices."""
    return (
        OPTION,
        tick_type,
        _FROM_PRICES,
        greeks.implied_volatility,
        greeks.delta,
        greeks.price,
        greeks.pv_dividend,
        greeks.gamma,
        greeks.vega,
        greeks.theta,
        greeks.under_price,
    )


def halted_tick(*, is_halted: bool = False) -> Tick:
    """Whether trading is halted."""
    return GENERIC, HALTED, 1 if is_halted else 0


def delayed(ticks: list[Tick]) -> list[Tick]:
    """The same ticks under the types of delayed data; those without one are left out."""
    return [(tick[0], DELAYED_TYPES[tick[1]], *tick[2:]) for tick in ticks if tick[1] in DELAYED_TYPES]


def message_of(req_id: int, tick: Tick) -> Message:
    """The tick as a message of a subscription."""
    return _SHAPES[tick[0]](req_id, *tick[1:])
