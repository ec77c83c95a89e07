"""From the engine's events to what IBKR would say of them, and what it would say of the past.

order that rests     OrderSeen, StatusReported `Submitted`
order that waits     OrderSeen, StatusReported `PreSubmitted` with the reason; nothing while it is not transmitted
execution            Executed (of a combo its own, then its legs'), StatusReported, CommissionReported, the position
end without a fill   CodeReported 202 with the reason unless it was asked for, StatusReported `Cancelled`
refusal              CodeReported alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import assert_never

import msgspec

from ibstream.contracts.orders import SubmitOrder
from ibstream.ibkr.codes import Verdict, order_verdict
from ibstream.simulation import orders as sim
from ibstream.simulation.recent import Recent
from ibstream.simulation.sessions import from_ns
from ibstream_broker.adapters.simulated_instruments import InstrumentBook, Traded
from ibstream_broker.adapters.simulated_tickets import LIMITED, STOPPED, WAITING_FOR_A_PRICE
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.ports import OnInput

ENDED_KEPT = 20_000
"""Orders that have ended, and executions, that a snapshot still lists; IBKR lists those of the day."""

PENDING_SUBMIT, PRE_SUBMITTED, SUBMITTED = "PendingSubmit", "PreSubmitted", "Submitted"
FILLED, CANCELLED, API_CANCELLED = "Filled", "Cancelled", "ApiCancelled"
_CENT_MILLIONTH = Decimal("0.00000001")
_WHY_HELD = {sim.HoldReason.PARENT: "child", sim.HoldReason.TRIGGER: "trigger"}
_NOT_BEFORE = 399
_ORDER_CANCELLED = 202
_ENDED_BECAUSE = {
    sim.CancelReason.IMMEDIATE_OR_CANCEL: "what did not fill at once is cancelled",
    sim.CancelReason.FILL_OR_KILL: "it could not be filled whole at once",
    sim.CancelReason.EXPIRED: "its time has ended",
    sim.CancelReason.AUCTION: "the auction's price did not reach its limit",
    sim.CancelReason.OCA: "another order of its group filled",
    sim.CancelReason.PARENT: "its parent ended without a fill",
}


@dataclass(slots=True)
class Order:
    """One order as the executor knows it."""

    request: SubmitOrder
    """As it was asked for last."""
    order_id: int
    traded: Traded
    quantity: Decimal
    """A group can have made it smaller than was asked for."""
    status: str
    """IBKR's word. `PendingSubmit` while it is not transmitted."""
    filled: Decimal = Decimal(0)
    told: bool = False
    """Whether it has been shown as it stands."""


class OrderTeller:
    """The orders by id, and what is said of them. Set `on_input` before the first event."""

    def __init__(self, account: str, instruments: InstrumentBook, on_trade: Callable[[str], None]) -> None:
        self._account = account
        self._instruments = instruments
        self._on_trade = on_trade
        self._working: dict[int, Order] = {}
        self._ended: Recent[int, Order] = Recent(ENDED_KEPT)
        self._executions: Recent[str, Executed] = Recent(ENDED_KEPT)
        self._commissions: Recent[str, CommissionReported] = Recent(ENDED_KEPT)
        self.on_input: OnInput = lambda _: None
        self.client_id = 0

    def add(self, order: Order) -> None:
        """Take over an order that the engine has accepted, before its events are told."""
        self._working[order.order_id] = order

    def working(self, order_id: int) -> Order | None:
        """The order, if it has not ended."""
        return self._working.get(order_id)

    def ended(self, order_id: int) -> Order | None:
        """The order, if it has ended and is still remembered."""
        return self._ended.get(order_id)

    def changed(self, order: Order, request: SubmitOrder) -> None:
        """The engine has taken other terms for an order; its events are told after this."""
        order.request, order.quantity, order.told = request, request.quantity, False

    def open_orders(self) -> list[OrderSeen]:
        """Those that have not ended, oldest first."""
        return [self._seen(order) for order in self._working.values()]

    def completed_orders(self) -> list[OrderSeen]:
        """Those that have ended, without their order ids, as IBKR lists them."""
        return [self._seen(order, is_completed=True) for order in self._ended]

    def executions(self) -> list[Executed]:
        """Those that count, oldest first."""
        return list(self._executions)

    def commissions(self) -> list[CommissionReported]:
        """What they cost."""
        return list(self._commissions)

    def code(self, order_id: int, code: int, text: str) -> None:
        """Say what IBKR would say in a code."""
        verdict = order_verdict(code, text, acknowledged=False)
        self.on_input(
            CodeReported(
                order_id=order_id,
                code=code,
                text=text,
                cancelled=verdict is Verdict.CANCELLED,
                dead_if_new=verdict is Verdict.DEAD,
                advice=verdict is Verdict.ALIVE,
            )
        )

    def tell(self, events: Sequence[sim.Event]) -> None:
        """Say what has happened, in order. Orders that are no longer remembered are passed over."""
        for place, event in enumerate(events):
            order_id = int(event.order_id)
            order = self._working.get(order_id) or self._ended.get(order_id)
            if isinstance(event, sim.Rejected | sim.Refused):
                self.code(order_id, event.code, event.text)
            elif order is not None:
                self._tell_one(order, event, events, place)

    def _tell_one(self, order: Order, event: sim.Event, events: Sequence[sim.Event], place: int) -> None:
        match event:
            case sim.Working():
                self._stand(order, SUBMITTED, "")
            case sim.Filled():
                self._fill(order, event, _legs_after(events, place) if event.combo else ())
            case sim.Held():
                self._hold(order, event)
            case sim.Cancelled():
                self._cancel(order, event)
            case sim.Reduced():
                order.quantity = event.quantity
                self.on_input(self._seen(order))
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
            self.on_input(self._seen(order))

    def _hold(self, order: Order, event: sim.Held) -> None:
        if event.reason is sim.HoldReason.UNTRANSMITTED:
            return
        is_new = not order.told
        why_held = _WHY_HELD.get(event.reason, "")
        if why_held == "child" and order.request.order_type in WAITING_FOR_A_PRICE:
            why_held = "child,trigger"
        self._stand(order, PRE_SUBMITTED, why_held)
        if is_new and event.reason is sim.HoldReason.SESSION and event.until_ns is not None:
            opens = from_ns(event.until_ns)
            self.code(
                order.order_id,
                _NOT_BEFORE,
                f"Order Message:\nWarning: Your order will not be placed at the exchange until {opens:%Y-%m-%d %H:%M:%S} UTC.",
            )

    def _fill(self, order: Order, event: sim.Filled, legs: Sequence[sim.LegFilled]) -> None:
        self._show(order)
        order.filled = event.cumulative_quantity
        self._execution(order, event, event.time_ns, order.traded)
        for leg in legs:
            self._execution(order, leg, leg.time_ns, self._instruments.traded(leg.symbol))
        if event.remaining:
            order.status = SUBMITTED
        else:
            self._end(order, FILLED)
        self._status(order, "")
        for one in legs or (event,):
            self._charge(one)
            self._on_trade(one.symbol)

    def _correct(self, order: Order, event: sim.Corrected) -> None:
        order.filled = event.cumulative_quantity
        self._execution(order, event, event.executed_ns, order.traded)
        if not event.remaining and order.order_id in self._working:
            self._end(order, FILLED)
            self._status(order, "")
        self._charge(event)
        self._on_trade(event.symbol)

    def _rebook(self, event: sim.Rebooked) -> None:
        """Told to whoever asks, and to nobody else, as IBKR does."""
        stem = _stem(event.exec_id)
        known, executed = self._commissions.get(stem), self._executions.get(stem)
        if known is not None and executed is not None:
            self._commissions.put(stem, msgspec.structs.replace(known, realized_pnl=_exact(event.realized_pnl)))

    def _cancel(self, order: Order, event: sim.Cancelled) -> None:
        was_sent = order.status != PENDING_SUBMIT
        if was_sent:
            self._show(order)
        order.filled = order.quantity - event.remaining
        self._end(order, CANCELLED if was_sent else API_CANCELLED)
        if event.reason is not sim.CancelReason.REQUESTED:
            reason = event.text or _ENDED_BECAUSE.get(event.reason, "")
            self.code(order.order_id, _ORDER_CANCELLED, f"Order Canceled - reason:{reason}")
        self._status(order, "")

    def _end(self, order: Order, status: str) -> None:
        order.status = status
        del self._working[order.order_id]
        self._ended.put(order.order_id, order)

    def _execution(
        self, order: Order, event: sim.Filled | sim.LegFilled | sim.Corrected, time_ns: int, traded: Traded
    ) -> None:
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
        self._executions.put(_stem(event.exec_id), executed)
        self.on_input(executed)

    def _charge(self, event: sim.Filled | sim.LegFilled | sim.Corrected) -> None:
        earned = event.realized_pnl
        charged = CommissionReported(
            exec_id=event.exec_id,
            commission=event.commission,
            currency="USD",
            realized_pnl=None if earned is None else _exact(earned * event.usd_rate),
        )
        self._commissions.put(_stem(event.exec_id), charged)
        self.on_input(charged)

    def _seen(self, order: Order, *, is_completed: bool = False) -> OrderSeen:
        request = order.request
        kind = request.order_type
        return OrderSeen(
            order_ref=request.client_order_id,
            order_id=0 if is_completed else order.order_id,
            perm_id=order.order_id,
            status=order.status,
            quantity=order.quantity,
            limit_price=request.limit_price if kind in LIMITED else None,
            stop_price=request.stop_price if kind in STOPPED else None,
            time_in_force=request.time_in_force.value,
            client_id=0 if is_completed else self.client_id,
            symbol=order.traded.symbol,
            side=request.side,
            account=self._account,
        )

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


def _legs_after(events: Sequence[sim.Event], place: int) -> tuple[sim.LegFilled, ...]:
    def legs() -> Iterator[sim.LegFilled]:
        for event in takewhile(lambda one: isinstance(one, sim.LegFilled), events[place + 1 :]):
            assert isinstance(event, sim.LegFilled)  # noqa: S101 - for the type checker
            yield event

    return tuple(legs())


def _stem(exec_id: str) -> str:
    """The id without its last part, which counts corrections."""
    return exec_id.rpartition(".")[0]


def _exact(amount: Decimal | None) -> Decimal | None:
    """Without the digits that a division leaves behind."""
    return None if amount is None else amount.quantize(_CENT_MILLIONTH).normalize()
