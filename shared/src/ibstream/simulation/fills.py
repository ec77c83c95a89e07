"""What an order trades against the top of the book: the heart of the matching, without any state."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.orders import TimeInForce, WorkingOrder


class Top(msgspec.Struct, frozen=True, gc=False):
    """The top of the book at one tick, exact. Of a combo net of its legs, so that prices may be negative."""

    sequence: int
    """A larger number is a newer tick of the same instrument."""
    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: Decimal
    ask_size: Decimal

    def touch(self, side: Side) -> Decimal:
        """Where an order of this side trades at once: the ask for a purchase, the bid for a sale."""
        return self.ask if side == Side.BUY else self.bid

    def near(self, side: Side) -> Decimal:
        """Where an order of this side queues: the bid for a purchase, the ask for a sale."""
        return self.bid if side == Side.BUY else self.ask

    def shown(self, side: Side) -> Decimal:
        """The size at the touch."""
        return self.ask_size if side == Side.BUY else self.bid_size


class Asking(msgspec.Struct, frozen=True, gc=False):
    """What an order asks of the market at one moment."""

    limit: Decimal | None = None
    """The worst price it takes; None for any."""
    passive: bool = False
    """Whether it also trades, at its limit, when somebody else's trade comes to it."""
    allowed: Decimal | None = None
    """The most it may trade now; None for all."""


class Trade(msgspec.Struct, frozen=True):
    """What an order can trade against one tick."""

    quantity: Decimal
    price: Decimal


def at_or_better(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Whether an order of this side with this limit takes `price`."""
    return price <= limit if side == Side.BUY else price >= limit


def match(order: WorkingOrder, top: Top, asking: Asking, *, available: Decimal | None = None) -> Trade | None:
    """What `order` trades against `top`; None for nothing.

    `available` is the size left at the touch; None fills whatever the size.
    """
    price = _price(order, top, asking)
    if price is None:
        return None
    most = [one for one in (order.remaining, available, asking.allowed) if one is not None]
    quantity = min(most)
    return Trade(quantity, price) if quantity > 0 and _takes(order, quantity) else None


def _price(order: WorkingOrder, top: Top, asking: Asking) -> Decimal | None:
    side, limit = order.ticket.side, asking.limit
    if top.shown(side) <= 0:
        return None  # nobody is there: a worthless option has no bid
    touch = top.touch(side)
    if limit is None or at_or_better(side, touch, limit):
        return touch
    if asking.passive and top.sequence > order.started_sequence and at_or_better(side, top.last, limit):
        return limit
    return None


def _takes(order: WorkingOrder, quantity: Decimal) -> bool:
    ticket = order.ticket
    if ticket.all_or_none or ticket.time_in_force == TimeInForce.FOK:
        return quantity == order.remaining
    least = ticket.min_quantity
    return least is None or order.filled >= least or quantity >= min(least, order.remaining)
