"""A matching engine over the simulated market: orders in, typed events out, no I/O and no clock of its own.

    engine = MatchingEngine(Market(seed=7))
    events = engine.submit(Ticket(order_id=1, symbol="AAPL", side=Side.BUY, quantity=Decimal(100)), now_ns)
    events += engine.evaluate(later_ns)      # call it at the tick cadence: orders expire, trigger and fill
    engine.account.positions["AAPL"].quantity

Every call takes the time and returns what happened, in order. The engine never calls back. `orders` tells which events follow
which; `tickets` what an order may ask for.

A market order trades at the opposite touch. A limit order trades when the touch is at its limit or better, at the touch.
Fills are whole, or with `displayed_size=True` no larger than the size the touch shows, which all orders of the account share
until the next tick. Of the same inputs, times included, the same events come.

    matching            the doors: what may be asked of the engine
      rules, funds      whether an order is taken; what it would do to the account
      changes           what a replacement makes of it
      lifecycle         what becomes of it
        schedule, triggers, algos, fills, interest    decisions, each a function of what it is given
        orderbook, watch, supply                      where orders are found, which to look at, what size is left
        executing       what a trade does: account, commission, ids, events
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from ibstream.simulation import profit, rules
from ibstream.simulation.account import AccountValues, SimulatedAccount
from ibstream.simulation.algos import Pace
from ibstream.simulation.changes import changed, changes_lifetime
from ibstream.simulation.executing import Executor
from ibstream.simulation.fills import Trade
from ibstream.simulation.funds import Funds
from ibstream.simulation.lifecycle import Lifecycle
from ibstream.simulation.market import Market
from ibstream.simulation.orders import (
    Accepted,
    CancelReason,
    Event,
    HoldReason,
    Hours,
    OrderId,
    Refused,
    Rejected,
    Replaced,
    Ticket,
    WhatIf,
    WorkingOrder,
)
from ibstream.simulation.view import MarketView

_UNFILLABLE = frozenset({HoldReason.UNTRANSMITTED, HoldReason.PARENT})


class MatchingEngine:
    """The working orders of one account, matched against the market.

    `account` keeps cash and positions and is updated with every fill. Not safe to share between threads.
    """

    def __init__(
        self,
        market: Market,
        account: SimulatedAccount | None = None,
        *,
        displayed_size: bool = False,
        hours: Hours = Hours.ALWAYS,
        pace: Pace | None = None,
    ) -> None:
        self.market = market
        self.account = account if account is not None else SimulatedAccount()
        self._view = MarketView(market)
        self._funds = Funds(self.account, self._view)
        self._executor = Executor(self._view, self.account)
        self._life = Lifecycle(
            self._view, self._executor, displayed_size=displayed_size, hours=hours, pace=pace or Pace()
        )
        self._number = 0

    @property
    def working(self) -> tuple[WorkingOrder, ...]:
        """The orders in the book, held ones included, oldest first."""
        return tuple(self._life.book)

    def order(self, order_id: OrderId) -> WorkingOrder | None:
        """The order as it stands in the book; None if it is not there (any more)."""
        return self._life.book.get(order_id)

    def ended(self, order_id: OrderId) -> WorkingOrder | None:
        """The order as it stood when it ended, corrections included; None if it has not, or is forgotten."""
        return self._life.ended.get(order_id)

    def values(self, now_ns: int) -> AccountValues:
        """The account's figures, positions at the last trades of `now_ns`."""
        return self._funds.values(now_ns)

    def profits(self, now_ns: int) -> dict[str, profit.Profit]:
        """What each instrument earned, by key; `profit.total` adds them up."""
        return profit.profits(self.account, self._executor.log, self._view, now_ns)

    def objection_to(self, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        """Why `submit` would reject this ticket, without submitting it."""
        if ticket.order_id in self._life.book or ticket.order_id in self._life.ended:
            return rules.DUPLICATE_ORDER_ID
        return (
            rules.objection_to(ticket, now_ns)
            or self._objection_to_links(ticket)
            or self._funds.objection_to(ticket, now_ns)
        )

    def submit(self, ticket: Ticket, now_ns: int) -> list[Event]:
        """Take a new order. `ticket.order_id` must not have been used before: 103."""
        objection = self.objection_to(ticket, now_ns)
        if objection is not None:
            return [Rejected(order_id=ticket.order_id, time_ns=now_ns, code=objection.code, text=objection.text)]
        self._number += 1
        expires_ns = self._life.expiry_of(ticket, now_ns)
        self._life.book.put(WorkingOrder(ticket=ticket, number=self._number, expires_ns=expires_ns))
        self._life.events.append(Accepted(order_id=ticket.order_id, time_ns=now_ns))
        self._life.place(ticket.order_id, now_ns)
        if ticket.transmit:
            self._transmit_family(ticket, now_ns)
        return self._answer(now_ns)

    def modify(
        self,
        order_id: OrderId,
        now_ns: int,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
    ) -> list[Event]:
        """Change quantity, limit price or both of a working order; None leaves a value as it is."""
        order = self._life.book.get(order_id)
        if order is None:
            return [_refused(order_id, now_ns, rules.no_such_order(order_id))]
        ticket = replace(
            order.ticket,
            quantity=order.ticket.quantity if quantity is None else quantity,
            limit_price=order.ticket.limit_price if limit_price is None else limit_price,
        )
        return self.replace(ticket, now_ns)

    def replace(self, ticket: Ticket, now_ns: int) -> list[Event]:
        """Put `ticket` in the place of the working order with its id: other prices, size, times, or `transmit` set."""
        order = self._life.book.get(ticket.order_id)
        if order is None:
            return [_refused(ticket.order_id, now_ns, rules.no_such_order(ticket.order_id))]
        objection = self._objection_to_change(order, ticket, now_ns)
        if objection is not None:
            return [_refused(ticket.order_id, now_ns, objection)]
        after = changed(order, ticket)
        if changes_lifetime(order.ticket, ticket):
            after = replace(after, expires_ns=self._life.expiry_of(ticket, now_ns))
        self._life.book.put(after)
        self._life.events.append(Replaced(order_id=ticket.order_id, time_ns=now_ns))
        self._life.resume(ticket.order_id, now_ns)
        if ticket.transmit:
            self._transmit_family(ticket, now_ns)
        return self._answer(now_ns)

    def cancel(
        self, order_id: OrderId, now_ns: int, *, reason: CancelReason = CancelReason.REQUESTED, text: str = ""
    ) -> list[Event]:
        """End a working order, and the children that wait for it; with `CancelReason.SYSTEM` as if IBKR had done it."""
        if order_id not in self._life.book:
            return [_refused(order_id, now_ns, rules.not_found(order_id))]
        self._life.end(order_id, reason, now_ns, text)
        return self._answer(now_ns)

    def cancel_all(self, now_ns: int) -> list[Event]:
        """End every order in the book, oldest first."""
        for order in self.working:
            self._life.end(order.ticket.order_id, CancelReason.REQUESTED, now_ns)
        return self._answer(now_ns)

    def evaluate(self, now_ns: int) -> list[Event]:
        """Let time and market act on every order in the book at `now_ns`, oldest order first."""
        self._life.evaluate(now_ns)
        return self._answer(now_ns)

    def what_if(self, ticket: Ticket, now_ns: int) -> WhatIf | Rejected:
        """What the order would do to the account if it filled now; `Rejected` for one that is wrong in itself."""
        objection = rules.objection_to(ticket, now_ns)
        if objection is not None:
            return Rejected(order_id=ticket.order_id, time_ns=now_ns, code=objection.code, text=objection.text)
        return self._funds.what_if(ticket, now_ns)

    def fill_now(
        self, order_id: OrderId, now_ns: int, *, price: Decimal | None = None, quantity: Decimal | None = None
    ) -> list[Event]:
        """Fill a live order by command, wholly or in part, whatever the market says: at `price`, its limit, or its touch.

        Refused for an order that was not transmitted or waits for its parent, and for more than what remains.
        """
        order = self._life.book.get(order_id)
        if order is None or order.hold in _UNFILLABLE:
            return [_refused(order_id, now_ns, rules.CANNOT_FILL)]
        traded = order.remaining if quantity is None else quantity
        if not 0 < traded <= order.remaining:
            return [_refused(order_id, now_ns, rules.CANNOT_FILL)]
        at = price if price is not None else order.ticket.limit_price
        if at is None:
            at = self._view.top(order.ticket, now_ns).touch(order.ticket.side)
        self._life.fill(order, Trade(traded, at), now_ns)
        return self._answer(now_ns)

    def correct(
        self, exec_id: str, now_ns: int, *, price: Decimal | None = None, quantity: Decimal | None = None
    ) -> list[Event]:
        """Replace an execution by one at another price or of another quantity, in the order and in the account.

        What later executions of the instrument closed and earned changes with it: each that does is `Rebooked`.

        Refused for an unknown id, for one that was corrected already, for combos, for a quantity that is not positive or
        exceeds the order's. An order that has ended stays so; one that is filled by the correction ends with it.
        """
        old = self._executor.log.get(exec_id)
        order = None if old is None else self.order(old.order_id) or self.ended(old.order_id)
        if old is None or order is None or old.leg is not None or not self.account.is_kept(old.booking):
            return [_refused(exec_id, now_ns, rules.NO_EXECUTION)]
        traded = abs(old.quantity) if quantity is None else quantity
        if not 0 < traded <= order.remaining + abs(old.quantity):
            return [_refused(old.order_id, now_ns, rules.NO_EXECUTION)]
        after, told = self._executor.correct(old, order, old.price if price is None else price, traded, now_ns)
        self._life.events += told
        if old.order_id in self._life.book:
            self._life.consequences(order, after, now_ns)
        else:
            self._life.finish(after)
        return self._answer(now_ns)

    def _answer(self, now_ns: int) -> list[Event]:
        self._life.shrink_groups(now_ns)
        told, self._life.events = self._life.events, []
        return told

    def _transmit_family(self, ticket: Ticket, now_ns: int) -> None:
        """Send the orders that were waiting for one of their family to be transmitted: children first, as they only wait on."""
        book = self._life.book
        root_id = ticket.order_id if ticket.parent_id is None else ticket.parent_id
        root = book.get(root_id)
        family = [*book.children(root_id), *([root] if root is not None else [])]
        waiting = [order for order in family if not order.ticket.transmit]
        for order in waiting:
            book.put(replace(order, ticket=replace(order.ticket, transmit=True)))
        for order in waiting:
            self._life.place(order.ticket.order_id, now_ns)

    def _objection_to_links(self, ticket: Ticket) -> rules.Objection | None:
        if ticket.oca_group in self._life.filled_groups:
            return rules.GROUP_DONE
        parent_id = ticket.parent_id
        if parent_id is None or parent_id in self._life.book or self._life.has_filled(parent_id):
            return None
        return rules.no_such_order(parent_id) if parent_id in self._life.ended else rules.NO_PARENT

    def _objection_to_change(self, order: WorkingOrder, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        objection = rules.objection_to_change(order.ticket, ticket, order.filled, now_ns)
        if objection is not None:
            return objection
        return self._funds.objection_to(replace(ticket, quantity=ticket.quantity - order.filled), now_ns)


def _refused(order_id: OrderId, now_ns: int, objection: rules.Objection) -> Refused:
    return Refused(order_id=order_id, time_ns=now_ns, code=objection.code, text=objection.text)
