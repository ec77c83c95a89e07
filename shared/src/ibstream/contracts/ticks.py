"""Streams `ticks:<symbol>`, `bars:<symbol>`, `depth:<symbol>`: what is followed on request, symbol by symbol."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Message, TimeNs, UtcDatetime

DEPTH_LEVELS = 10
"""Rows of a book on each side, at most."""


class TradeTick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One trade, a JSON array in this order. New columns are only ever appended."""

    time_s: int
    """Of the trade, by IBKR: seconds since 1970-01-01 UTC."""
    price: float
    size: float
    exchange: str = ""
    conditions: str = ""
    """Special conditions, as IBKR writes them."""
    past_limit: bool = False
    """Whether it was beyond the limit up or limit down."""
    unreported: bool = False
    """Whether it is not reported to the tape."""
    received_ns: TimeNs = 0
    """When the feed received it."""


class BidAskTick(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of bid or ask, a JSON array in this order. New columns are only ever appended."""

    time_s: int
    """By IBKR: seconds since 1970-01-01 UTC."""
    bid: float | None
    ask: float | None
    bid_size: float
    ask_size: float
    received_ns: TimeNs = 0
    """When the feed received it."""


class TickBatch(Message, frozen=True, kw_only=True, tag="ticks.batch.v1"):
    """Every tick since the entry before, nothing conflated. `epoch` and `seq` as of `quotes.batch.v1`, counted per symbol.

    A new epoch starts wherever ticks may be missing, or told twice: after a loss of the session or of the Gateway's link to
    IBKR, when the subscription begins again, when Redis was away for so long that the oldest were dropped, and when an entry
    is not known to have been written, whose ticks are then told again.
    """

    symbol: str
    epoch: Annotated[int, Meta(ge=0)]
    seq: Annotated[int, Meta(ge=1)]
    published_at: TimeNs
    trades: list[TradeTick] = []
    """In the order in which they came."""
    quotes: list[BidAskTick] = []
    """In the order in which they came."""


class FiveSecondBar(Message, frozen=True, kw_only=True, tag="bars.five_seconds.v1"):
    """Five seconds of trades, told once they are over; of a currency pair, which has none, five seconds of its midpoint.

    One that is not known to have been written is told again: `at` tells it from the next.
    """

    symbol: str
    at: UtcDatetime
    """When it begins."""
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    """Null where the bar is of midpoints."""
    wap: float | None
    """Average price, weighted by volume; null where the bar is of midpoints."""
    count: int | None
    """How many trades; null where the bar is of midpoints."""


class Level(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of a book, a JSON array in this order."""

    price: float
    size: float
    market_maker: str = ""
    """The exchange, or the market maker, where IBKR tells it."""


class Depth(Message, frozen=True, kw_only=True, tag="depth.book.v1"):
    """The whole book as it stands, best rows first. Told when it has changed, at most four times a second.

    Both sides are empty where it is not kept up: the session or the Gateway's link to IBKR is lost, IBKR has reset the book, or
    nobody follows it any more.
    """

    symbol: str
    bids: list[Level]
    asks: list[Level]
    received_ns: TimeNs
    """When the feed received its newest change."""
