"""A small matching engine over the simulated market: orders in, typed events out, no I/O and no clock of its own.

    engine = MatchingEngine(Market(seed=7))
    events = engine.submit(Ticket(order_id=1, symbol="AAPL", side=Side.BUY, quantity=Decimal(100)), now_ns)
    events += engine.evaluate(later_ns)      # call it at the tick cadence: day orders expire, resting orders fill
    engine.account.positions["AAPL"].quantity

Every call takes the time and returns what happened, in order. The engine never calls back. The events of one order are

    Accepted (Filled)* (Working | Cancelled | end)      from `submit`
    (Filled)*, Cancelled                                from `evaluate`
    Replaced (Filled)* | Refused                        from `modify`
    Cancelled | Refused                                 from `cancel`
    Rejected                                            from `submit`, alone

An order is over after `Cancelled`, `Rejected`, or a `Filled` whose `remaining` is 0.

A market order trades at the opposite touch. A limit order trades when the touch is at its limit or better, at the touch.
Fills are whole, or with `displayed_size=True` no larger than the size the touch shows, once per tick.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ibstream.contracts.orders import OrderType, Side, TimeInForce
from ibstream.simulation import rules
from ibstream.simulation.account import AccountValues, SimulatedAccount
from ibstream.simulation.commission import fill_commission
from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.market import Market, Quote
from ibstream.simulation.orders import (
    Accepted,
    Cancelled,
    CancelReason,
    Event,
    Filled,
    OrderId,
    Refused,
    Rejected,
    Replaced,
    Ticket,
    Working,
    WorkingOrder,
)
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream.simulation.tree import NS_PER_S


class Trade(msgspec.Struct, frozen=True):
    """What an order can trade against one quote."""

    quantity: Decimal
    price: Decimal


def match(order: WorkingOrder, quote: Quote, *, displayed_size: bool = False) -> Trade | None:
    """What `order` trades against `quote`; None if the quote is not good enough, or was traded against before."""
    ticket = order.ticket
    price = rules.touch(ticket.side, quote)
    if ticket.order_type is OrderType.LIMIT and not _reaches(ticket, price):
        return None
    if not displayed_size:
        return Trade(order.remaining, price)
    if quote.sequence <= order.matched_sequence:
        return None
    shown = Decimal(quote.ask_size if ticket.side is Side.BUY else quote.bid_size)
    return Trade(min(order.remaining, shown), price)


def _reaches(ticket: Ticket, price: Decimal) -> bool:
    limit = ticket.limit_price
    if limit is None:
        return False
    return price <= limit if ticket.side is Side.BUY else price >= limit


class MatchingEngine:
    """The working orders of one account, matched against the market.

    `account` keeps cash and positions and is updated with every fill. Not safe to share between threads.
    """

    def __init__(
        self, market: Market, account: SimulatedAccount | None = None, *, displayed_size: bool = False
    ) -> None:
        self.market = market
        self.account = account if account is not None else SimulatedAccount()
        self._displayed_size = displayed_size
        self._working: dict[OrderId, WorkingOrder] = {}
        self._exec_prefix = splitmix64(market.seed) & 0xFFFF
        self._exec_number = 0

    @property
    def working(self) -> tuple[WorkingOrder, ...]:
        """The orders in the book, oldest first."""
        return tuple(self._working.values())

    def order(self, order_id: OrderId) -> WorkingOrder | None:
        """The order as it stands in the book; None if it is not there (any more)."""
        return self._working.get(order_id)

    def values(self, now_ns: int) -> AccountValues:
        """The account's figures, positions at the last trades of `now_ns`."""
        return self.account.values(lambda symbol: rules.to_price(self.market.quote(symbol, now_ns).last))

    def objection_to(self, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        """Why `submit` would reject this ticket, without submitting it."""
        if ticket.order_id in self._working:
            return rules.DUPLICATE_ORDER_ID
        return rules.objection_to(ticket) or self._objection_of_account(ticket, now_ns)

    def submit(self, ticket: Ticket, now_ns: int) -> list[Event]:
        """Take a new order. `ticket.order_id` must not have been used before; one still working is rejected with 103."""
        objection = self.objection_to(ticket, now_ns)
        if objection is not None:
            return [Rejected(order_id=ticket.order_id, time_ns=now_ns, code=objection.code, text=objection.text)]
        order = WorkingOrder(ticket=ticket, expires_ns=_expiry(ticket.time_in_force, now_ns))
        self._working[ticket.order_id] = order
        events: list[Event] = [Accepted(order_id=ticket.order_id, time_ns=now_ns)]
        events += self._trade(order, now_ns)
        return events + self._rest(ticket.order_id, now_ns)

    def modify(
        self,
        order_id: OrderId,
        now_ns: int,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
    ) -> list[Event]:
        """Change quantity, limit price or both of a working order; None leaves a value as it is."""
        order = self._working.get(order_id)
        if order is None:
            return [_refused(order_id, now_ns, rules.not_found(order_id))]
        ticket = msgspec.structs.replace(
            order.ticket,
            quantity=order.ticket.quantity if quantity is None else quantity,
            limit_price=order.ticket.limit_price if limit_price is None else limit_price,
        )
        objection = self._objection_to_change(order, ticket, now_ns)
        if objection is not None:
            return [_refused(order_id, now_ns, objection)]
        changed = msgspec.structs.replace(order, ticket=ticket, rested=False)
        self._working[order_id] = changed
        events: list[Event] = [Replaced(order_id=order_id, time_ns=now_ns)]
        events += self._trade(changed, now_ns)
        return events + self._rest(order_id, now_ns)

    def cancel(self, order_id: OrderId, now_ns: int) -> list[Event]:
        """End a working order."""
        if order_id not in self._working:
            return [_refused(order_id, now_ns, rules.not_found(order_id))]
        return [self._end(order_id, CancelReason.REQUESTED, now_ns)]

    def evaluate(self, now_ns: int) -> list[Event]:
        """Expire and match every working order at `now_ns`, oldest order first."""
        events: list[Event] = []
        for order_id, order in list(self._working.items()):
            if order.expires_ns is not None and now_ns >= order.expires_ns:
                events.append(self._end(order_id, CancelReason.EXPIRED, now_ns))
            else:
                events += self._trade(order, now_ns)
        return events

    def _objection_to_change(self, order: WorkingOrder, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        objection = rules.objection_to(ticket)
        if objection is None and ticket.quantity <= order.filled:
            objection = rules.BELOW_FILLED
        if objection is not None:
            return objection
        rest = msgspec.structs.replace(ticket, quantity=ticket.quantity - order.filled)
        return self._objection_of_account(rest, now_ns)

    def _objection_of_account(self, ticket: Ticket, now_ns: int) -> rules.Objection | None:
        quote = self.market.quote(ticket.symbol, now_ns)
        return rules.objection_of_account(ticket, quote, self.account, self.values(now_ns).available_funds)

    def _trade(self, order: WorkingOrder, now_ns: int) -> list[Event]:
        quote = self.market.quote(order.ticket.symbol, now_ns)
        trade = match(order, quote, displayed_size=self._displayed_size)
        if trade is None:
            return []
        return [self._fill(order, trade, quote.sequence, now_ns)]

    def _fill(self, order: WorkingOrder, trade: Trade, sequence: int, now_ns: int) -> Filled:
        ticket, value = order.ticket, trade.quantity * trade.price
        commission = fill_commission(order.filled, order.value, trade.quantity, value)
        signed = trade.quantity if ticket.side is Side.BUY else -trade.quantity
        realized = self.account.apply_fill(ticket.symbol, signed, trade.price, commission)
        after = msgspec.structs.replace(
            order, filled=order.filled + trade.quantity, value=order.value + value, matched_sequence=sequence
        )
        if after.remaining:
            self._working[ticket.order_id] = after
        else:
            del self._working[ticket.order_id]
        return Filled(
            order_id=ticket.order_id,
            time_ns=now_ns,
            exec_id=self._next_exec_id(now_ns),
            symbol=ticket.symbol,
            side=ticket.side,
            quantity=trade.quantity,
            price=trade.price,
            commission=commission,
            realized_pnl=realized,
            cumulative_quantity=after.filled,
            average_price=after.average_price,
            remaining=after.remaining,
            added_liquidity=order.rested,
        )

    def _rest(self, order_id: OrderId, now_ns: int) -> list[Event]:
        """What becomes of the part of an order that found no counterpart at once."""
        order = self._working.get(order_id)
        if order is None:
            return []
        if order.ticket.time_in_force is TimeInForce.IOC:
            return [self._end(order_id, CancelReason.IMMEDIATE_OR_CANCEL, now_ns)]
        self._working[order_id] = msgspec.structs.replace(order, rested=True)
        return [Working(order_id=order_id, time_ns=now_ns)]

    def _end(self, order_id: OrderId, reason: CancelReason, now_ns: int) -> Cancelled:
        order = self._working.pop(order_id)
        return Cancelled(order_id=order_id, time_ns=now_ns, reason=reason, remaining=order.remaining)

    def _next_exec_id(self, now_ns: int) -> str:
        # Counting on from the time keeps the ids of an engine that is started anew apart from the old one's.
        self._exec_number = max(self._exec_number + 1, now_ns // NS_PER_S)
        return f"{self._exec_prefix:08x}.{self._exec_number:08x}.01.01"


def _expiry(time_in_force: TimeInForce, now_ns: int) -> int | None:
    return day_window(new_york_date(now_ns))[1] if time_in_force is TimeInForce.DAY else None


def _refused(order_id: OrderId, now_ns: int, objection: rules.Objection) -> Refused:
    return Refused(order_id=order_id, time_ns=now_ns, code=objection.code, text=objection.text)
