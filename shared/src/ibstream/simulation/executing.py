"""Turns trades into executions: books them in the account, charges them, numbers them, tells of them, corrects them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.account import ZERO, SimulatedAccount, usd_rate
from ibstream.simulation.commission import order_commission
from ibstream.simulation.executions import Execution, ExecutionIds, ExecutionLog, corrected_exec_id, leg_exec_id
from ibstream.simulation.fills import Trade
from ibstream.simulation.orders import Corrected, Event, Filled, LegFilled, Part, Rebooked, Ticket, WorkingOrder
from ibstream.simulation.terms import terms_of
from ibstream.simulation.view import MarketView


class _Piece(NamedTuple):
    """What one execution trades of one instrument."""

    symbol: str
    signed: Decimal
    price: Decimal


class Executor:
    """Everything that happens in the account because of a trade."""

    def __init__(self, view: MarketView, account: SimulatedAccount) -> None:
        self.account = account
        self.log = ExecutionLog()
        self._view = view
        self._ids = ExecutionIds(view.market.seed)

    def execute(self, order: WorkingOrder, trade: Trade, now_ns: int) -> tuple[WorkingOrder, list[Event]]:
        """Fill `order` with `trade`. Returns what has become of the order, and what to tell."""
        after = msgspec.structs.replace(
            order,
            filled=order.filled + trade.quantity,
            value=order.value + trade.quantity * trade.price,
            parts=order.parts or (Part(),) * max(len(order.ticket.legs), 1),
        )
        exec_id = self._ids.next(now_ns)
        if order.ticket.legs:
            return self._execute_legs(after, trade, exec_id, now_ns)
        piece = _Piece(order.ticket.symbol, order.ticket.sign * trade.quantity, trade.price)
        after, execution = self._book(after, piece, exec_id, now_ns, None)
        return after, [_filled(after, trade, execution)]

    def correct(
        self, old: Execution, order: WorkingOrder, price: Decimal, quantity: Decimal, now_ns: int
    ) -> tuple[WorkingOrder, list[Event]]:
        """Replace the execution `old` of `order`, which may have ended; not for combos. Returns as `execute` does."""
        terms = terms_of(old.symbol)
        signed = order.ticket.sign * quantity
        part = order.parts[0]
        value = part.value + (quantity * price - abs(old.quantity) * old.price) * terms.multiplier
        filled = order.filled + quantity - abs(old.quantity)
        charged = order_commission(filled, value * self._rate(terms.currency, now_ns), terms)
        commission = old.commission + charged - part.charged
        realized = self.account.rebook(old.booking, signed, price, commission)
        new = msgspec.structs.replace(
            old,
            exec_id=corrected_exec_id(old.exec_id),
            quantity=signed,
            price=price,
            commission=commission,
            realized_pnl=realized[0],
        )
        self.log.put(new)
        after = msgspec.structs.replace(
            order,
            filled=filled,
            value=order.value + quantity * price - abs(old.quantity) * old.price,
            parts=(Part(value, charged),),
        )
        return after, [_corrected(after, old, new, now_ns), *self._rebooked(old, realized, now_ns)]

    def _rebooked(self, old: Execution, realized: list[Decimal | None], now_ns: int) -> Iterator[Event]:
        """What became of the executions after `old`; `realized` tells what each booking earned, from that of `old` on."""
        for later in self.log.after(old):
            earned = realized[later.booking - old.booking]
            if earned != later.realized_pnl:
                self.log.put(msgspec.structs.replace(later, realized_pnl=earned))
                yield Rebooked(order_id=later.order_id, time_ns=now_ns, exec_id=later.exec_id, realized_pnl=earned)

    def _execute_legs(
        self, after: WorkingOrder, trade: Trade, exec_id: str, now_ns: int
    ) -> tuple[WorkingOrder, list[Event]]:
        told: list[Event] = []
        for number, piece in enumerate(self._pieces(after.ticket, trade, now_ns)):
            after, execution = self._book(after, piece, leg_exec_id(exec_id, number), now_ns, number)
            told.append(_leg_filled(after, execution, number))
        return after, [_combo_filled(after, trade, exec_id, now_ns), *told]

    def _pieces(self, ticket: Ticket, trade: Trade, now_ns: int) -> Iterator[_Piece]:
        """What each leg trades: at its touch, but for the first, which makes the sum what the combo cost."""
        prices = [self._view.top_of(leg.symbol, now_ns).touch(leg.side) for leg in ticket.pieces]
        signs = [1 if leg.side == Side.BUY else -1 for leg in ticket.legs]
        net = sum((s * leg.ratio * p for s, leg, p in zip(signs, ticket.legs, prices, strict=True)), ZERO)
        prices[0] += (trade.price - net) * signs[0] / ticket.legs[0].ratio
        for sign, leg, price in zip(signs, ticket.legs, prices, strict=True):
            yield _Piece(leg.symbol, ticket.sign * sign * leg.ratio * trade.quantity, price)

    def _book(
        self, order: WorkingOrder, piece: _Piece, exec_id: str, now_ns: int, leg: int | None
    ) -> tuple[WorkingOrder, Execution]:
        terms = terms_of(piece.symbol)
        rate = self._rate(terms.currency, now_ns)
        part = order.parts[leg or 0]
        value = part.value + abs(piece.signed) * piece.price * terms.multiplier
        units = order.filled * (1 if leg is None else order.ticket.legs[leg].ratio)
        charged = order_commission(units, value * rate, terms)
        execution = Execution(
            exec_id=exec_id,
            order_id=order.ticket.order_id,
            symbol=piece.symbol,
            quantity=piece.signed,
            price=piece.price,
            commission=charged - part.charged,
            booking=self.account.booked,
            realized_pnl=self.account.apply_fill(piece.symbol, piece.signed, piece.price, charged - part.charged, rate),
            usd_rate=rate,
            time_ns=now_ns,
            leg=leg,
        )
        self.log.put(execution)
        parts = list(order.parts)
        parts[leg or 0] = Part(value, charged)
        return msgspec.structs.replace(order, parts=tuple(parts)), execution

    def _rate(self, currency: str, now_ns: int) -> Decimal:
        return usd_rate(currency, lambda symbol: self._view.last(symbol, now_ns))


def _filled(after: WorkingOrder, trade: Trade, execution: Execution) -> Filled:
    return Filled(
        order_id=execution.order_id,
        time_ns=execution.time_ns,
        exec_id=execution.exec_id,
        symbol=execution.symbol,
        side=after.ticket.side,
        quantity=trade.quantity,
        price=trade.price,
        commission=execution.commission,
        realized_pnl=execution.realized_pnl,
        usd_rate=execution.usd_rate,
        cumulative_quantity=after.filled,
        average_price=after.average_price,
        remaining=after.remaining,
        added_liquidity=after.rested,
    )


def _combo_filled(after: WorkingOrder, trade: Trade, exec_id: str, now_ns: int) -> Filled:
    return Filled(
        order_id=after.ticket.order_id,
        time_ns=now_ns,
        exec_id=exec_id,
        symbol=after.ticket.symbol,
        side=after.ticket.side,
        quantity=trade.quantity,
        price=trade.price,
        commission=ZERO,
        realized_pnl=None,
        cumulative_quantity=after.filled,
        average_price=after.average_price,
        remaining=after.remaining,
        added_liquidity=after.rested,
        combo=True,
    )


def _leg_filled(after: WorkingOrder, execution: Execution, leg: int) -> LegFilled:
    units = after.filled * after.ticket.legs[leg].ratio
    return LegFilled(
        order_id=execution.order_id,
        time_ns=execution.time_ns,
        exec_id=execution.exec_id,
        symbol=execution.symbol,
        side=Side.BUY if execution.quantity > 0 else Side.SELL,
        quantity=abs(execution.quantity),
        price=execution.price,
        commission=execution.commission,
        realized_pnl=execution.realized_pnl,
        usd_rate=execution.usd_rate,
        cumulative_quantity=units,
        average_price=after.parts[leg].value / units / terms_of(execution.symbol).multiplier,
        leg=leg,
    )


def _corrected(after: WorkingOrder, old: Execution, new: Execution, now_ns: int) -> Corrected:
    return Corrected(
        order_id=new.order_id,
        time_ns=now_ns,
        exec_id=new.exec_id,
        symbol=new.symbol,
        side=after.ticket.side,
        quantity=abs(new.quantity),
        price=new.price,
        commission=new.commission,
        realized_pnl=new.realized_pnl,
        usd_rate=new.usd_rate,
        cumulative_quantity=after.filled,
        average_price=after.average_price,
        replaces=old.exec_id,
        remaining=after.remaining,
        executed_ns=new.time_ns,
    )
