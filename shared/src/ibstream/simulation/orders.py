"""What the matching engine takes and what it answers: tickets in, events out."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from ibstream.contracts.orders import OrderType, Side, TimeInForce

OrderId = int | str
"""The caller's own id of an order; unique among the orders that ever went to one engine."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One order as it is asked for. Prices in USD, quantities in shares."""

    order_id: OrderId
    symbol: str
    """Canonical form: `BRK.B`."""
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    """Required for a limit order, ignored for a market order."""
    time_in_force: TimeInForce = TimeInForce.DAY
    """A day order lasts until New York's midnight: the simulated market has no close."""


class WorkingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is in the book."""

    ticket: Ticket
    expires_ns: int | None
    """When a day order ends, nanoseconds since the epoch; None for the others."""
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    """USD traded so far: the sum of quantity times price."""
    matched_sequence: int = -1
    """The last tick this order traded against; no tick's size is traded twice."""
    rested: bool = False
    """Whether it has waited in the book, so that its next fill adds liquidity."""

    @property
    def remaining(self) -> Decimal:
        """Shares still to be filled."""
        return self.ticket.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """USD a share over all fills so far; 0 before the first."""
        return self.value / self.filled if self.filled else Decimal(0)


class CancelReason(StrEnum):
    """Why an order ended unfilled."""

    REQUESTED = "requested"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    """The rest of an IOC order that nobody took at once."""
    EXPIRED = "expired"
    """A day order at the end of its day."""


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    order_id: OrderId
    time_ns: int


class Accepted(_Event, frozen=True, kw_only=True):
    """The order was taken. `Filled`, `Working` or `Cancelled` follow in the same answer."""


class Working(_Event, frozen=True, kw_only=True):
    """The order rests in the book; later answers of `evaluate` may fill it."""


class Replaced(_Event, frozen=True, kw_only=True):
    """Quantity or price were changed; fills may follow in the same answer."""


class Filled(_Event, frozen=True, kw_only=True):
    """One execution. The order is finished when `remaining` is 0."""

    exec_id: str
    """Unique for ever, in IBKR's form: `0000e0d5.69dd7411.01.01`."""
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    """USD; the commissions of an order's fills add up to the order's."""
    realized_pnl: Decimal | None
    """USD, None where the fill closed nothing."""
    cumulative_quantity: Decimal
    average_price: Decimal
    remaining: Decimal
    added_liquidity: bool


class Cancelled(_Event, frozen=True, kw_only=True):
    """The order ended with `remaining` shares unfilled. Nothing follows."""

    reason: CancelReason
    remaining: Decimal


class Rejected(_Event, frozen=True, kw_only=True):
    """A new order was not taken. Code and text are IBKR's."""

    code: int
    text: str


class Refused(_Event, frozen=True, kw_only=True):
    """A change or a cancel could not be done; the order, if there is one, stands as it stood. Code and text are IBKR's."""

    code: int
    text: str


Event = Accepted | Working | Replaced | Filled | Cancelled | Rejected | Refused
