"""The order's life as a pure function: (record, input, time) → (record, events).

IBKR's callbacks come late, twice, in any order and sometimes lie, so: fills are counted in a ledger by execution id and never
from a status (`fills`); a final outcome is given once (`states`); `cancelled` waits for the executions that the same status
counts; and what is unclear becomes `unknown`, for reconciliation to resolve. Nothing here ever asks for an order to be sent.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import CHANGED, OrderStatus, Reason
from ibstream.contracts.system import SettleOrder
from ibstream_broker.domain.fills import on_commission, on_executed
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.domain.modifies import modify_settled, shown
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
    "moved",
    "published",
    "risen",
    "settled",
    "status_event",
    "step",
]


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


_OUTCOMES = {"filled": Trigger.WHOLE, "cancelled": Trigger.ENDED, "rejected": Trigger.REFUSED}


def settled(record: OrderRecord, order: SettleOrder, now: datetime) -> Step:
    """The outcome that an operator gives an order that stays unknown; no step where it is not the operator's to give.

    Their words are heard again at every start: one that was spoken before the order became unknown means an older state of it.
    """
    is_unknown = record.status is OrderStatus.UNKNOWN and (record.unknown_since or order.at) <= order.at
    if not is_unknown or (order.status == "rejected" and record.filled > 0):
        return record, ()
    text = f"settled by {order.who}: {order.why}"
    return moved_by(record, record, _OUTCOMES[order.status], now, reason=Reason.SETTLED_BY_OPERATOR, text=text)


def _on_seen(record: OrderRecord, seen: OrderSeen, now: datetime) -> Step:
    """IBKR shows the order: take its ids, and what a modify made of it.

    That it is at an end is not taken from here: only orderStatus says how much of it had filled by then.
    """
    known = msgspec.structs.replace(
        record, perm_id=seen.perm_id or record.perm_id, order_id=seen.order_id or record.order_id
    )
    if record.is_final:
        return silently(record, known)
    known = shown(known, seen)
    match word(seen.status):
        case Word.WORKING:
            return _told_if_changed(record, alive(record, known, now, seen.text), now)
        case Word.CANCELLING if known.status is not OrderStatus.PENDING_CANCEL:
            return moved_by(record, known, Trigger.CANCELLING, now)
        case Word.ON_ITS_WAY | Word.CANCELLING:
            return advised(record, known, now, seen.text)
        case _:
            return silently(record, msgspec.structs.replace(known, doubted=True))


def _told_if_changed(before: OrderRecord, step: Step, now: datetime) -> Step:
    """A change of the order that IBKR has taken is told, although its status is what it was."""
    after, events = step
    if events or after.request == before.request or after.status is not before.status or not before.acknowledged:
        return step
    return moved(msgspec.structs.replace(after, revision=before.revision), after.status, now, text=CHANGED)


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
    whole = msgspec.structs.replace(known, request=request, wanted=None, modify_quantity=None)
    return silently(before, whole) if whole.filled < quantity else moved_by(before, whole, Trigger.WHOLE, now)


def _on_code(record: OrderRecord, reported: CodeReported, now: datetime) -> Step:
    """A code is a verdict only where it cannot be anything else; ib_async would call most of these cancelled."""
    if record.is_final:
        return record, ()
    text, code = reported.text, reported.code
    if reported.advice:
        return advised(record, modify_settled(record) if reported.change_refused else record, now, text, code)
    if reported.cancelled:
        return ended(record, record, now, text=text, code=code)
    if reported.cancel_refused and record.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED):
        return advised(record, msgspec.structs.replace(record, doubted=True), now, text, code)
    if reported.dead_if_new and _is_new(record):
        return moved_by(record, record, Trigger.REFUSED, now, reason=Reason.REJECTED_BY_IBKR, text=text, code=code)
    unclear = msgspec.structs.replace(modify_settled(record), refused=record.refused or reported.dead_if_new)
    return moved_by(record, unclear, Trigger.UNCLEAR, now, reason=Reason.NO_ANSWER, text=text, code=code)


def _is_new(record: OrderRecord) -> bool:
    """Whether a refusal can only mean the order itself.

    Of one that was seen working it may refuse a change, of one that was sent twice the second copy, and where a cancel is on
    its way that.
    """
    return not (record.has_worked or record.resent or record.cancel_requested)
