"""The order's life as a pure function: (record, input, time) → (record, events).

IBKR's callbacks come late, twice, in any order and sometimes lie, so: fills are counted in a ledger by execution id and never
from a status (`fills`); a final outcome is given once (`states`); `cancelled` waits for the executions that the same status
counts; and what is unclear becomes `unknown`, for reconciliation to resolve. Nothing here ever asks for an order to be sent.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ibstream.contracts.orders import OrderStatus, OrderType, Reason, SubmitOrder, TimeInForce
from ibstream_broker.domain.fills import on_commission, on_executed
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import Trigger, Word, word
from ibstream_broker.domain.steps import (
    TEXT_CHARACTERS_MAX,
    Step,
    advised,
    alive,
    ended,
    folded,
    moved,
    moved_by,
    published,
    silently,
    status_event,
)

__all__ = [
    "TEXT_CHARACTERS_MAX",
    "Step",
    "folded",
    "modify_asked",
    "moved",
    "published",
    "risen",
    "status_event",
    "step",
]

_TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
"""The types whose stop price stays where it was put; a trailing one moves by itself."""

_TIMES_IN_FORCE = frozenset(one.value for one in TimeInForce)


def step(record: OrderRecord, happened: OrderInput, now: datetime) -> Step:
    """Move a record by one input. Inputs that say nothing new change nothing."""
    match happened:
        case OrderSeen():
            return _on_seen(record, happened, now)
        case StatusReported():
            return _on_status(record, happened, now)
        case Executed():
            return on_executed(record, happened, now)
        case CommissionReported():
            return on_commission(record, happened, now)
        case CodeReported():
            return _on_code(record, happened, now)


def risen(record: OrderRecord, happened: OrderInput) -> bool:
    """Whether IBKR works an order whose story is told: called rejected or cancelled, or filled with less than it now has.

    The outcome stands; whoever hears of it has to cancel the order and say so loudly.
    """
    if not record.is_final or not isinstance(happened, OrderSeen | StatusReported):
        return False
    why_held = happened.why_held if isinstance(happened, StatusReported) else ""
    if word(happened.status, why_held) is not Word.WORKING:
        return False
    if record.status is not OrderStatus.FILLED:
        return True
    return isinstance(happened, OrderSeen) and happened.quantity is not None and happened.quantity > record.filled


def modify_asked(record: OrderRecord, quantity: Decimal) -> Step:
    """Journalled before a modify goes out: until IBKR shows what came of it, the old quantity does not end the order.

    Of several modifies on their way the largest counts.
    """
    if record.is_final:
        return record, ()
    largest = max(quantity, record.modify_quantity or quantity)
    return silently(record, msgspec.structs.replace(record, modify_quantity=largest))


def _on_seen(record: OrderRecord, seen: OrderSeen, now: datetime) -> Step:
    """IBKR shows the order: take its ids, and what a modify made of it.

    That it is at an end is not taken from here: only orderStatus says how much of it had filled by then.
    """
    known = msgspec.structs.replace(
        record, perm_id=seen.perm_id or record.perm_id, order_id=seen.order_id or record.order_id
    )
    if record.is_final:
        return silently(record, known)
    known = msgspec.structs.replace(
        known,
        request=_as_modified(record.request, seen),
        modify_quantity=_still_to_be_shown(record, seen.quantity),
    )
    match word(seen.status):
        case Word.WORKING:
            return _told_if_changed(record, alive(record, known, now, seen.text), now)
        case Word.CANCELLING if known.status is not OrderStatus.PENDING_CANCEL:
            return moved_by(record, known, Trigger.CANCELLING, now)
        case Word.ON_ITS_WAY | Word.CANCELLING:
            return advised(record, known, now, seen.text)
        case _:
            return silently(record, msgspec.structs.replace(known, doubted=True))


def _still_to_be_shown(record: OrderRecord, shown: Decimal | None) -> Decimal | None:
    """The quantity that may still be at work beyond the one that is shown.

    A smaller one than before may be old news that was overtaken: only a status or a list ends the order with it.
    """
    before = record.request.quantity
    if shown is not None and 0 < shown < before:
        return max(before, record.modify_quantity or before)
    return None if shown == record.modify_quantity else record.modify_quantity


def _told_if_changed(before: OrderRecord, step: Step, now: datetime) -> Step:
    """A change of the order that IBKR has taken is told, although its status is what it was."""
    after, events = step
    if events or after.request == before.request or after.status is not before.status or not before.acknowledged:
        return step
    return moved(msgspec.structs.replace(after, revision=before.revision), after.status, now, text="changed")


def _as_modified(request: SubmitOrder, seen: OrderSeen) -> SubmitOrder:
    changes: dict[str, Any] = {}
    if seen.quantity is not None and seen.quantity > 0:
        changes["quantity"] = seen.quantity
    if request.limit_price is not None and _is_price(seen.limit_price, request):
        changes["limit_price"] = seen.limit_price
    if request.order_type in _TRIGGERED and _is_price(seen.stop_price, request):
        changes["stop_price"] = seen.stop_price
    if seen.time_in_force in _TIMES_IN_FORCE:
        changes["time_in_force"] = TimeInForce(seen.time_in_force)
    return msgspec.structs.replace(request, **changes)


def _is_price(price: Decimal | None, request: SubmitOrder) -> bool:
    """IBKR writes 0 for none; a combo may really cost nothing."""
    return price is not None and (price != 0 or request.instrument.security_type == "BAG")


def _on_status(record: OrderRecord, reported: StatusReported, now: datetime) -> Step:
    known = msgspec.structs.replace(record, perm_id=reported.perm_id or record.perm_id)
    if record.is_final:
        return silently(record, known)
    known = msgspec.structs.replace(known, reported_filled=max(record.reported_filled, reported.filled))
    why = reported.why_held and f"held: {reported.why_held}"
    match word(reported.status, reported.why_held):
        case Word.WORKING:
            return alive(record, known, now, why)
        case Word.CANCELLING if known.status is not OrderStatus.PENDING_CANCEL:
            return moved_by(record, known, Trigger.CANCELLING, now)
        case Word.CANCELLED:
            return ended(record, known, now)
        case Word.FILLED if reported.filled > 0:
            return _filled_whole(record, known, reported.filled, now)
        case Word.INACTIVE if known.status is not OrderStatus.UNKNOWN:
            text = why or "IBKR calls it inactive"
            return moved_by(record, known, Trigger.UNCLEAR, now, reason=Reason.NO_ANSWER, text=text)
        case Word.ON_ITS_WAY | Word.CANCELLING | Word.INACTIVE:
            return silently(record, known)
        case _:  # filled, and nothing of it; or a word that nobody has listed
            return silently(record, msgspec.structs.replace(known, doubted=True))


def _filled_whole(before: OrderRecord, known: OrderRecord, quantity: Decimal, now: datetime) -> Step:
    """IBKR says that `quantity` was the whole of it; filled, once the ledger holds as much."""
    request = msgspec.structs.replace(known.request, quantity=max(quantity, known.filled))
    whole = msgspec.structs.replace(known, request=request, modify_quantity=None)
    return silently(before, whole) if whole.filled < quantity else moved_by(before, whole, Trigger.WHOLE, now)


def _on_code(record: OrderRecord, reported: CodeReported, now: datetime) -> Step:
    """A code is a verdict only where it cannot be anything else; ib_async would call most of these cancelled."""
    if record.is_final:
        return record, ()
    text, code = reported.text, reported.code
    if reported.advice:
        return advised(record, record, now, text, code)
    if reported.cancelled:
        return ended(record, record, now, text=text, code=code)
    if reported.cancel_refused and record.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED):
        return advised(record, msgspec.structs.replace(record, doubted=True), now, text, code)
    if reported.dead_if_new and _is_new(record):
        return moved_by(record, record, Trigger.REFUSED, now, reason=Reason.REJECTED_BY_IBKR, text=text, code=code)
    unclear = msgspec.structs.replace(record, refused=record.refused or reported.dead_if_new)
    return moved_by(record, unclear, Trigger.UNCLEAR, now, reason=Reason.NO_ANSWER, text=text, code=code)


def _is_new(record: OrderRecord) -> bool:
    """Whether a refusal can only mean the order itself.

    Of one that was seen working it may refuse a change, of one that was sent twice the second copy, and where a cancel is on
    its way that.
    """
    return not (record.has_worked or record.resent or record.cancel_requested)
