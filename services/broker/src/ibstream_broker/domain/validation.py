"""What can be wrong with a request by itself, before asking anybody and before anything is journalled. Pure.

    validate_submit, validate_group, validate_change, validate_cancel, validate_what_if     the request and its time
    check_terms, check_account                                    the order against its instrument and the session
    modified, check_modify                                        a change against the order as it stands

Every refusal is one reason of the contract's closed list and a sentence that says what to do. The parts are in `checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    GroupKind,
    ModifyOrder,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    SubmitGroup,
    SubmitOrder,
    TimeInForce,
    WhatIf,
)
from ibstream_broker.domain.checks.algos import check_algo
from ibstream_broker.domain.checks.groups import refusals_of, wrong_in_group
from ibstream_broker.domain.checks.instruments import check_instrument
from ibstream_broker.domain.checks.numbers import PRICES, check_price, check_prices, check_quantity
from ibstream_broker.domain.checks.times import (
    check_dates,
    check_expiry,
    check_time_in_force,
    expired,
    expiry_of,
)
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal, shown
from ibstream_broker.domain.terms import Terms

__all__ = [
    "check_account",
    "check_in_bracket",
    "check_modify",
    "check_order",
    "check_terms",
    "expired",
    "expiry_of",
    "modified",
    "refusals_of",
    "validate_cancel",
    "validate_change",
    "validate_group",
    "validate_submit",
    "validate_what_if",
]

CHANGEABLE = ("quantity", "limit_price", "stop_price", "trailing_amount", "trailing_percent", "time_in_force")
"""What a modify can change: IBKR knows price, size and time in force."""

_WORKING = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
_CHANGED_TIMES = (TimeInForce.DAY, TimeInForce.IOC)


def validate_submit(request: SubmitOrder, *, now: datetime, valid_for: timedelta) -> Refusal | None:
    """What is wrong with a submit; `valid_for` is how long one without `valid_until` is good."""
    return check_order(request, now=now) or expired(request, now=now, valid_for=valid_for)


def validate_group(group: SubmitGroup, *, now: datetime, valid_for: timedelta) -> dict[str, Refusal] | None:
    """A refusal for each order by its client order id, if anything is wrong with any of them or with the group.

    What is wrong with the group as a whole is every order's own reason.
    """
    late = expired(group, now=now, valid_for=valid_for)
    if late is not None:
        return {order.client_order_id: late for order in group.orders}
    alone = {one.client_order_id: refusal for one in group.orders if (refusal := check_order(one, now=now)) is not None}
    wrong = alone or wrong_in_group(group)  # numbers that are none cannot be compared with others
    return refusals_of(group, wrong) if wrong else None


def validate_what_if(request: WhatIf, *, now: datetime, valid_for: timedelta) -> Refusal | None:
    """As of a submit; what the order itself says about its validity is not looked at."""
    return check_order(request.order, now=now) or expired(request, now=now, valid_for=valid_for)


def validate_change(request: ModifyOrder, *, now: datetime, valid_for: timedelta) -> Refusal | None:
    """What is wrong with a modify by itself. What it makes of its order is for `check_order` to judge."""
    changes = {name: value for name in CHANGEABLE if (value := getattr(request, name)) is not None}
    if not changes:
        return Refusal(Reason.INVALID_ORDER, f"it changes nothing: name one of {', '.join(CHANGEABLE)}")
    if request.time_in_force not in (None, *_CHANGED_TIMES):
        text = f"IBKR changes a time in force to IOC alone, not to {request.time_in_force}: cancel, and submit anew"
        return Refusal(Reason.INVALID_ORDER, text)
    for name, value in changes.items():
        # Whose order it is decides whether its price may be negative, and how large its quantity.
        refusal = check_price(name, value, is_combo=True) if name in PRICES else None
        if name == "quantity":
            refusal = check_quantity(value, "CASH")
        if refusal is not None:
            return refusal
    return expired(request, now=now, valid_for=valid_for)


def validate_cancel(request: CancelOrder | CancelAllOrders, *, now: datetime) -> Refusal | None:
    """A cancel is wanted however late it comes, unless it says until when."""
    return None if request.valid_until is None else check_expiry(request.valid_until, now=now)


def check_order(request: SubmitOrder, *, now: datetime) -> Refusal | None:
    """What is wrong with an order but for how long its request is valid."""
    return (
        check_instrument(request.instrument)
        or check_quantity(request.quantity, request.instrument.security_type)
        or check_time_in_force(request)
        or check_algo(request)
        or check_prices(request)
        or check_dates(request, now=now)
    )


def check_account(wanted: str, account: str) -> Refusal | None:
    """One session trades one account."""
    if wanted in ("", account):
        return None
    return Refusal(Reason.INVALID_ACCOUNT, f"this broker trades account {account}, not {wanted}: leave account out")


def check_terms(request: SubmitOrder, terms: Terms) -> Refusal | None:
    """Prices on the price tick of the market rule, quantity on its step. The request has passed `check_order`."""
    if terms.quantity_step and request.quantity % terms.quantity_step:
        text = f"quantity {shown(request.quantity)} is no multiple of {shown(terms.quantity_step)}"
        return Refusal(Reason.INVALID_QUANTITY, text)
    for name, price in _ticked(request):
        tick = terms.price_tick(price)
        if tick and price % tick:
            text = f"{name} {shown(price)} is not on the price tick of {shown(tick)}: round it (IBKR's code 110)"
            return Refusal(Reason.INVALID_PRICE, text)
    return None


def modified(request: SubmitOrder, change: ModifyOrder) -> SubmitOrder:
    """The order as a modify wants it; its request's time is the modify's."""
    changes = {name: value for name in CHANGEABLE if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(request, **changes, requested_at=change.requested_at, valid_until=change.valid_until)


def check_modify(record: OrderRecord, wanted: SubmitOrder) -> Refusal | None:
    """Only an order known to work is changed: IBKR would take the change of one that never arrived for a new order.

    `wanted` is what `modified` made of it, and has passed `check_order`.
    """
    if record.is_final:
        return Refusal(Reason.ORDER_IS_FINAL, f"it is {record.status}")
    if record.status is OrderStatus.PENDING_CANCEL:
        return Refusal(Reason.CANCEL_REQUESTED, "its cancel is on its way")
    if record.status not in _WORKING or not record.acknowledged:
        text = f"it is {record.status}: whether it works at IBKR is not known yet; ask again when it is submitted"
        return Refusal(Reason.NO_ANSWER, text)
    if wanted.quantity <= record.filled:
        return Refusal(Reason.INVALID_QUANTITY, f"{shown(record.filled)} are filled already: cancel the rest instead")
    return _check_changed_time(record, wanted.time_in_force)


def check_in_bracket(record: OrderRecord, wanted: SubmitOrder, group: Sequence[OrderRecord]) -> Refusal | None:
    """A bracket's exits stay no larger than its parent, whichever of them is changed. `group`: its members at hand."""
    if record.link is None or record.link.kind is not GroupKind.BRACKET:
        return None
    if record.link.parent:
        parent = next((one for one in group if one.client_order_id == record.link.parent), None)
        if parent is not None and wanted.quantity > max(parent.request.quantity, parent.filled):
            text = f"an exit of {shown(wanted.quantity)} is more than its parent's {shown(parent.request.quantity)}"
            return Refusal(Reason.INVALID_QUANTITY, text)
        return None
    exits = [one.request.quantity for one in group if one.link is not None and one.link.parent and not one.is_final]
    if exits and wanted.quantity < max(exits):
        text = f"its exits are for {shown(max(exits))}: make them smaller first, or cancel them"
        return Refusal(Reason.INVALID_QUANTITY, text)
    return None


def _check_changed_time(record: OrderRecord, wanted: TimeInForce) -> Refusal | None:
    before = record.request.time_in_force
    if wanted is before:
        return None
    if before is not TimeInForce.DAY:
        text = f"IBKR changes no time in force but DAY to IOC, and it is {before}: cancel, and submit anew"
        return Refusal(Reason.INVALID_ORDER, text)
    if record.link is not None:
        return Refusal(Reason.INVALID_ORDER, f"it waits for others of its group, and {wanted} does not wait: cancel it")
    return None


def _ticked(request: SubmitOrder) -> Iterator[tuple[str, Decimal]]:
    """The order's prices and distances that stand on a tick. A distance's own is that of a price as small."""
    for name in PRICES:
        value: Decimal | None = getattr(request, name)
        if value is not None and name != "trailing_percent":
            yield name, value
    if (
        request.order_type is OrderType.TRAIL_LIMIT
        and request.stop_price is not None
        and request.limit_offset is not None
    ):
        offset = request.limit_offset if request.side is Side.BUY else -request.limit_offset
        yield "stop_price with limit_offset", request.stop_price + offset
