"""When an order may work and when it ends: sessions, auctions, good-after and good-till times. All times are nanoseconds UTC."""

from __future__ import annotations

from typing import NamedTuple

from ibstream.calendar.sessions import is_open, next_close, next_open
from ibstream.simulation.orders import HoldReason, Hours, OrderType, Ticket, TimeInForce
from ibstream.simulation.sessions import day_window, from_ns, new_york_date, to_ns
from ibstream.simulation.terms import parts_of, terms_for

ON_CLOSE = frozenset({OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE})


class Hold(NamedTuple):
    """Why and until when an order has to wait."""

    reason: HoldReason
    until_ns: int


def auctioned(ticket: Ticket) -> bool:
    """Whether the order trades in an auction alone."""
    return ticket.order_type in ON_CLOSE or ticket.time_in_force == TimeInForce.OPG


def hold_of(ticket: Ticket, hours: Hours, now_ns: int) -> Hold | None:
    """What time keeps the order from working at `now_ns`; None if nothing does."""
    if ticket.good_after_ns is not None and now_ns < ticket.good_after_ns:
        return Hold(HoldReason.GOOD_AFTER, ticket.good_after_ns)
    at, group = from_ns(now_ns), terms_for(ticket).hours
    if ticket.order_type in ON_CLOSE:
        return Hold(HoldReason.AUCTION, to_ns(next_close(group, at)))
    if ticket.time_in_force == TimeInForce.OPG:
        return Hold(HoldReason.AUCTION, to_ns(next_open(group, at)))
    if hours is Hours.ALWAYS or is_open(group, at, extended=ticket.outside_rth):
        return None
    return Hold(HoldReason.SESSION, to_ns(next_open(group, at, extended=ticket.outside_rth)))


def pause_of(ticket: Ticket, hours: Hours, now_ns: int) -> int | None:
    """When an order that works at `now_ns` has to stop until the next session; None for never."""
    if hours is Hours.ALWAYS:
        return None
    return to_ns(next_close(terms_for(ticket).hours, from_ns(now_ns), extended=ticket.outside_rth))


def expiry_of(ticket: Ticket, hours: Hours, now_ns: int) -> int | None:
    """When the order ends by itself, at the latest with its contract; None for never."""
    times = [one.ends_ns for one in parts_of(ticket)]
    times.append(_end_of_validity(ticket, hours, now_ns))
    return min((one for one in times if one is not None), default=None)


def _end_of_validity(ticket: Ticket, hours: Hours, now_ns: int) -> int | None:
    if ticket.time_in_force == TimeInForce.GTD:
        return ticket.good_till_ns
    if ticket.time_in_force != TimeInForce.DAY or auctioned(ticket):
        return None  # an order for an auction ends there, not at the end of the day
    start_ns = max(now_ns, ticket.good_after_ns or 0)
    if hours is Hours.ALWAYS:
        return day_window(new_york_date(start_ns))[1]
    return to_ns(next_close(terms_for(ticket).hours, from_ns(start_ns), extended=ticket.outside_rth))
