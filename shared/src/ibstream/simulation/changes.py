"""An order with another ticket in the place of its own."""

from __future__ import annotations

from msgspec.structs import replace

from ibstream.simulation.orders import Ticket, WorkingOrder
from ibstream.simulation.triggers import first_limit


def changes_lifetime(old: Ticket, new: Ticket) -> bool:
    """Whether the new ticket may end at another time than the old one."""
    was, becomes = ((one.time_in_force, one.good_till_ns, one.outside_rth) for one in (old, new))
    return was != becomes


def changed(order: WorkingOrder, ticket: Ticket) -> WorkingOrder:
    """The order with its new ticket, before it meets the market again.

    A limit that the order made itself (of a trailing or market-to-limit order) stays until the ticket's own is changed, and a
    trailing stop stays where it is until its distance is.
    """
    old, after = order.ticket, replace(order, ticket=ticket, rested=False)
    if ticket.limit_price != old.limit_price and (order.limit_price is not None or first_limit(ticket) is not None):
        after = replace(after, limit_price=ticket.limit_price)
    distance, before = ((one.aux_price, one.trailing_percent, one.trail_stop_price) for one in (ticket, old))
    return after if distance == before else replace(after, stop_price=None)
