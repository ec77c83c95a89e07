"""Which ticks concern an order at all. What is far from the market costs nothing until the market comes near."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.algos import is_timed
from ibstream.simulation.fills import Top
from ibstream.simulation.orders import HoldReason, OrderType, WorkingOrder
from ibstream.simulation.triggers import STOPS, TRAILING


class Interest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Prices at which some order has to be looked at; None where none is waiting for such a price."""

    ask_down_to: Decimal | None = None
    """Look when the ask is here or lower."""
    bid_up_to: Decimal | None = None
    """Look when the bid is here or higher."""
    bid_down_to: Decimal | None = None
    ask_up_to: Decimal | None = None
    every_tick: bool = False
    timed: bool = False
    """Look although no tick has come: time alone changes something."""

    def concerns(self, top: Top) -> bool:
        """Whether an order has to be looked at when `top` stands."""
        return (
            self.every_tick
            or (self.ask_down_to is not None and top.ask <= self.ask_down_to)
            or (self.bid_up_to is not None and top.bid >= self.bid_up_to)
            or (self.bid_down_to is not None and top.bid <= self.bid_down_to)
            or (self.ask_up_to is not None and top.ask >= self.ask_up_to)
        )


_NOTHING = Interest()
_EVERYTHING = Interest(every_tick=True)


def interest_of(order: WorkingOrder) -> Interest:
    """What one order waits for."""
    ticket = order.ticket
    if order.hold not in (None, HoldReason.TRIGGER):
        return _NOTHING
    if order.hold is HoldReason.TRIGGER:
        return _of_trigger(order)
    if is_timed(ticket):
        return Interest(every_tick=True, timed=True)
    if order.limit_price is None or ticket.order_type == OrderType.RELATIVE:
        return _EVERYTHING
    if ticket.side == Side.BUY:
        return Interest(ask_down_to=order.limit_price)
    return Interest(bid_up_to=order.limit_price)


def joined(orders: Iterable[WorkingOrder]) -> Interest:
    """What several orders for the same thing wait for together."""
    wanted = [interest_of(order) for order in orders]
    return Interest(
        ask_down_to=max((one.ask_down_to for one in wanted if one.ask_down_to is not None), default=None),
        bid_up_to=min((one.bid_up_to for one in wanted if one.bid_up_to is not None), default=None),
        bid_down_to=max((one.bid_down_to for one in wanted if one.bid_down_to is not None), default=None),
        ask_up_to=min((one.ask_up_to for one in wanted if one.ask_up_to is not None), default=None),
        every_tick=any(one.every_tick for one in wanted),
        timed=any(one.timed for one in wanted),
    )


def _of_trigger(order: WorkingOrder) -> Interest:
    ticket = order.ticket
    if ticket.order_type in TRAILING or order.stop_price is None:
        return _EVERYTHING
    # The last trade is at the bid or at the ask, so one of these holds whenever the stop is reached.
    if (ticket.side == Side.BUY) == (ticket.order_type in STOPS):
        return Interest(ask_up_to=order.stop_price)
    return Interest(bid_down_to=order.stop_price)
