"""Stops, trailing stops and if-touched orders: where they trigger, and what they become.

Which price triggers follows IBKR's default method: the last trade, but for currency pairs, options and combos, whose last trade
says little, the touch on which the order would trade.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.fills import Top
from ibstream.simulation.orders import OrderType, Ticket, WorkingOrder
from ibstream.simulation.terms import COMBO, FOREX, OPTION

STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAIL, OrderType.TRAIL_LIMIT})
TRAILING = frozenset({OrderType.TRAIL, OrderType.TRAIL_LIMIT})
TOUCHED = frozenset({OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED})
TRIGGERED = STOPS | TOUCHED
"""The types that wait for a price."""
LIMITED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_IF_TOUCHED})
"""The types that need a limit price."""
_BY_TOUCH = frozenset({FOREX, OPTION, COMBO})
_PER_CENT = Decimal(100)


def reference(ticket: Ticket, top: Top, security_type: str) -> Decimal:
    """The price that is compared with the stop."""
    return top.touch(ticket.side) if security_type in _BY_TOUCH else top.last


def arm(order: WorkingOrder, price: Decimal, min_tick: Decimal) -> WorkingOrder:
    """The order with its stop in place; `price` is the reference now. A stop that already trails stays where it is."""
    ticket = order.ticket
    if ticket.order_type not in TRAILING:
        return msgspec.structs.replace(order, stop_price=ticket.aux_price)
    if order.stop_price is not None:
        return trail(order, price, min_tick)
    start = ticket.trail_stop_price
    stop = start if start is not None else _behind(ticket, price, min_tick)
    return trail(msgspec.structs.replace(order, stop_price=stop), price, min_tick)


def trail(order: WorkingOrder, price: Decimal, min_tick: Decimal) -> WorkingOrder:
    """The order with its stop moved after `price`; the same order if it stays, as it never goes back."""
    stop, side = order.stop_price, order.ticket.side
    if stop is None or order.ticket.order_type not in TRAILING:
        return order
    moved = _behind(order.ticket, price, min_tick)
    closer = moved < stop if side == Side.BUY else moved > stop
    return msgspec.structs.replace(order, stop_price=moved) if closer else order


def is_triggered(order: WorkingOrder, price: Decimal) -> bool:
    """Whether `price` has come to the stop: from below for a buy stop and a sell if touched, from above for the others."""
    stop = order.stop_price
    if stop is None:
        return False
    rising = (order.ticket.side == Side.BUY) == (order.ticket.order_type in STOPS)
    return price >= stop if rising else price <= stop


def fire(order: WorkingOrder) -> WorkingOrder:
    """The market or limit order that a triggered order becomes."""
    return msgspec.structs.replace(order, triggered=True, limit_price=_limit(order))


def first_limit(ticket: Ticket) -> Decimal | None:
    """The limit that the ticket sets by itself; None for types that have none, or make their own."""
    return ticket.limit_price if ticket.order_type in LIMITED or ticket.order_type == OrderType.RELATIVE else None


def _limit(order: WorkingOrder) -> Decimal | None:
    ticket, stop = order.ticket, order.stop_price
    if ticket.order_type != OrderType.TRAIL_LIMIT or stop is None:
        return first_limit(ticket)
    return stop + ticket.sign * _offset(ticket)


def _offset(ticket: Ticket) -> Decimal:
    """How far beyond the stop the limit lies: as told, or as far as the first limit from the first stop."""
    if ticket.limit_offset is not None:
        return ticket.limit_offset
    if ticket.limit_price is not None and ticket.trail_stop_price is not None:
        return abs(ticket.limit_price - ticket.trail_stop_price)
    return Decimal(0)


def _behind(ticket: Ticket, price: Decimal, min_tick: Decimal) -> Decimal:
    """Where a trailing stop lies when the price is `price`: below for a sale, above for a purchase, on the tick."""
    if ticket.trailing_percent is not None:
        distance = price * ticket.trailing_percent / _PER_CENT
    else:
        distance = ticket.aux_price or Decimal(0)
    stop = price + ticket.sign * distance
    return (stop / min_tick).quantize(Decimal(1), ROUND_HALF_EVEN) * min_tick
