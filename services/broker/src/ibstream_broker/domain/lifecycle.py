"""The order's life as a pure function: (record, input, time) → (record, events).

IBKR's callbacks come late, twice, in any order and sometimes lie, so: fills are counted in a ledger by execution id and never
from a status; a final outcome is given once; `cancelled` waits for the executions that the same status counts; and what is
unclear becomes `unknown`, for reconciliation to resolve. Nothing here ever asks for an order to be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ibstream.contracts.orders import (
    CommissionCharged,
    OrderEvent,
    OrderFilled,
    OrderStatus,
    OrderStatusChanged,
    Reason,
)
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.domain.records import ZERO, Execution, OrderRecord

Step = tuple[OrderRecord, tuple[OrderEvent, ...]]
"""The record after, and what to publish. An unchanged record means that there is nothing to do."""

TEXT_CHARACTERS_MAX = 4096
"""As long as a text on the bus may be; IBKR's own are cut to it."""

_WORKING = {"PreSubmitted", "Submitted"}
_CANCELLED = {"Cancelled", "ApiCancelled"}
_RANK = {
    OrderStatus.PENDING_SUBMIT: 0,
    OrderStatus.UNKNOWN: 1,
    OrderStatus.SUBMITTED: 2,
    OrderStatus.PARTIALLY_FILLED: 3,
    OrderStatus.PENDING_CANCEL: 4,
}


def step(record: OrderRecord, happened: OrderInput, now: datetime) -> Step:
    """Move a record by one input. Inputs that say nothing new change nothing."""
    match happened:
        case OrderSeen():
            return _on_seen(record, happened, now)
        case StatusReported():
            return _on_status(record, happened, now)
        case Executed():
            return _on_executed(record, happened, now)
        case CommissionReported():
            return _on_commission(record, happened, now)
        case CodeReported():
            return _on_code(record, happened, now)


def moved(record: OrderRecord, status: OrderStatus, now: datetime, **why: Any) -> Step:
    """Give the record a status, with `reason`, `text` and `code` if told, and the event that says so."""
    changed = msgspec.structs.replace(
        record,
        status=status,
        reason=why.get("reason", Reason.NONE),
        text=why.get("text", ""),
        code=why.get("code", 0),
        missing_since=None if status is not OrderStatus.UNKNOWN else record.missing_since,
    )
    return published(changed, [status_event(changed, now)])


def published(record: OrderRecord, events: Sequence[OrderEvent]) -> Step:
    """Number the events and count the revision."""
    numbered = tuple(
        event if not hasattr(event, "seq") else msgspec.structs.replace(event, seq=record.seq + number)
        for number, event in enumerate(events, start=1)
    )
    return msgspec.structs.replace(record, revision=record.revision + 1, seq=record.seq + len(events)), numbered


def status_event(record: OrderRecord, now: datetime) -> OrderStatusChanged:
    """The event that tells where the order stands; numbered by `published`."""
    return OrderStatusChanged(
        client_order_id=record.client_order_id,
        seq=0,
        status=record.status,
        final=record.is_final,
        reason=record.reason,
        text=record.text[:TEXT_CHARACTERS_MAX],
        code=record.code,
        strategy=record.request.strategy,
        symbol=record.request.instrument.symbol,
        side=record.side,
        quantity=record.request.quantity,
        filled=record.filled,
        average_price=record.average_price,
        account=record.account,
        order_id=record.order_id,
        perm_id=record.perm_id,
        at=now,
    )


def _on_seen(record: OrderRecord, seen: OrderSeen, now: datetime) -> Step:
    """IBKR shows the order: take its ids, and what a modify made of it."""
    known = msgspec.structs.replace(
        record,
        perm_id=seen.perm_id or record.perm_id,
        order_id=seen.order_id or record.order_id,
        request=_as_modified(record, seen),
        modify_quantity=None if seen.quantity == record.modify_quantity else record.modify_quantity,
    )
    if seen.status in _WORKING:
        return _working(record, known, now, seen.text)
    return _changed_silently(record, known)


def _as_modified(record: OrderRecord, seen: OrderSeen) -> Any:
    request = record.request
    changes: dict[str, Decimal] = {}
    if seen.quantity is not None and seen.quantity > 0 and seen.quantity != request.quantity:
        changes["quantity"] = seen.quantity
    if request.limit_price is not None and seen.limit_price and seen.limit_price != request.limit_price:
        changes["limit_price"] = seen.limit_price
    return msgspec.structs.replace(request, **changes) if changes else request


def _on_status(record: OrderRecord, reported: StatusReported, now: datetime) -> Step:
    known = msgspec.structs.replace(
        record,
        perm_id=reported.perm_id or record.perm_id,
        reported_filled=max(record.reported_filled, reported.filled),
    )
    if record.is_final:
        return _changed_silently(record, known)
    if reported.status in _WORKING or (reported.status == "Inactive" and "locate" in reported.why_held):
        return _working(record, known, now, reported.why_held and f"held: {reported.why_held}")
    if reported.status == "Filled" and reported.filled > 0:
        return _filled_whole(record, known, reported.filled, now)
    if reported.status == "PendingCancel" and record.status is not OrderStatus.PENDING_CANCEL:
        return moved(known, OrderStatus.PENDING_CANCEL, now)
    if reported.status in _CANCELLED:
        return _cancelled(record, known, now)
    if reported.status == "Inactive" and record.status is not OrderStatus.UNKNOWN:
        return moved(known, OrderStatus.UNKNOWN, now, reason=Reason.NO_ANSWER, text="IBKR calls it inactive")
    return _changed_silently(record, known)


def _working(before: OrderRecord, known: OrderRecord, now: datetime, text: str) -> Step:
    """The order is alive at IBKR. Never a step back from a pending cancel, which can still lose its race."""
    alive = OrderStatus.PARTIALLY_FILLED if known.executions else OrderStatus.SUBMITTED
    if not known.is_final and _RANK[alive] > _RANK[known.status]:
        return moved(known, alive, now, text=text)
    return _changed_silently(before, known)


def _filled_whole(before: OrderRecord, known: OrderRecord, quantity: Decimal, now: datetime) -> Step:
    """IBKR says that `quantity` was the whole of it; filled, once the ledger holds as much."""
    request = msgspec.structs.replace(known.request, quantity=quantity)
    whole = msgspec.structs.replace(known, request=request, modify_quantity=None)
    return _changed_silently(before, whole) if whole.filled < quantity else moved(whole, OrderStatus.FILLED, now)


def _cancelled(before: OrderRecord, record: OrderRecord, now: datetime) -> Step:
    """Ended, once the ledger holds all that the status counts as filled."""
    if record.filled < record.reported_filled:
        return _changed_silently(before, msgspec.structs.replace(record, reported_cancelled=True))
    reason = Reason.CANCEL_REQUESTED if record.cancel_requested else Reason.CANCELLED_BY_IBKR
    return moved(record, OrderStatus.CANCELLED, now, reason=reason, text=record.text, code=record.code)


def _on_executed(record: OrderRecord, executed: Executed, now: datetime) -> Step:
    """Into the ledger, once; a correction replaces the line it corrects."""
    base = executed.exec_id.rpartition(".")[0] or executed.exec_id
    before = record.executions.get(base)
    if before is not None and before.exec_id >= executed.exec_id:
        return record, ()
    line = Execution(exec_id=executed.exec_id, quantity=executed.quantity, price=executed.price)
    filled = msgspec.structs.replace(
        record,
        executions={**record.executions, base: line},
        perm_id=executed.perm_id or record.perm_id,
        order_id=record.order_id or executed.order_id,
    )
    event = _fill_event(filled, executed, replaces=before.exec_id if before else "", now=now)
    after, events = published(filled, [event])
    after, more = _after_fill(after, now)
    return msgspec.structs.replace(after, revision=record.revision + 1), (*events, *more)


def _after_fill(record: OrderRecord, now: datetime) -> Step:
    """What a new line in the ledger makes of the status. A part says nothing about the rest: what was unclear stays so."""
    if record.is_final:
        return record, ()
    if record.filled >= max(record.request.quantity, record.modify_quantity or ZERO):
        return moved(record, OrderStatus.FILLED, now)
    if record.reported_cancelled:
        return _cancelled(record, record, now)
    if record.status in (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN):
        return record, ()
    return moved(record, OrderStatus.PARTIALLY_FILLED, now)


def _fill_event(record: OrderRecord, executed: Executed, *, replaces: str, now: datetime) -> OrderFilled:
    return OrderFilled(
        client_order_id=record.client_order_id,
        seq=0,
        exec_id=executed.exec_id,
        replaces_exec_id=replaces,
        symbol=record.request.instrument.symbol,
        side=executed.side,
        quantity=executed.quantity,
        price=executed.price,
        cumulative_quantity=record.filled,
        account=executed.account,
        exchange=executed.exchange,
        perm_id=record.perm_id,
        executed_at=executed.executed_at,
        at=now,
    )


def _on_commission(record: OrderRecord, reported: CommissionReported, now: datetime) -> Step:
    if reported.exec_id in record.commissions:
        return record, ()
    charged = msgspec.structs.replace(record, commissions=record.commissions | {reported.exec_id})
    event = CommissionCharged(
        client_order_id=record.client_order_id,
        seq=0,
        exec_id=reported.exec_id,
        commission=reported.commission,
        currency=reported.currency,
        realized_pnl=reported.realized_pnl,
        at=now,
    )
    return published(charged, [event])


def _on_code(record: OrderRecord, reported: CodeReported, now: datetime) -> Step:
    """A code is a verdict only where it cannot be anything else; ib_async would call most of these cancelled."""
    if record.is_final:
        return record, ()
    why = {"text": reported.text, "code": reported.code}
    if reported.advice:
        said_before = (record.code, record.text) == (reported.code, reported.text)
        return (record, ()) if said_before else moved(record, record.status, now, reason=record.reason, **why)
    if reported.cancelled:
        return _cancelled(record, msgspec.structs.replace(record, **why), now)
    if reported.dead_if_new and not record.acknowledged:
        return moved(record, OrderStatus.REJECTED, now, reason=Reason.REJECTED_BY_IBKR, **why)
    return moved(record, OrderStatus.UNKNOWN, now, reason=Reason.NO_ANSWER, **why)


def _changed_silently(before: OrderRecord, after: OrderRecord) -> Step:
    return (before, ()) if after == before else published(after, [])
