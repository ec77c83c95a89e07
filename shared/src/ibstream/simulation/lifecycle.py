"""What becomes of an order: held, started, triggered, filled, ended, and what that does to its family and its group.

Orders of one family: children wait for the whole fill of their parent, and end with a parent that ends otherwise. Orders of one
one-cancels-all group: see `OcaType`. Prices are looked at when the engine is told to: what the market did in between is not
seen, as with stops that IBKR simulates.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from msgspec.structs import replace

from ibstream.simulation import algos, schedule, triggers
from ibstream.simulation.executing import Executor
from ibstream.simulation.fills import Trade, at_or_better, match
from ibstream.simulation.orderbook import OrderBook
from ibstream.simulation.orders import (
    Cancelled,
    CancelReason,
    Event,
    Held,
    HoldReason,
    Hours,
    OcaType,
    OrderId,
    OrderType,
    Reduced,
    Ticket,
    TimeInForce,
    Working,
    WorkingOrder,
)
from ibstream.simulation.recent import Recent
from ibstream.simulation.supply import Supply
from ibstream.simulation.terms import kind_of, terms_for
from ibstream.simulation.view import MarketView
from ibstream.simulation.watch import Watch

ENDED_KEPT = 100_000
"""Ended orders remembered, for corrections and for children that come late."""
_AT_ONCE = {TimeInForce.IOC: CancelReason.IMMEDIATE_OR_CANCEL, TimeInForce.FOK: CancelReason.FILL_OR_KILL}


class Lifecycle:
    """The book, and every step an order takes in it. Events gather in `events`."""

    def __init__(
        self, view: MarketView, executor: Executor, *, displayed_size: bool, hours: Hours, pace: algos.Pace
    ) -> None:
        self.book = OrderBook()
        self.ended: Recent[OrderId, WorkingOrder] = Recent(ENDED_KEPT)
        self.filled_groups: Recent[str, OrderId] = Recent(ENDED_KEPT)
        """The order that filled, by one-cancels-all group, so that no other joins the group later."""
        self.events: list[Event] = []
        self._view = view
        self._executor = executor
        self._hours = hours
        self._pace = pace
        self._watch = Watch(self.book, view)
        self._supply = Supply(view, limited=displayed_size)
        self._shrinking: list[tuple[OrderId, Decimal, Decimal]] = []

    def expiry_of(self, ticket: Ticket, now_ns: int) -> int | None:
        """When an order submitted now ends by itself."""
        return schedule.expiry_of(ticket, self._hours, now_ns)

    def place(self, order_id: OrderId, now_ns: int) -> None:
        """Hold an order for whatever keeps it from working, or start it."""
        order = self.book.get(order_id)
        if order is None:
            return
        reason, until_ns = self._hold_of(order, now_ns)
        if reason is None:
            self._start(order, now_ns)
        else:
            self._hold(order, reason, until_ns, now_ns)

    def resume(self, order_id: OrderId, now_ns: int) -> None:
        """Let an order go on as it is now, after a change."""
        order = self.book.get(order_id)
        if order is None:
            return
        if order.hold is not None or self._hold_of(order, now_ns)[0] is not None:
            self.place(order_id, now_ns)
        else:
            self.meet(order_id, now_ns)
            self._settle(order_id, now_ns, told=False)

    def look(self, order_id: OrderId, now_ns: int) -> None:
        """Show an order the market as it stands."""
        order = self.book.get(order_id)
        if order is not None and order.hold is HoldReason.TRIGGER:
            self._follow(order, now_ns)
        else:
            self.meet(order_id, now_ns)

    def meet(self, order_id: OrderId, now_ns: int) -> None:
        """Trade a working order against the tick that stands, if it can."""
        order = self.book.get(order_id)
        if order is None or order.hold is not None:
            return
        top = self._view.top(order.ticket, now_ns)
        asks = algos.asking(order, top, now_ns, terms_for(order.ticket).min_tick, self._view.market, self._pace)
        trade = match(order, top, asks, available=self._supply.available(order.ticket, now_ns))
        if trade is not None:
            self._supply.take(order.ticket, trade.quantity, now_ns)
            self.fill(order, trade, now_ns)

    def fill(self, order: WorkingOrder, trade: Trade, now_ns: int) -> None:
        """Fill an order that is in the book, and draw the consequences."""
        after, told = self._executor.execute(order, trade, now_ns)
        if after.ticket.order_type == OrderType.MARKET_TO_LIMIT and after.limit_price is None:
            after = replace(after, limit_price=trade.price)
        self.events += told
        self.consequences(order, after, now_ns)

    def consequences(self, before: WorkingOrder, after: WorkingOrder, now_ns: int) -> None:
        """Keep a live order as it is after it filled further, tell its group, and start its children if it is done."""
        if after.remaining:
            self.book.put(after)
        else:
            self.finish(replace(after, is_filled=True))
        self._tell_group(before, after.filled - before.filled, now_ns)
        if not after.remaining:
            for child in self.book.children(after.ticket.order_id):
                self.place(child.ticket.order_id, now_ns)

    def finish(self, order: WorkingOrder) -> None:
        """Take an order out of the book, and remember how it ended."""
        order_id = order.ticket.order_id
        if order_id in self.book:
            self.book.remove(order_id)
        self.ended.put(order_id, order)

    def end(self, order_id: OrderId, reason: CancelReason, now_ns: int, text: str = "") -> None:
        """Cancel an order, and the children that wait for it."""
        order = self.book.get(order_id)
        if order is None:
            return
        self.finish(order)
        self.events.append(
            Cancelled(order_id=order_id, time_ns=now_ns, reason=reason, remaining=order.remaining, text=text)
        )
        for child in self.book.children(order_id):
            self.end(child.ticket.order_id, CancelReason.PARENT, now_ns)

    def evaluate(self, now_ns: int) -> None:
        """What time has brought, then what the market has brought, oldest order first."""
        for order in self.book.take_due(now_ns):
            self._on_time(order.ticket.order_id, now_ns)
        for order in self._watch.concerned(now_ns):
            self.look(order.ticket.order_id, now_ns)

    def shrink_groups(self, now_ns: int) -> None:
        """Apply the reductions of groups without block."""
        waiting, self._shrinking = self._shrinking, []
        for order_id, left, before in waiting:
            self._shrink(order_id, left, before, now_ns)

    def has_filled(self, order_id: OrderId) -> bool:
        """Whether an order ended by filling whole."""
        ended = self.ended.get(order_id)
        return ended is not None and ended.is_filled

    def _hold_of(self, order: WorkingOrder, now_ns: int) -> tuple[HoldReason | None, int | None]:
        ticket = order.ticket
        if not ticket.transmit:
            return HoldReason.UNTRANSMITTED, None
        if ticket.parent_id is not None and not self.has_filled(ticket.parent_id):
            return HoldReason.PARENT, None
        return schedule.hold_of(ticket, self._hours, now_ns) or (None, None)

    def _hold(self, order: WorkingOrder, reason: HoldReason, until_ns: int | None, now_ns: int) -> None:
        self.book.put(replace(order, hold=reason, hold_until_ns=until_ns))
        self.events.append(Held(order_id=order.ticket.order_id, time_ns=now_ns, reason=reason, until_ns=until_ns))

    def _start(self, order: WorkingOrder, now_ns: int) -> None:
        ticket, top = order.ticket, self._view.top(order.ticket, now_ns)
        pauses_ns = schedule.pause_of(ticket, self._hours, now_ns)
        started = replace(order, started_ns=now_ns, started_sequence=top.sequence, pauses_ns=pauses_ns)
        if ticket.order_type in triggers.TRIGGERED and not order.triggered:
            price = triggers.reference(ticket, top, kind_of(ticket))
            started = triggers.arm(started, price, terms_for(ticket).min_tick)
            if not triggers.is_triggered(started, price):
                self._hold(started, HoldReason.TRIGGER, None, now_ns)
                return
            started = triggers.fire(started)
        elif started.limit_price is None:
            started = replace(started, limit_price=triggers.first_limit(ticket))
        self._work(started, now_ns)

    def _work(self, order: WorkingOrder, now_ns: int) -> None:
        order_id, was_held = order.ticket.order_id, order.hold is not None
        self.book.put(replace(order, hold=None, hold_until_ns=None))
        if was_held:
            self.events.append(Working(order_id=order_id, time_ns=now_ns))
        self.meet(order_id, now_ns)
        self._settle(order_id, now_ns, told=was_held)

    def _settle(self, order_id: OrderId, now_ns: int, *, told: bool) -> None:
        """What becomes of the part of an order that found no counterpart at once."""
        order = self.book.get(order_id)
        if order is None:
            return
        reason = _AT_ONCE.get(TimeInForce(order.ticket.time_in_force))
        if reason is not None:
            self.end(order_id, reason, now_ns)
            return
        self.book.put(replace(order, rested=True))
        if not told:
            self.events.append(Working(order_id=order_id, time_ns=now_ns))

    def _follow(self, order: WorkingOrder, now_ns: int) -> None:
        """Move a trailing stop, and fire a stop that the price has reached."""
        ticket, top = order.ticket, self._view.top(order.ticket, now_ns)
        price = triggers.reference(ticket, top, kind_of(ticket))
        moved = triggers.trail(order, price, terms_for(ticket).min_tick)
        if triggers.is_triggered(moved, price):
            fired = replace(triggers.fire(moved), started_ns=now_ns, started_sequence=top.sequence)
            self._work(fired, now_ns)
        elif moved is not order:
            self.book.put(moved)

    def _on_time(self, order_id: OrderId, now_ns: int) -> None:
        order = self.book.get(order_id)
        if order is None:
            return
        is_over = order.hold_until_ns is not None and order.hold_until_ns <= now_ns
        if is_over and order.hold is HoldReason.AUCTION:
            self._auction(order, now_ns)
        elif order.expires_ns is not None and order.expires_ns <= now_ns:
            self.end(order_id, CancelReason.EXPIRED, now_ns)
        elif is_over or (order.pauses_ns is not None and order.pauses_ns <= now_ns):
            self.book.put(replace(order, pauses_ns=None))
            self.place(order_id, now_ns)

    def _auction(self, order: WorkingOrder, now_ns: int) -> None:
        """Trade at the last price before the session closed, or the first of the session that opened, whatever the size."""
        ticket = order.ticket
        price = self._view.last(ticket.symbol, order.hold_until_ns or now_ns)
        limit = triggers.first_limit(ticket)
        if limit is not None and not at_or_better(ticket.side, price, limit):
            self.end(ticket.order_id, CancelReason.AUCTION, now_ns)
            return
        working = replace(order, hold=None, hold_until_ns=None, limit_price=limit, rested=True)
        self.book.put(working)
        self.events.append(Working(order_id=ticket.order_id, time_ns=now_ns))
        self.fill(working, Trade(working.remaining, price), now_ns)

    def _tell_group(self, order: WorkingOrder, filled: Decimal, now_ns: int) -> None:
        """Cancel or shrink the other orders of the group of `order`, which stood so before it filled."""
        ticket = order.ticket
        if filled <= 0:
            return  # a correction that gives nothing more
        kind = ticket.oca_type if ticket.oca_group else OcaType.REDUCE_WITH_BLOCK
        if ticket.oca_group and (kind is OcaType.CANCEL_WITH_BLOCK or filled == order.remaining):
            self.filled_groups.put(ticket.oca_group, ticket.order_id)
        for other in self.book.others_of_group(ticket):
            other_id = other.ticket.order_id
            if kind is OcaType.CANCEL_WITH_BLOCK:
                self.end(other_id, CancelReason.OCA, now_ns)
            elif kind is OcaType.REDUCE_WITH_BLOCK:
                self._shrink(other_id, order.remaining - filled, order.remaining, now_ns)
            else:
                self._shrinking.append((other_id, order.remaining - filled, order.remaining))

    def _shrink(self, order_id: OrderId, left: Decimal, before: Decimal, now_ns: int) -> None:
        """Leave of an order what is left of the other one, rounded down to whole units."""
        order = self.book.get(order_id)
        if order is None:
            return
        remaining = (order.remaining * left / before).to_integral_value(ROUND_FLOOR)
        if remaining:
            quantity = order.filled + remaining
            self.book.put(replace(order, ticket=replace(order.ticket, quantity=quantity)))
            self.events.append(Reduced(order_id=order_id, time_ns=now_ns, quantity=quantity, remaining=remaining))
        else:
            self.end(order_id, CancelReason.OCA, now_ns)
