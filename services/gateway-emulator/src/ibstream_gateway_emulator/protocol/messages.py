"""What the server sends: one Struct per message with its fields in wire order.

`HEAD` is what a message begins with: its id, and where the layout has one, its version. Numbers are written as they are,
a flag as 1 or 0, None as an empty field, a tuple as its length and its items, a Struct within as its own fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX
from ibstream_gateway_emulator.protocol.framing import frame

Number = int | float | Decimal


class Message(msgspec.Struct, frozen=True):
    """Base of all messages to a client."""

    HEAD: ClassVar[tuple[int, ...]] = ()

    def fields(self, server_version: int) -> Iterator[str]:
        """The fields in wire order, without the head."""
        del server_version
        for value in msgspec.structs.astuple(self):
            kind = type(value)
            # Ticks hold nothing but these, and are by far the most messages.
            if kind is str:
                yield value
            elif kind is int or kind is float:
                yield str(value)
            else:
                yield from _texts(value)


def encode(message: Message, server_version: int) -> bytes:
    """The frame of a message for a client that speaks `server_version`."""
    return frame((*map(str, message.HEAD), *message.fields(server_version)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        yield str(len(value))
        for item in value:
            yield from _texts(item)
    elif isinstance(value, msgspec.Struct):
        for inner in msgspec.structs.astuple(value):
            yield from _texts(inner)
    else:
        yield text_of(value)


def text_of(value: str | bool | Number | None) -> str:
    """One value as a field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


class Contract11(msgspec.Struct, frozen=True, kw_only=True):
    """The eleven fields that name an instrument in answers: those of a request without the primary exchange."""

    con_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0.0"
    right: str = ""
    multiplier: str = ""
    exchange: str
    currency: str = "USD"
    local_symbol: str
    trading_class: str


class NextValidId(Message, frozen=True):
    """The lowest order id the client may use."""

    HEAD = (9, 1)
    order_id: int


class ManagedAccounts(Message, frozen=True):
    """The accounts of the login, separated by commas."""

    HEAD = (15, 1)
    accounts: str


class Error(Message, frozen=True):
    """An error, a warning or a notice; `req_id` is that of a request or an order, or -1."""

    HEAD = (4, 2)
    req_id: int
    code: int
    text: str
    advanced_reject: str = ""


class CurrentTime(Message, frozen=True):
    """Seconds since 1970-01-01 UTC."""

    HEAD = (49, 1)
    epoch_s: int


class TickPrice(Message, frozen=True):
    """A price of a subscription, with its size; attribute bit 0: it can be executed automatically."""

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


class OrderStatus(Message, frozen=True, kw_only=True):
    """Where an order stands."""

    HEAD = (3,)
    order_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    average_fill_price: Number
    perm_id: int
    parent_id: int = 0
    last_fill_price: Number
    client_id: int
    why_held: str = ""
    market_cap_price: Number = 0


class OpenOrderEnd(Message, frozen=True):
    """All open orders are out."""

    HEAD = (53, 1)


class CompletedOrdersEnd(Message, frozen=True):
    """All completed orders are out."""

    HEAD = (102,)


class ExecDetails(Message, frozen=True, kw_only=True):
    """One execution; `req_id` is -1 where it was not asked for."""

    HEAD = (11,)
    req_id: int
    order_id: int
    contract: Contract11
    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    shares: Decimal
    price: Decimal
    perm_id: int
    client_id: int
    liquidation: int = 0
    cumulative_quantity: Decimal
    average_price: Number
    order_ref: str
    ev_rule: str = ""
    ev_multiplier: str = ""
    model_code: str = ""
    last_liquidity: int

    def fields(self, server_version: int) -> Iterator[str]:
        """Adds the flag for a price that is still to be revised, which 178 brought."""
        yield from super().fields(server_version)
        if server_version >= 178:
            yield "0"


class ExecDetailsEnd(Message, frozen=True):
    """All executions asked for are out."""

    HEAD = (55, 1)
    req_id: int


class CommissionReport(Message, frozen=True):
    """What an execution cost, and what it realized."""

    HEAD = (59, 1)
    exec_id: str
    commission: Number
    currency: str
    realized_pnl: Number | str
    yield_: str = DOUBLE_MAX
    yield_redemption_date: str = ""


class PositionData(Message, frozen=True):
    """What is held of one instrument."""

    HEAD = (61, 3)
    account: str
    contract: Contract11
    quantity: Decimal
    average_cost: Number


class PositionEnd(Message, frozen=True):
    """All positions are out; changes follow."""

    HEAD = (62, 1)


class AccountValue(Message, frozen=True):
    """One value of the account."""

    HEAD = (6, 2)
    key: str
    value: str
    currency: str
    account: str


class PortfolioValue(Message, frozen=True, kw_only=True):
    """What is held of one instrument, and what it is worth."""

    HEAD = (7, 8)
    con_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0.0"
    right: str = ""
    multiplier: str = ""
    primary_exchange: str
    currency: str = "USD"
    local_symbol: str
    trading_class: str
    quantity: Decimal
    market_price: Number
    market_value: Number
    average_cost: Number
    unrealized_pnl: Number
    realized_pnl: Number
    account: str


class AccountUpdateTime(Message, frozen=True):
    """When the account values were computed, hh:mm in the gateway's time zone."""

    HEAD = (8, 1)
    time: str


class AccountDownloadEnd(Message, frozen=True):
    """All account values and portfolio items are out; changes follow."""

    HEAD = (54, 1)
    account: str


class AccountSummary(Message, frozen=True):
    """One value of a summary."""

    HEAD = (63, 1)
    req_id: int
    account: str
    tag: str
    value: str
    currency: str


class AccountSummaryEnd(Message, frozen=True):
    """The summary is complete; changes follow."""

    HEAD = (64, 1)
    req_id: int


class AccountUpdateMulti(Message, frozen=True):
    """One value of the account under a request id."""

    HEAD = (73, 1)
    req_id: int
    account: str
    model_code: str
    key: str
    value: str
    currency: str


class AccountUpdateMultiEnd(Message, frozen=True):
    """All values under a request id are out; changes follow."""

    HEAD = (74, 1)
    req_id: int


class ContractData(Message, frozen=True, kw_only=True):
    """All about one instrument. The long name must hold no backslash: clients read it as an escaped text."""

    HEAD = (10,)
    req_id: int
    symbol: str
    security_type: str = "STK"
    last_trade_date: str = ""
    strike: str = "0"
    right: str = ""
    exchange: str
    currency: str = "USD"
    local_symbol: str
    market_name: str
    trading_class: str
    con_id: int
    min_tick: Number
    multiplier: str = ""
    order_types: str
    valid_exchanges: str
    price_magnifier: int = 1
    under_con_id: int = 0
    long_name: str
    primary_exchange: str
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone_id: str
    trading_hours: str
    liquid_hours: str
    ev_rule: str = ""
    ev_multiplier: str = ""
    security_ids: tuple[str, ...] = ()
    aggregate_group: int = 1
    under_symbol: str = ""
    under_security_type: str = ""
    market_rule_ids: str
    real_expiration_date: str = ""
    stock_type: str = "COMMON"
    min_size: Number = 1
    size_increment: Number = 1
    suggested_size_increment: Number = 100


class ContractDataEnd(Message, frozen=True):
    """All instruments that fit are out."""

    HEAD = (52, 1)
    req_id: int


class SymbolSample(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument found by a text."""

    con_id: int
    symbol: str
    security_type: str = "STK"
    primary_exchange: str
    currency: str = "USD"
    derivatives: tuple[str, ...] = ()
    description: str
    issuer_id: str = ""


class SymbolSamples(Message, frozen=True):
    """The instruments found by a text."""

    HEAD = (79,)
    req_id: int
    samples: tuple[SymbolSample, ...]


class HistoricalBar(msgspec.Struct, frozen=True):
    """One bar."""

    date: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    average: str
    count: int


class HistoricalData(Message, frozen=True):
    """All bars asked for, in one frame."""

    HEAD = (17,)
    req_id: int
    start: str
    end: str
    bars: tuple[HistoricalBar, ...]


class HeadTimestamp(Message, frozen=True):
    """When the history of an instrument begins."""

    HEAD = (88,)
    req_id: int
    time: str


class PriceIncrement(msgspec.Struct, frozen=True):
    """From a price on, in what steps prices go."""

    low_edge: Number
    increment: Number


class MarketRule(Message, frozen=True):
    """The price increments of a rule."""

    HEAD = (93,)
    rule_id: int
    increments: tuple[PriceIncrement, ...]
