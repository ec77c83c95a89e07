"""Whether a request may go out, and if not, why: checked before anything is journalled or sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import OrderStatus, OrderType, Reason, SubmitOrder
from ibstream.contracts.system import ConnectionState, Halt
from ibstream_broker.domain.records import OrderRecord

QUANTITY_MAX = Decimal(1_000_000)
"""A quantity beyond this is taken for a mistake."""

PRICE_MIN = Decimal("0.00001")
"""A price below this is on no instrument's tick."""

PRICE_MAX = Decimal(10_000_000)
"""A price beyond this is taken for a mistake."""

_WORKING = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)

_CLOSED = {
    ConnectionState.DEGRADED: (Reason.LINK_LOST, "the Gateway has lost its link to IBKR"),
    ConnectionState.SYNCHRONISING: (Reason.RECONCILING, "the broker is still comparing its orders with IBKR's"),
}


class Refusal(msgspec.Struct, frozen=True):
    """Why not: a reason for machines and a sentence for people."""

    reason: Reason
    text: str


def gate(state: ConnectionState, why: str, halt: Halt | None = None) -> Refusal | None:
    """Orders pass only while the session is ready (connected, link up, reconciled) and nobody has halted trading.

    Cancels ask without `halt`: they always pass while there is a session.
    """
    if halt is not None:
        return Refusal(Reason.HALTED, f"halted by {halt.who}: {halt.why}")
    if state is ConnectionState.READY:
        return None
    reason, text = _CLOSED.get(state, (Reason.GATEWAY_DISCONNECTED, "no session with the Gateway"))
    return Refusal(reason, f"{text}: {why}" if why else text)


@dataclass
class Standing:
    """Where the broker stands: what opens and closes the gate. Changed the moment something happens."""

    state: ConnectionState = ConnectionState.IDLE
    why: str = ""
    """Why the state is what it is."""
    halt: Halt | None = None
    """The halt in force."""

    def refuses_orders(self) -> Refusal | None:
        """Why no new order and no change of one may go out; None when they may."""
        return gate(self.state, self.why, self.halt)

    def refuses_changes(self) -> Refusal | None:
        """Why not even a cancel can go out; None when it can."""
        return gate(self.state, self.why)


def validate(request: SubmitOrder, *, now: datetime, valid_for: timedelta) -> Refusal | None:
    """What is wrong with a submit by itself, before asking anybody."""
    return _check_quantity(request.quantity) or _check_price(request) or _check_time(request, now, valid_for)


def check_price_tick(price: Decimal | None, tick: Decimal) -> Refusal | None:
    """IBKR refuses prices between the instrument's ticks (110)."""
    if price is None or not tick or price % tick == 0:
        return None
    return Refusal(Reason.INVALID_PRICE, f"limit_price {price:.12g} is not on the price tick of {tick}")


def check_account(wanted: str, account: str) -> Refusal | None:
    """One session trades one account."""
    if wanted in ("", account):
        return None
    return Refusal(Reason.INVALID_ACCOUNT, f"this broker trades account {account}, not {wanted}")


def check_modify(record: OrderRecord, wanted: SubmitOrder) -> Refusal | None:
    """Only an order known to work is changed: IBKR would take the change of one that never arrived for a new order.

    `wanted` has passed `validate`.
    """
    if record.is_final:
        return Refusal(Reason.ORDER_IS_FINAL, f"it is {record.status}")
    if record.status is OrderStatus.PENDING_CANCEL:
        return Refusal(Reason.CANCEL_REQUESTED, "its cancel is on its way")
    if record.status not in _WORKING or not record.acknowledged:
        return Refusal(Reason.NO_ANSWER, f"it is {record.status}: whether it works at IBKR is not known yet")
    if wanted.quantity <= record.filled:
        return Refusal(Reason.INVALID_QUANTITY, f"{record.filled} are filled already")
    return None


def _check_quantity(quantity: Decimal) -> Refusal | None:
    if not quantity.is_finite() or quantity <= 0:
        return Refusal(Reason.INVALID_QUANTITY, f"quantity {quantity:.6g} is not positive")
    if quantity > QUANTITY_MAX:
        return Refusal(Reason.INVALID_QUANTITY, f"quantity {quantity:.6g} is beyond {QUANTITY_MAX}")
    if quantity != quantity.to_integral_value():
        return Refusal(
            Reason.INVALID_QUANTITY, f"quantity {quantity:.6g} is not whole; IBKR takes no fractions of stocks"
        )
    return None


def _check_price(request: SubmitOrder) -> Refusal | None:
    price = request.limit_price
    if request.order_type is OrderType.MARKET:
        return None if price is None else Refusal(Reason.INVALID_PRICE, "a market order has no limit_price")
    if price is None:
        return Refusal(Reason.INVALID_PRICE, "a limit order needs a limit_price")
    if not price.is_finite() or price <= 0:
        return Refusal(Reason.INVALID_PRICE, f"limit_price {price:.6g} is not positive")
    if price < PRICE_MIN:
        return Refusal(Reason.INVALID_PRICE, f"limit_price {price:.6g} is below {PRICE_MIN:f}")
    if price > PRICE_MAX:
        return Refusal(Reason.INVALID_PRICE, f"limit_price {price:.6g} is beyond {PRICE_MAX}")
    return None


def _check_time(request: SubmitOrder, now: datetime, valid_for: timedelta) -> Refusal | None:
    if request.valid_until is None and request.requested_at - now > valid_for:
        text = f"requested_at {request.requested_at.isoformat()} lies in the future; is the clock right?"
        return Refusal(Reason.INVALID_TIME, text)
    until = request.valid_until or request.requested_at + valid_for
    if now <= until:
        return None
    return Refusal(Reason.EXPIRED, f"valid until {until.isoformat()}, read at {now.isoformat()}")
