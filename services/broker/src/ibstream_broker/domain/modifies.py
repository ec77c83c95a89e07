"""Modifies on their way: what was asked for of a working order, and what of it IBKR has shown. Pure.

IBKR shows the terms in force with every openOrder, and says nothing else of a change that it took. Until it has shown them, the
next modify builds on what was asked for last, or it would undo that.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from ibstream.contracts.orders import OrderType, SubmitOrder, TimeInForce
from ibstream_broker.domain.inputs import OrderSeen
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.steps import Step, silently
from ibstream_broker.domain.validation import CHANGEABLE

_TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
"""The types whose stop price stays where it was put; a trailing one moves by itself."""

_TIMES_IN_FORCE = frozenset(one.value for one in TimeInForce)


def base_of(record: OrderRecord) -> SubmitOrder:
    """The order that a modify changes: as the last one on its way asks for it, else as IBKR has shown it."""
    return record.wanted or record.request


def modify_asked(record: OrderRecord, wanted: SubmitOrder) -> Step:
    """Journalled before a modify goes out: `wanted` is the whole order as it asks for it.

    Until IBKR shows what came of it, the old quantity does not end the order; of several on their way the largest counts.
    """
    if record.is_final:
        return record, ()
    largest: Decimal | None = max(wanted.quantity, record.modify_quantity or wanted.quantity)
    if record.modify_quantity is None and wanted.quantity == record.request.quantity:
        largest = None
    return silently(record, msgspec.structs.replace(record, wanted=wanted, modify_quantity=largest))


def modify_unsent(record: OrderRecord, before: OrderRecord) -> Step:
    """A modify that was journalled was certainly not sent: what is wanted is what was wanted `before` it.

    Unless that was settled meanwhile: by the end of the order, by terms that IBKR showed, or by a code.
    """
    if record.is_final:
        return record, ()
    wanted = before.wanted if record.wanted is not None else None
    return silently(record, msgspec.structs.replace(record, wanted=wanted, modify_quantity=before.modify_quantity))


def modify_settled(record: OrderRecord) -> OrderRecord:
    """Nothing is on its way any more: refused, or lost with its session. The terms in force are those that IBKR shows."""
    return msgspec.structs.replace(record, wanted=None)


def shown(record: OrderRecord, seen: OrderSeen) -> OrderRecord:
    """The record with the terms that IBKR shows; what they fulfil of a modify on its way is no longer wanted."""
    request, wanted = _as_modified(record.request, seen), record.wanted
    if wanted is not None and _shows(request, wanted):
        request = msgspec.structs.replace(request, stop_price=wanted.stop_price)
        wanted = None
    quantity = _still_to_be_shown(record, seen.quantity)
    return msgspec.structs.replace(record, request=request, wanted=wanted, modify_quantity=quantity)


def _shows(request: SubmitOrder, wanted: SubmitOrder) -> bool:
    """Whether all that was wanted is in force; where a trailing stop begins is not shown."""
    names = set(CHANGEABLE) - (set() if request.order_type in _TRIGGERED else {"stop_price"})
    return all(getattr(request, name) == getattr(wanted, name) for name in names)


def _still_to_be_shown(record: OrderRecord, shown: Decimal | None) -> Decimal | None:
    """The quantity that may still be at work beyond the one that is shown.

    A smaller one than before may be old news that was overtaken: only a status or a list ends the order with it.
    """
    before = record.request.quantity
    if shown is not None and 0 < shown < before:
        return max(before, record.modify_quantity or before)
    return None if shown == record.modify_quantity else record.modify_quantity


def _as_modified(request: SubmitOrder, seen: OrderSeen) -> SubmitOrder:
    changes: dict[str, Any] = {}
    if seen.quantity is not None and seen.quantity > 0:
        changes["quantity"] = seen.quantity
    if request.limit_price is not None and _is_price(seen.limit_price, request):
        changes["limit_price"] = seen.limit_price
    if request.order_type in _TRIGGERED and _is_price(seen.stop_price, request):
        changes["stop_price"] = seen.stop_price
    for name in ("trailing_amount", "trailing_percent"):
        if getattr(request, name) is not None and getattr(seen, name):
            changes[name] = getattr(seen, name)
    if seen.time_in_force in _TIMES_IN_FORCE:
        changes["time_in_force"] = TimeInForce(seen.time_in_force)
    return msgspec.structs.replace(request, **changes)


def _is_price(price: Decimal | None, request: SubmitOrder) -> bool:
    """IBKR writes 0 for none; a combo may really cost nothing."""
    return price is not None and (price != 0 or request.instrument.security_type == "BAG")
