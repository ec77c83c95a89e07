"""Ticks, depth and real-time bars.

The four that make up most of the traffic lie on the wire as follows, `|` standing for the NUL that ends a field. Where a
Struct would be too slow, `protocol.framing.frame_bytes` makes a frame of such fields::

    tickPrice    1|6|reqId|tickType|price|size|attributes|
    tickSize     2|6|reqId|tickType|size|
    tickGeneric  45|6|reqId|tickType|value|
    tickString   46|6|reqId|tickType|text|
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import INTEGER_MAX, Cursor, Number
from ibstream_gateway_emulator.protocol.kinds import UnsetAs, read_struct


class TickPrice(Message, frozen=True):
    """A price of a subscription, with its size; -1 and size 0 where there is none.

    Bits of `attributes`: 0 it can be executed automatically, 1 it is beyond the day's limit, 2 it is from before the opening.
    """

    HEAD = (1, 6)
    req_id: int
    tick_type: int
    price: Number
    size: Number
    attributes: int


class TickSize(Message, frozen=True):
    """A size of a subscription."""

    HEAD = (2, 6)
    req_id: int
    tick_type: int
    size: Number


class TickOptionComputation(Message, frozen=True):
    """Implied volatility, price and greeks of an option; -1 is unknown, of a greek -2. None may be empty: clients parse all.

    `tick_type` 10 bid, 11 ask, 12 last, 13 model, 80 to 83 the same delayed, 53 a calculation asked for. `basis` is 0 where
    the volatility comes from returns, 1 where it comes from prices.
    """

    HEAD = (21,)
    req_id: int
    tick_type: int
    basis: int
    implied_volatility: Number
    delta: Number
    price: Number
    present_value_of_dividends: Number
    gamma: Number
    vega: Number
    theta: Number
    underlying_price: Number


class TickGeneric(Message, frozen=True):
    """A number of a subscription that is neither price nor size."""

    HEAD = (45, 6)
    req_id: int
    tick_type: int
    value: Number


class TickString(Message, frozen=True):
    """A text of a subscription."""

    HEAD = (46, 6)
    req_id: int
    tick_type: int
    value: str


class TickSnapshotEnd(Message, frozen=True):
    """A snapshot is complete."""

    HEAD = (57, 1)
    req_id: int


class MarketDataType(Message, frozen=True):
    """Whether a subscription's data is live (1), frozen (2), delayed (3) or delayed frozen (4)."""

    HEAD = (58, 1)
    req_id: int
    market_data_type: int


class TickReqParams(Message, frozen=True):
    """The price tick of a subscription and what its snapshots cost."""

    HEAD = (81,)
    req_id: int
    min_tick: Number
    bbo_exchange: str
    snapshot_permissions: int


class DeltaNeutralValidation(Message, frozen=True):
    """The hedge that was agreed for a delta neutral order."""

    HEAD = (56, 1)
    req_id: int
    con_id: int
    delta: Number
    price: Number


class MarketDepth(Message, frozen=True):
    """One row of a book changes; `operation` 0 insert, 1 update, 2 delete; `side` 0 ask, 1 bid."""

    HEAD = (12, 1)
    req_id: int
    position: int
    operation: int
    side: int
    price: Number
    size: Number


class MarketDepthL2(Message, frozen=True):
    """One row of a book that names the market maker or, for smart depth, the exchange changes."""

    HEAD = (13, 1)
    req_id: int
    position: int
    market_maker: str
    operation: int
    side: int
    price: Number
    size: Number
    is_smart_depth: bool


class DepthExchange(msgspec.Struct, frozen=True):
    """An exchange of which the book can be had."""

    exchange: str
    security_type: str
    listing_exchange: str
    service: str
    aggregate_group: Annotated[int | None, UnsetAs(INTEGER_MAX)]


class DepthExchanges(Message, frozen=True):
    """The exchanges of which the book can be had."""

    HEAD = (80,)
    exchanges: tuple[DepthExchange, ...]


class SmartComponent(msgspec.Struct, frozen=True):
    """One exchange behind a BBO exchange code."""

    bit: int
    exchange: str
    letter: str


class SmartComponents(Message, frozen=True):
    """The exchanges behind a BBO exchange code."""

    HEAD = (82,)
    req_id: int
    components: tuple[SmartComponent, ...]


class RealTimeBar(Message, frozen=True):
    """A bar of five seconds that begins at `epoch_s`."""

    HEAD = (50, 3)
    req_id: int
    epoch_s: int
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    average: Number
    count: int


class TickByTick(Message, frozen=True):
    """Base of the three shapes of a tick-by-tick message, told apart by `tick_type`; `epoch_s` is when it happened."""

    HEAD = (99,)
    req_id: int
    tick_type: int
    epoch_s: int

    @classmethod
    def read(cls, cursor: Cursor) -> Message:
        """The message in the shape that its tick type names. Raises `FieldError` for a type that is not known."""
        tick_type = cursor.peek_integer(1)
        shape = _SHAPES.get(tick_type)
        if shape is None:
            raise FieldError(f"{tick_type} is no type of tick-by-tick message")
        return read_struct(shape, cursor)


class TickByTickTrade(TickByTick, frozen=True):
    """A trade; `tick_type` 1 of those that count as last, 2 of all. Bits: 0 beyond the limit, 1 not reported to the tape."""

    price: Number
    size: Number
    attributes: int
    exchange: str
    conditions: str


class TickByTickBidAsk(TickByTick, frozen=True):
    """A new best bid or offer; `tick_type` 3. Bits: 0 bid below the day's low, 1 ask above the day's high."""

    bid: Number
    ask: Number
    bid_size: Number
    ask_size: Number
    attributes: int


class TickByTickMidpoint(TickByTick, frozen=True):
    """A new middle between bid and ask; `tick_type` 4."""

    midpoint: Number


_SHAPES: dict[int, type[TickByTick]] = {
    1: TickByTickTrade,
    2: TickByTickTrade,
    3: TickByTickBidAsk,
    4: TickByTickMidpoint,
}
