"""After a connect, and while anything is unclear: what IBKR says, set against what the journal says.

What IBKR lists has limits, and absence proves no more than they allow (source: IBKR's API documentation): open orders are all
there are, orders that wait to be transmitted perhaps not among them; completed orders are those of the account's day;
executions are those since midnight of the account's day from a Gateway, of at most seven days from TWS. An acknowledged order
that is listed nowhere may so have filled or ended earlier, and stays unknown: for a person and the positions to settle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec

from ibstream.contracts.orders import OrderEvent, OrderStatus, Reason
from ibstream_broker.domain.fills import counted, enter, on_commission
from ibstream_broker.domain.inputs import CommissionReported, Executed, OrderSeen, Snapshot
from ibstream_broker.domain.lifecycle import step
from ibstream_broker.domain.modifies import modify_settled
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import Trigger, Word, word
from ibstream_broker.domain.steps import Step, ended, folded, moved, moved_by, silently

GONE_AFTER = timedelta(seconds=10)
"""An order that IBKR lists nowhere for this long, over at least two snapshots, is not there."""


class Reconciliation:
    """A snapshot, prepared once for every record that is set against it.

    Matched by our own id first; by IBKR's permanent id where it kept no reference. Never by order id, which can be reused.
    """

    def __init__(self, snapshot: Snapshot, *, epoch: int) -> None:
        """`epoch`: the session in which the lists were asked for, as the journal counts sessions."""
        self.snapshot = snapshot
        self.epoch = epoch
        self._open = _Index(snapshot.open_orders)
        self._completed = _Index(snapshot.completed_orders)
        self._by_ref: dict[str, list[Executed]] = {}
        self._by_perm_id: dict[int, list[Executed]] = {}
        for executed in snapshot.executions:
            if executed.order_ref:
                self._by_ref.setdefault(executed.order_ref, []).append(executed)
            elif executed.perm_id:
                self._by_perm_id.setdefault(executed.perm_id, []).append(executed)
        self._commissions: dict[str, CommissionReported] = {one.exec_id: one for one in snapshot.commissions}
        self._nameless_ids = frozenset(one.order_id for one in snapshot.open_orders if not one.order_ref)

    def executions(self, record: OrderRecord) -> list[Executed]:
        """Those of the order, in the order in which they were listed."""
        named = self._by_ref.get(record.client_order_id, [])
        return named + (self._by_perm_id.get(record.perm_id, []) if record.perm_id else [])

    def commissions(self, record: OrderRecord) -> Iterator[CommissionReported]:
        """Those of its executions."""
        found = (self._commissions.get(executed.exec_id) for executed in self.executions(record))
        return (one for one in found if one is not None)

    def open_order(self, record: OrderRecord) -> OrderSeen | None:
        """The order as it works now.

        The lists are not taken at one moment: an order in both of them has completed in between, unless it is another one
        under the same reference.
        """
        working, done = self._open.find(record), self._completed.find(record)
        return None if working is not None and done is not None and working.perm_id == done.perm_id else working

    def completed_order(self, record: OrderRecord) -> OrderSeen | None:
        """The order as it ended."""
        return self._completed.find(record)

    def twins(self, record: OrderRecord) -> list[OrderSeen]:
        """Every open order under its reference. More than one is a modify that IBKR took for a new order: cancel all."""
        return self._open.named(record.client_order_id)

    def mentions(self, record: OrderRecord) -> bool:
        """Whether anything in the lists is, or might be, of this order."""
        listed = self._open.find(record) or self._completed.find(record) or self.executions(record)
        return bool(listed) or record.order_id in self._nameless_ids

    def external(self, is_ours: Callable[[str, int], bool]) -> list[OrderSeen]:
        """The orders, working ones first, of which `is_ours(order_ref, perm_id)` is false; each once."""
        strangers: dict[tuple[int, ...], OrderSeen] = {}
        for seen in (*self.snapshot.open_orders, *self.snapshot.completed_orders):
            if not is_ours(seen.order_ref, seen.perm_id):
                key = (seen.perm_id,) if seen.perm_id else (seen.client_id, seen.order_id)
                strangers.setdefault(key, seen)
        return list(strangers.values())


class _Index:
    """Orders by reference, and by permanent id those without one."""

    def __init__(self, listed: list[OrderSeen]) -> None:
        self._by_ref: dict[str, list[OrderSeen]] = {}
        self._by_perm_id: dict[int, OrderSeen] = {}
        for seen in listed:
            if seen.order_ref:
                self._by_ref.setdefault(seen.order_ref, []).append(seen)
            elif seen.perm_id:
                self._by_perm_id.setdefault(seen.perm_id, seen)

    def named(self, order_ref: str) -> list[OrderSeen]:
        return self._by_ref.get(order_ref, [])

    def find(self, record: OrderRecord) -> OrderSeen | None:
        """Of several under one reference the one with the permanent id that is known, else the first."""
        named = self.named(record.client_order_id)
        same = [one for one in named if one.perm_id == record.perm_id]
        return next(iter(same or named), None) or self._by_perm_id.get(record.perm_id)


def external(lists: Reconciliation, is_ours: Callable[[str, int], bool]) -> list[OrderSeen]:
    """The orders at IBKR that no request of ours asked for, working and completed ones of today. They are never touched."""
    return lists.external(is_ours)


def session_lost(record: OrderRecord, now: datetime) -> Step:
    """The session ended before IBKR answered the order, or its cancel: nobody knows whether that arrived, nor ever will.

    That it was listed nowhere is forgotten: a Gateway that has just started may not have its lists yet.
    """
    return _unanswered(record, now, session_lost=True, text="the session ended before IBKR acknowledged {}")


def orphaned(record: OrderRecord, now: datetime) -> Step:
    """The broker that sent it is gone, by a crash or a take-over. The Gateway, which has read all that was written to it, is not.

    So it can still be provable that the order never reached it (`fate.never_reached`).
    """
    return _unanswered(record, now, session_lost=False, text="the broker ended before IBKR acknowledged {}")


def link_lost(record: OrderRecord, now: datetime) -> Step:
    """The Gateway has lost IBKR: whether an order, or its cancel, came through before nobody knows until the link is back.

    The Gateway may keep it and send it then, so nothing becomes provable in this session.
    """
    return _unanswered(record, now, session_lost=False, text="the link to IBKR was lost before it acknowledged {}")


def _unanswered(record: OrderRecord, now: datetime, *, session_lost: bool, text: str) -> Step:
    answered = record.acknowledged and record.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
    if record.is_final:
        return record, ()
    if answered:  # a modify on its way came or did not: the terms that are listed next are those in force
        return silently(record, modify_settled(record))
    lost = msgspec.structs.replace(
        modify_settled(record), missing_since=None, session_lost=record.session_lost or session_lost
    )
    if record.status is OrderStatus.UNKNOWN:
        return silently(record, lost)
    what = "the cancel" if record.status is OrderStatus.PENDING_CANCEL else "it"
    return moved_by(record, lost, Trigger.UNCLEAR, now, reason=Reason.NO_ANSWER, text=text.format(what))


def reconcile(record: OrderRecord, lists: Reconciliation, now: datetime) -> Step:
    """What the lists make of one order, as one revision: fills first, then where it stands if it has no outcome yet."""
    events: list[OrderEvent] = []
    after = record
    for executed in lists.executions(record):
        after, more = enter(after, executed, now)
        events += more
    after, more = counted(record, after, now)
    events += more
    for commission in lists.commissions(record):
        after, more = on_commission(after, commission, now)
        events += more
    if not after.is_final:
        after, more = _stand(after, lists, now)
        events += more
    return folded(record, after), tuple(events)


def _stand(record: OrderRecord, lists: Reconciliation, now: datetime) -> Step:
    working = lists.open_order(record)
    if working is not None:
        return _open(record, working, now)
    completed = lists.completed_order(record)
    if completed is not None:
        return _completed(record, completed, lists, now)
    return _missing(record, lists, now)


def _open(record: OrderRecord, seen: OrderSeen, now: datetime) -> Step:
    """Listed as open: the answer to every doubt, except where IBKR's word for it is itself unclear."""
    listed = msgspec.structs.replace(record, missing_since=None, doubted=False)
    after, events = step(listed, seen, now)
    settled = msgspec.structs.replace(after, doubted=False, revision=record.revision)
    return (folded(record, after), events) if events else silently(record, settled)


def _completed(record: OrderRecord, seen: OrderSeen, lists: Reconciliation, now: datetime) -> Step:
    whole = msgspec.structs.replace(record.request, quantity=seen.quantity or record.request.quantity)
    known = msgspec.structs.replace(record, perm_id=seen.perm_id or record.perm_id, request=whole)
    meaning = word(seen.status)
    if meaning is Word.FILLED:
        # Its executions may be older than what IBKR still tells; the outcome is certain all the same.
        return moved_by(record, known, Trigger.WHOLE, now, text=seen.text)
    if meaning is Word.INACTIVE and not known.has_worked:
        return _refused(record, known, now, seen.text or known.text)
    if lists.snapshot.executions_complete:  # what a status counted and nobody lists is older than the lists
        known = msgspec.structs.replace(known, reported_filled=known.filled)
    return ended(record, known, now, text=seen.text)


def _missing(record: OrderRecord, lists: Reconciliation, now: datetime) -> Step:
    """Listed nowhere: unknown at first. Gone when it stays so, if IBKR never acknowledged it.

    One that IBKR did acknowledge may have filled or ended on a day of which its lists no longer tell: it stays unknown.
    Calling it cancelled would be a guess about somebody's money.
    """
    if may_be_on_its_way(record, lists, now):
        return record, ()
    if lists.snapshot.volatile:
        return _forgotten(record, now)
    if not lists.snapshot.executions_complete or record.missing_since is None:
        since = now if lists.snapshot.executions_complete else record.missing_since
        absent = msgspec.structs.replace(record, missing_since=since)
        if record.status is OrderStatus.UNKNOWN:
            return silently(record, absent)
        text = record.text if record.refused else "IBKR lists it nowhere"
        return moved(absent, OrderStatus.UNKNOWN, now, reason=Reason.NO_ANSWER, text=text, code=record.code)
    if now - record.missing_since < GONE_AFTER:
        return record, ()
    if record.refused and not record.has_worked:
        return _refused(record, record, now, record.text)
    if record.acknowledged or record.has_worked:
        return record, ()
    return never_there(record, now, Reason.NO_ANSWER, "IBKR never got it")


def _refused(before: OrderRecord, known: OrderRecord, now: datetime, text: str) -> Step:
    return moved_by(before, known, Trigger.REFUSED, now, reason=Reason.REJECTED_BY_IBKR, text=text, code=known.code)


def may_be_on_its_way(record: OrderRecord, lists: Reconciliation, now: datetime) -> bool:
    """Journalled in the very session of these lists and not answered: it can still be sent, until its time is over."""
    waits = record.status in (OrderStatus.PENDING_SUBMIT, OrderStatus.PENDING_CANCEL)
    is_new = not (record.acknowledged or record.has_worked)
    in_time = record.valid_until is None or now <= record.valid_until
    return waits and is_new and in_time and record.epoch >= lists.epoch


def never_there(record: OrderRecord, now: datetime, reason: Reason, text: str) -> Step:
    """The outcome of an order that never reached IBKR: cancelled if that was asked for meanwhile, else rejected."""
    if record.cancel_requested:
        return moved_by(record, record, Trigger.ENDED, now, reason=Reason.CANCEL_REQUESTED, text=text)
    return moved_by(record, record, Trigger.REFUSED, now, reason=reason, text=text)


def _forgotten(record: OrderRecord, now: datetime) -> Step:
    """A market that keeps nothing over its end: what it does not list is not there any more."""
    text = "the simulated market forgot it"
    if not (record.acknowledged or record.has_worked):
        return never_there(record, now, Reason.NO_ANSWER, text)
    reason = Reason.CANCEL_REQUESTED if record.cancel_requested else Reason.CANCELLED_BY_IBKR
    return moved_by(record, record, Trigger.ENDED, now, reason=reason, text=text)
