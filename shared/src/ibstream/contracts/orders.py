"""Streams `orders:requests` and `orders:events`: what strategies ask for, and every step of what became of it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ibstream.contracts.base import Message, Symbol, Text, UtcDatetime
from ibstream.contracts.instrument import Instrument

ClientOrderId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9:_-]{1,32}$(?!\n)",
        description="the strategy's own id of the order; sent to IBKR as orderRef",
    ),
]
Strategy = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$(?!\n)")]
Account = Annotated[str, Meta(max_length=32, description="IBKR account; empty for the session's own")]


class Side(StrEnum):
    """Which way."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How the price is found."""

    MARKET = "MKT"
    LIMIT = "LMT"


class TimeInForce(StrEnum):
    """How long the order works."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"


class OrderStatus(StrEnum):
    """Where an order stands. The last three are outcomes: exactly one of them ends every request's story."""

    PENDING_SUBMIT = "pending_submit"
    """Journalled and on its way; IBKR has not spoken yet."""
    SUBMITTED = "submitted"
    """IBKR works it (or holds it for the session to open)."""
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    """The cancel is on its way; the order can still fill."""
    UNKNOWN = "unknown"
    """No clear answer. Reconciliation resolves it; it is never resent blindly."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


FINAL_STATUSES = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED})
"""The outcomes. No status follows one of these."""


class Reason(StrEnum):
    """Why an order was refused, ended or is unclear: a closed list for machines. `text` has the sentence for people."""

    NONE = ""
    GATEWAY_DISCONNECTED = "gateway_disconnected"
    LINK_LOST = "link_lost"
    RECONCILING = "reconciling"
    HALTED = "halted"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    AMBIGUOUS_INSTRUMENT = "ambiguous_instrument"
    INVALID_QUANTITY = "invalid_quantity"
    INVALID_PRICE = "invalid_price"
    INVALID_ACCOUNT = "invalid_account"
    INVALID_TIME = "invalid_time"
    UNKNOWN_ORDER = "unknown_order"
    ORDER_IS_FINAL = "order_is_final"
    REJECTED_BY_IBKR = "rejected_by_ibkr"
    CANCELLED_BY_IBKR = "cancelled_by_ibkr"
    CANCEL_REQUESTED = "cancel_requested"
    NO_ANSWER = "no_answer"


class SubmitOrder(Message, frozen=True, kw_only=True, tag="orders.submit.v1"):
    """Ask for one order. A repeated `client_order_id` is answered with the first order's state and never sent again."""

    client_order_id: ClientOrderId
    strategy: Strategy
    instrument: Instrument
    side: Side
    quantity: Decimal
    """Shares; whole, because IBKR takes no fractions of stocks over its API."""
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    """In the instrument's currency, on its price tick. Required for LMT, refused for MKT."""
    time_in_force: TimeInForce = TimeInForce.DAY
    outside_regular_hours: bool = False
    account: Account = ""
    requested_at: UtcDatetime
    valid_until: UtcDatetime | None = None
    """Not sent to IBKR after this time. Default: `orders.valid_for_s` after `requested_at`."""


class ModifyOrder(Message, frozen=True, kw_only=True, tag="orders.modify.v1"):
    """Ask for another quantity or limit price on a working order. What is None stays as it is."""

    client_order_id: ClientOrderId
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    requested_at: UtcDatetime


class CancelOrder(Message, frozen=True, kw_only=True, tag="orders.cancel.v1"):
    """Ask to end a working order."""

    client_order_id: ClientOrderId
    requested_at: UtcDatetime


class CancelAllOrders(Message, frozen=True, kw_only=True, tag="orders.cancel_all.v1"):
    """Ask to end every working order that fits; a field left empty fits all."""

    strategy: Annotated[str, Meta(max_length=32)] = ""
    symbol: Annotated[str, Meta(max_length=32)] = ""
    account: Account = ""
    requested_at: UtcDatetime


OrderRequest = SubmitOrder | ModifyOrder | CancelOrder | CancelAllOrders


class OrderStatusChanged(Message, frozen=True, kw_only=True, tag="orders.status.v1"):
    """A step of an order. `seq` counts the order's events from 1 without a gap, fills and commissions included."""

    client_order_id: ClientOrderId
    seq: int
    status: OrderStatus
    final: bool
    """True for an outcome; nothing but late commissions follows."""
    reason: Reason = Reason.NONE
    text: Text = ""
    code: int = 0
    """IBKR's code where it gave one, else 0."""
    strategy: str = ""
    symbol: str = ""
    side: Side | None = None
    quantity: Decimal = Decimal(0)
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    account: str = ""
    order_id: int = 0
    """IBKR's order id in this client id; not an identity across Gateway restarts."""
    perm_id: int = 0
    """IBKR's permanent id; 0 until acknowledged."""
    at: UtcDatetime


class OrderFilled(Message, frozen=True, kw_only=True, tag="orders.fill.v1"):
    """One execution. The ledger's key is `exec_id`; a correction carries the id of what it replaces."""

    client_order_id: ClientOrderId
    seq: int
    exec_id: str
    replaces_exec_id: str = ""
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    cumulative_quantity: Decimal
    """Filled so far, this execution included."""
    account: str
    exchange: str = ""
    perm_id: int = 0
    executed_at: UtcDatetime
    at: UtcDatetime


class CommissionCharged(Message, frozen=True, kw_only=True, tag="orders.commission.v1"):
    """What IBKR charged for one execution; may come after the order's outcome."""

    client_order_id: ClientOrderId
    seq: int
    exec_id: str
    commission: Decimal
    currency: str
    realized_pnl: Decimal | None = None
    at: UtcDatetime


class RequestRefused(Message, frozen=True, kw_only=True, tag="orders.refused.v1"):
    """A modify or cancel that could not be done, or a repeated submit. The order itself stands as it stood."""

    client_order_id: ClientOrderId
    request: str
    """The type of the request that was refused."""
    reason: Reason
    text: Text = ""
    code: int = 0
    status: OrderStatus | None = None
    """Where the order stands, if there is one."""
    at: UtcDatetime


OrderEvent = OrderStatusChanged | OrderFilled | CommissionCharged | RequestRefused
