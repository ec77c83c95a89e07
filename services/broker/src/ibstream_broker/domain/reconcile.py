"""After a connect, and while anything is unclear: what IBKR says, set against what the journal says."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ibstream.contracts.orders import OrderEvent, OrderStatus, Reason
from ibstream_broker.domain.inputs import OrderSeen, Snapshot
from ibstream_broker.domain.lifecycle import Step, moved, published, step
from ibstream_broker.domain.records import OrderRecord

_UNCLEAR = (OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL)

GONE_AFTER = timedelta(seconds=10)
"""An order that IBKR lists nowhere for this long, over at least two snapshots, is not there."""


def session_lost(record: OrderRecord, now: datetime) -> Step:
    """The session ended before IBKR acknowledged the order, or its cancel: nobody knows whether that arrived.

    That it was listed nowhere is forgotten: a Gateway that has just started may not have its lists yet.
    """
    if record.is_final or (record.acknowledged and record.status not in _UNCLEAR):
        return record, ()
    unlisted = msgspec.structs.replace(record, missing_since=None)
    if record.status is OrderStatus.UNKNOWN:
        return (record, ()) if record == unlisted else published(unlisted, [])
    what = "the cancel" if record.status is OrderStatus.PENDING_CANCEL else "it"
    text = f"the session ended before IBKR acknowledged {what}"
    return moved(unlisted, OrderStatus.UNKNOWN, now, reason=Reason.NO_ANSWER, text=text)


def reconcile(record: OrderRecord, snapshot: Snapshot, now: datetime) -> Step:
    """What the snapshot makes of one order that has no outcome yet: fills first, then where the order stands."""
    events: list[OrderEvent] = []
    start = record.revision
    exec_ids = set()
    for executed in snapshot.executions:
        if _is_about(executed.order_ref, executed.perm_id, record):
            exec_ids.add(executed.exec_id)
            record, more = step(record, executed, now)
            events += more
    for commission in snapshot.commissions:
        if commission.exec_id in exec_ids:
            record, more = step(record, commission, now)
            events += more
    if not record.is_final:
        record, more = _stand(record, snapshot, now)
        events += more
    if record.revision != start:
        record = msgspec.structs.replace(record, revision=start + 1)
    return record, tuple(events)


def _stand(record: OrderRecord, snapshot: Snapshot, now: datetime) -> Step:
    is_open = _find(snapshot.open_orders, record)
    if is_open is not None:
        listed = msgspec.structs.replace(record, missing_since=None)
        after, events = step(listed, is_open, now)
        return published(listed, []) if after == listed != record else (after, events)
    completed = _find(snapshot.completed_orders, record)
    if completed is not None:
        return _completed(record, completed, now)
    return _missing(record, now)


def _completed(record: OrderRecord, seen: OrderSeen, now: datetime) -> Step:
    known = msgspec.structs.replace(record, perm_id=seen.perm_id or record.perm_id)
    if seen.status == "Filled":
        # Its executions may be older than what IBKR still tells; the outcome is certain all the same.
        return moved(known, OrderStatus.FILLED, now, text=seen.text)
    return moved(known, OrderStatus.CANCELLED, now, reason=_why_cancelled(record), text=seen.text)


def _missing(record: OrderRecord, now: datetime) -> Step:
    """Listed nowhere: unknown at first. Gone when it stays so, if IBKR never acknowledged it.

    One that IBKR did acknowledge may have filled or ended on a day of which its lists no longer tell: it stays unknown, for
    a person and the positions to settle. Calling it cancelled would be a guess about somebody's money.
    """
    if record.missing_since is None:
        absent = msgspec.structs.replace(record, missing_since=now)
        if record.status is OrderStatus.UNKNOWN:
            return published(absent, [])
        return moved(absent, OrderStatus.UNKNOWN, now, reason=Reason.NO_ANSWER, text="IBKR lists it nowhere")
    if record.acknowledged or now - record.missing_since < GONE_AFTER:
        return record, ()
    text = "IBKR never got it"
    return moved(record, OrderStatus.REJECTED, now, reason=Reason.NO_ANSWER, text=text)


def _why_cancelled(record: OrderRecord) -> Reason:
    return Reason.CANCEL_REQUESTED if record.cancel_requested else Reason.CANCELLED_BY_IBKR


def _find(seen: list[OrderSeen], record: OrderRecord) -> OrderSeen | None:
    return next((one for one in seen if _is_about(one.order_ref, one.perm_id, record)), None)


def _is_about(order_ref: str, perm_id: int, record: OrderRecord) -> bool:
    """By our own id first; by IBKR's permanent id where it kept no reference. Never by order id, which can be reused."""
    return order_ref == record.client_order_id or (not order_ref and perm_id != 0 and perm_id == record.perm_id)
