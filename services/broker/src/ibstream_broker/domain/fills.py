"""The fill ledger of one order: every execution once, a correction in its place, commissions in either order."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ibstream.contracts.orders import CommissionCharged, OrderFilled, OrderStatus
from ibstream_broker.domain.inputs import CommissionReported, Executed
from ibstream_broker.domain.records import ZERO, Execution, OrderRecord
from ibstream_broker.domain.states import Trigger
from ibstream_broker.domain.steps import Step, ended, folded, moved, moved_by, published

_COMBO = "BAG"


def line_of(exec_id: str) -> str:
    """What an execution and its corrections share: the id without its last part, which counts the corrections."""
    return exec_id.rpartition(".")[0] or exec_id


def corrects(exec_id: str, known: str) -> bool:
    """Whether `exec_id` is the newer one of two of the same line: `.02` after `.01`, `.10` after `.09`."""
    new, old = exec_id.rpartition(".")[2], known.rpartition(".")[2]
    if new.isdecimal() and old.isdecimal():
        return int(new) > int(old)
    return exec_id > known


def is_leg(record: OrderRecord, executed: Executed) -> bool:
    """A leg's execution of a combo, which changes a position; the combo's own, which counts, changes none."""
    return record.request.instrument.security_type == _COMBO and executed.security_type != _COMBO


def on_executed(record: OrderRecord, executed: Executed, now: datetime) -> Step:
    """One execution, live: into the ledger, and what that makes of the order."""
    entered, events = enter(record, executed, now)
    after, more = counted(record, entered, now)
    return folded(record, after), (*events, *more)


def enter(record: OrderRecord, executed: Executed, now: datetime) -> Step:
    """Into the ledger, once, whatever the outcome; a correction replaces the line it corrects. The status stays as it is."""
    key = line_of(executed.exec_id)
    before = record.executions.get(key)
    if before is not None and not corrects(executed.exec_id, before.exec_id):
        return record, ()
    line = Execution(
        exec_id=executed.exec_id,
        quantity=executed.quantity,
        price=executed.price,
        leg=is_leg(record, executed),
        con_id=executed.con_id,
        side=executed.side,
    )
    filled = msgspec.structs.replace(
        record,
        executions={**record.executions, key: line},
        perm_id=executed.perm_id or record.perm_id,
        order_id=record.order_id or executed.order_id,
        worked=True,
    )
    if before is not None:
        filled = _reported_less(record, filled)
    event = _fill_event(filled, executed, line, replaces=before.exec_id if before else "", now=now)
    return published(filled, [event])


def counted(before: OrderRecord, record: OrderRecord, now: datetime) -> Step:
    """What new lines in the ledger make of the status, all of them together; legs make nothing of it.

    Of several that were listed the order means nothing: one by one they could add up to more than there ever was.
    """
    return (record, ()) if _own(before) == _own(record) else _after_fill(record, now)


def _own(record: OrderRecord) -> list[Execution]:
    return [line for line in record.executions.values() if not line.leg]


def _reported_less(before: OrderRecord, after: OrderRecord) -> OrderRecord:
    """A correction that takes back some of a fill takes it back from what the status had counted, too."""
    back = before.filled - after.filled
    if back <= 0:
        return after
    counted = max(after.reported_filled - back, min(after.reported_filled, after.filled))
    return msgspec.structs.replace(after, reported_filled=counted)


def _after_fill(record: OrderRecord, now: datetime) -> Step:
    """What a new line in the ledger makes of the status. A part says nothing about the rest: what was unclear stays so."""
    if record.is_final:
        return record, ()
    if ZERO < max(record.request.quantity, record.modify_quantity or ZERO) <= record.filled:
        return moved_by(record, record, Trigger.WHOLE, now)
    if record.reported_cancelled:
        return ended(record, record, now)
    if record.status in (OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN):
        return record, ()
    return moved(record, OrderStatus.PARTIALLY_FILLED, now)


def _fill_event(
    record: OrderRecord, executed: Executed, line: Execution, *, replaces: str, now: datetime
) -> OrderFilled:
    """Of a leg the symbol is its own; of anything else the request's, which is how the strategy knows it."""
    return OrderFilled(
        client_order_id=record.client_order_id,
        seq=0,
        exec_id=executed.exec_id,
        replaces_exec_id=replaces,
        symbol=(line.leg and executed.symbol) or record.request.instrument.symbol,
        side=executed.side,
        quantity=executed.quantity,
        price=executed.price,
        cumulative_quantity=record.filled,
        account=executed.account,
        exchange=executed.exchange,
        perm_id=record.perm_id,
        con_id=executed.con_id,
        leg=line.leg,
        executed_at=executed.executed_at,
        at=now,
    )


def on_commission(record: OrderRecord, reported: CommissionReported, now: datetime) -> Step:
    """Published once per execution id, after the outcome too."""
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
