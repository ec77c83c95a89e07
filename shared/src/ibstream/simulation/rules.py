"""What IBKR checks before it takes an order, with its codes and texts."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from ibstream.contracts.orders import OrderType, Side
from ibstream.simulation.account import ZERO, SimulatedAccount
from ibstream.simulation.instruments import MIN_TICK
from ibstream.simulation.market import Quote
from ibstream.simulation.orders import Ticket


class Objection(NamedTuple):
    """A reason not to take an order."""

    code: int
    text: str


DUPLICATE_ORDER_ID = Objection(103, "Duplicate order id")
OFF_TICK = Objection(110, "The price does not conform to the minimum price variation for this contract.")
NO_LIMIT_PRICE = Objection(201, "Order rejected - reason:A limit order needs a limit price above zero.")
INSUFFICIENT_FUNDS = Objection(
    201,
    "Order rejected - reason:We are unable to accept your order. Your Available Funds are insufficient to cover the "
    "initial margin of this order.",
)
ZERO_SIZE = Objection(434, "The order size cannot be zero.")
FRACTIONAL_SIZE = Objection(
    10243, "Fractional-sized order cannot be placed via API. Please use desktop version to place this order."
)
BELOW_FILLED = Objection(201, "Order rejected - reason:The order size is below the quantity already filled.")


def not_found(order_id: object) -> Objection:
    """A cancel or change of an order that does not exist."""
    return Objection(10147, f"OrderId {order_id} that needs to be cancelled is not found.")


def objection_to(ticket: Ticket) -> Objection | None:
    """What is wrong with a ticket in itself."""
    if not ticket.quantity.is_finite() or ticket.quantity <= 0:
        return ZERO_SIZE
    if ticket.quantity != ticket.quantity.to_integral_value():
        return FRACTIONAL_SIZE
    if ticket.order_type is OrderType.LIMIT:
        return _objection_to_price(ticket.limit_price)
    return None


def objection_of_account(
    ticket: Ticket, quote: Quote, account: SimulatedAccount, available_funds: Decimal
) -> Objection | None:
    """Whether `available_funds` cover the margin of the order at its limit, or at the touch for a market order."""
    signed = ticket.quantity if ticket.side is Side.BUY else -ticket.quantity
    price = touch(ticket.side, quote)
    if ticket.order_type is OrderType.LIMIT and ticket.limit_price is not None:
        price = ticket.limit_price
    change = account.margin_change(ticket.symbol, signed, price)
    return INSUFFICIENT_FUNDS if change > max(available_funds, ZERO) else None


def touch(side: Side, quote: Quote) -> Decimal:
    """The price at which an order of this side trades at once: the ask for a purchase, the bid for a sale."""
    return to_price(quote.ask if side is Side.BUY else quote.bid)


def to_price(price: float) -> Decimal:
    """A quoted price as an exact decimal of two places."""
    return Decimal(f"{price:.2f}")


def _objection_to_price(price: Decimal | None) -> Objection | None:
    if price is None or not price.is_finite() or price <= 0:
        return NO_LIMIT_PRICE
    return OFF_TICK if price % MIN_TICK else None
