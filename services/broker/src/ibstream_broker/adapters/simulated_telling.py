"""From the engine's events to what IBKR would say of them.

order that rests     OrderSeen, StatusReported `Submitted`
order that waits     OrderSeen, StatusReported `PreSubmitted` with the reason; nothing while it is not transmitted
execution            Executed (of a combo its own, then its legs'), StatusReported, CommissionReported, the position
end without a fill   CodeReported 202 with the reason unless it was asked for, StatusReported `Cancelled`
refusal              CodeReported alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import assert_never

import msgspec

from ibstream.simulation import orders as sim
from ibstream.simulation.sessions import from_ns
from ibstream_broker.adapters.coded import code_reported
from ibstream_broker.adapters.simulated_instruments import InstrumentBook, Traded
from ibstream_broker.adapters.simulated_orders import (
    API_CANCELLED,
    CANCELLED,
    FILLED,
    PENDING_SUBMIT,
    PRE_SUBMITTED,
    SUBMITTED,
    Order,
    OrderMemory,
)
from ibstream_broker.adapters.simulated_tickets import WAITING_FOR_A_PRICE
from ibstream_broker.domain.inputs import CommissionReported, Executed, StatusReported
from ibstream_broker.ports import OnInput

_CENT_MILLIONTH = Decimal("0.00000001")
_NOT_BEFORE = 399
_ORDER_CANCELLED = 202
_WHY_HELD = {sim.HoldReason.PARENT: "child", sim.HoldReason.TRIGGER: "trigger"}
_ENDED_BECAUSE = {
    sim.CancelReason.IMMEDIATE_OR_CANCEL: "what did not fill at once is cancelled",
    sim.CancelReason.FILL_OR_KILL: "it could not be filled whole at once",
    sim.CancelReason.EXPIRED: "its time has ended",
    sim.CancelReason.AUCTION: "the auction's price did not reach its limit",
    sim.CancelReason.OCA: "another order of its group filled",
    sim.CancelReason.PARENT: "its parent ended without a fill",
}

_Execution = sim.Filled | sim.LegFilled | sim.Corrected


class OrderTeller:
    """Keeps the memory of orders in step with the engine, and says so. Set `on_input` before the first event."""

    def __init__(
        self, account: str, memory: OrderMemory, instruments: InstrumentBook, on_trade: Callable[[str], None]
    ) -> None:
        self._account = account
        self._memory = memory
        self._instruments = instruments
        self._on_trade = on_trade
        self.on_input: OnInput = lambda _: None

    def code(self, order_id: int, code: int, text: str) -> None:
        """Say what IBKR would say in a code."""
        self.on_input(code_reported(order_id, code, text))

    def tell(self, events: Sequence[sim.Event]) -> None:
        """Say what has happened, in order. Orders that are no longer remembered are passed over."""
        for place, event in enumerate(events):
            order_id = int(event.order_id)
            if isinstance(event, sim.Rejected | sim.Refused):
                self.code(order_id, event.code, event.text)
            elif isinstance(event, sim.Filled) and event.combo:
                self._tell_one(order_id, event, _legs_at(events, place + 1))
            else:
                self._tell_one(order_id, event, ())

    def _tell_one(self, order_id: int, event: sim.Event, legs: Sequence[sim.LegFilled]) -> None:
        order = self._memory.find(order_id)
        if order is None:
            return
        match event:
            case sim.Working():
                self._stand(order, SUBMITTED, "")
            case sim.Filled():
                self._fill(order, event, legs)
            case sim.Held():
                self._hold(order, event)
            case sim.Cancelled():
                self._cancel(order, event)
            case sim.Reduced():
                order.quantity = event.quantity
                self.on_input(self._memory.seen(order))
            case sim.Corrected():
                self._correct(order, event)
            case sim.Rebooked():
                self._rebook(event)
            case sim.Accepted() | sim.Replaced() | sim.LegFilled() | sim.Rejected() | sim.Refused():
                pass  # what follows an acceptance tells it; legs are told with their combo, refusals by their code
            case _:
                assert_never(event)

    def _stand(self, order: Order, status: str, why_held: str) -> None:
        order.status = status
        self._show(order)
        self._status(order, why_held)

    def _show(self, order: Order) -> None:
        if not order.told:
            order.told = True
            self.on_input(self._memory.seen(order))

    def _hold(self, order: Order, event: sim.Held) -> None:
        if event.reason is sim.HoldReason.UNTRANSMITTED:
            return
        is_new = not order.told
        why_held = _WHY_HELD.get(event.reason, "")
        if why_held == "child" and order.request.order_type in WAITING_FOR_A_PRICE:
            why_held = "child,trigger"
        self._stand(order, PRE_SUBMITTED, why_held)
        if is_new and event.reason is sim.HoldReason.SESSION and event.until_ns is not None:
            moment = f"{from_ns(event.until_ns):%Y-%m-%d %H:%M:%S} UTC"
            warning = f"Order Message:\nWarning: Your order will not be placed at the exchange until {moment}."
            self.code(order.order_id, _NOT_BEFORE, warning)

    def _fill(self, order: Order, event: sim.Filled, legs: Sequence[sim.LegFilled]) -> None:
        self._show(order)
        order.filled = event.cumulative_quantity
        self._execute(order, event, event.time_ns, order.traded)
        for leg in legs:
            self._execute(order, leg, leg.time_ns, self._instruments.traded(leg.symbol))
        if event.remaining:
            order.status = SUBMITTED
        else:
            self._memory.end(order, FILLED)
        self._status(order, "")
        for one in legs or (event,):
            self._charge(one)
            self._on_trade(one.symbol)

    def _correct(self, order: Order, event: sim.Corrected) -> None:
        order.filled = event.cumulative_quantity
        self._execute(order, event, event.executed_ns, order.traded)
        if not event.remaining and self._memory.working(order.order_id) is not None:
            self._memory.end(order, FILLED)
            self._status(order, "")
        self._charge(event)
        self._on_trade(event.symbol)

    def _rebook(self, event: sim.Rebooked) -> None:
        """Told to whoever asks, and to nobody else, as IBKR does."""
        found = self._memory.commission(event.exec_id)
        if found is not None:
            known, rate = found
            earned = None if event.realized_pnl is None else _exact(event.realized_pnl * rate)
            self._memory.put_commission(msgspec.structs.replace(known, realized_pnl=earned), rate)

    def _cancel(self, order: Order, event: sim.Cancelled) -> None:
        was_sent = order.status != PENDING_SUBMIT
        if was_sent:
            self._show(order)
        order.filled = order.quantity - event.remaining
        self._memory.end(order, CANCELLED if was_sent else API_CANCELLED)
        if event.reason is not sim.CancelReason.REQUESTED:
            reason = event.text or _ENDED_BECAUSE.get(event.reason, "")
            self.code(order.order_id, _ORDER_CANCELLED, f"Order Canceled - reason:{reason}")
        self._status(order, "")

    def _execute(self, order: Order, event: _Execution, time_ns: int, traded: Traded) -> None:
        executed = Executed(
            exec_id=event.exec_id,
            order_ref=order.request.client_order_id,
            order_id=order.order_id,
            perm_id=order.order_id,
            symbol=traded.symbol,
            side=event.side,
            quantity=event.quantity,
            price=event.price,
            account=self._account,
            exchange=traded.exchange,
            executed_at=from_ns(time_ns),
            con_id=traded.con_id,
            security_type=traded.security_type,
        )
        self._memory.put_execution(executed)
        self.on_input(executed)

    def _charge(self, event: _Execution) -> None:
        earned = event.realized_pnl
        charged = CommissionReported(
            exec_id=event.exec_id,
            commission=event.commission,
            currency="USD",
            realized_pnl=None if earned is None else _exact(earned * event.usd_rate),
        )
        self._memory.put_commission(charged, event.usd_rate)
        self.on_input(charged)

    def _status(self, order: Order, why_held: str) -> None:
        self.on_input(
            StatusReported(
                order_id=order.order_id,
                perm_id=order.order_id,
                status=order.status,
                filled=order.filled,
                why_held=why_held,
            )
        )


def _legs_at(events: Sequence[sim.Event], place: int) -> list[sim.LegFilled]:
    """Those that directly follow their combo."""
    legs: list[sim.LegFilled] = []
    for event in events[place:]:
        if not isinstance(event, sim.LegFilled):
            break
        legs.append(event)
    return legs


def _exact(amount: Decimal) -> Decimal:
    """Without the digits that a division leaves behind."""
    return amount.quantize(_CENT_MILLIONTH).normalize()
