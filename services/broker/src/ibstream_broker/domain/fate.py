"""What to do about an order whose answer is missing: send it again, give it up, or wait. DESIGN 5.4 as pure decisions.

Sent again is only what provably never reached the Gateway, with the same order id, within its time. Of a group all members
are looked at together: what hangs together is sent together, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from ibstream.contracts.orders import GroupKind, OrderStatus, Reason
from ibstream_broker.domain.reconcile import Reconciliation, never_there
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import Trigger, Word, advance, word
from ibstream_broker.domain.steps import Step, published, silently, status_event

_UNANSWERED = (OrderStatus.PENDING_SUBMIT, OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN)


class Fate(StrEnum):
    """What to do about an order after a connect."""

    FOUND = "found"
    """It is known where it stands, or the lists say so: `reconcile` it."""
    WAIT = "wait"
    """Nothing is provable now: `reconcile` it, which gives it up in the end if it stays away."""
    RESEND = "resend"
    """Journal `resending`, then send it with the same order id, if the gate is open; members of a group in their order."""
    REJECT = "reject"
    """It will not be sent any more: `given_up`."""
    CANCEL = "cancel"
    """The parent of a bracket that will not be completed, held at the Gateway: send a cancel, and `reconcile` it."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A fate, and of a rejection why."""

    fate: Fate
    reason: Reason = Reason.NONE
    text: str = ""


_FOUND, _WAIT, _RESEND = (Decision(fate=one) for one in (Fate.FOUND, Fate.WAIT, Fate.RESEND))
_CANCEL = Decision(fate=Fate.CANCEL)


def never_reached(record: OrderRecord, lists: Reconciliation, *, floor: int) -> bool:
    """Whether the order provably never reached the Gateway.

    `floor`: what the Gateway's next order id was at the start of the session in which the order was sent, and above every
    order id that IBKR has acknowledged; 0 where that is not known. Below it the Gateway's counter has gone back, and proves
    nothing. Not provable either: with lists that are incomplete or were asked for in the session that sends it, of an order
    under which a session broke off, and of one that was sent twice.
    """
    if record.is_final or record.status not in _UNANSWERED or record.session_lost or record.resent:
        return False
    if record.acknowledged or record.has_worked or record.order_id <= 0:
        return False
    snapshot = lists.snapshot
    if snapshot.volatile or not snapshot.executions_complete or record.epoch >= lists.epoch:
        return False
    return 0 < floor <= snapshot.next_order_id <= record.order_id and not lists.mentions(record)


def fate(
    record: OrderRecord, lists: Reconciliation, now: datetime, *, floor: int, group: Sequence[OrderRecord] = ()
) -> Decision:
    """What to do about one order. `group`: the records of all of its group, itself included, where it has one.

    All members are decided on from the same records and lists, before anything is done about one of them.
    """
    if record.is_final:
        return _FOUND
    view = _Group(lists, now, floor, group if record.link is not None else (record,))
    if view.is_unsent(record):
        return view.of_unsent(record)
    if view.is_held(record) and view.will_not_be_completed():
        return _CANCEL
    if lists.mentions(record) or record.has_worked or record.status not in _UNANSWERED:
        return _FOUND
    return _WAIT


def resending(record: OrderRecord, now: datetime, *, epoch: int) -> Step:
    """Journalled before the order goes out once more; from then on nothing is provable about it."""
    again = msgspec.structs.replace(record, resent=True, epoch=epoch, missing_since=None, unknown_since=None)
    status = advance(record.status, Trigger.RESENT)
    if status is record.status:
        return silently(record, again)
    pending = msgspec.structs.replace(again, status=status, reason=Reason.NONE, text="", code=0)
    return published(pending, [status_event(pending, now)])


def given_up(record: OrderRecord, decision: Decision, now: datetime) -> Step:
    """The outcome of an order of which `decision` says that it will not be sent any more."""
    return never_there(record, now, decision.reason, decision.text)


class _Group:
    """The members of one group, or a single order, against one set of lists."""

    def __init__(self, lists: Reconciliation, now: datetime, floor: int, members: Sequence[OrderRecord]) -> None:
        self._lists = lists
        self._now = now
        self._members = members
        self._unsent = {one.client_order_id for one in members if never_reached(one, lists, floor=floor)}

    def is_unsent(self, record: OrderRecord) -> bool:
        return record.client_order_id in self._unsent

    def of_unsent(self, record: OrderRecord) -> Decision:
        """Of a member that never reached the Gateway."""
        if record.cancel_requested or record.status is OrderStatus.PENDING_CANCEL:
            return _rejected(Reason.CANCEL_REQUESTED, "cancelled before it reached the Gateway")
        if any(self._has_happened(one) for one in self._members):
            return _rejected(Reason.GROUP_REFUSED, "it never reached the Gateway, and one of its group filled or ended")
        if self._is_late(record):
            return _rejected(Reason.EXPIRED, "it never reached the Gateway, and its time is over")
        if any(self._is_given_up(one) for one in self._members):
            return _rejected(Reason.GROUP_REFUSED, "it never reached the Gateway, and another of its group is given up")
        return _RESEND if self._is_complete(record) and all(map(self._is_settled, self._members)) else _WAIT

    def is_held(self, record: OrderRecord) -> bool:
        """Whether it is the parent of a bracket, and waits at the Gateway for the rest of it, or may do so unlisted."""
        link = record.link
        if link is None or link.kind is not GroupKind.BRACKET or link.parent or link.transmit or record.has_worked:
            return False
        if record.epoch >= self._lists.epoch:  # the rest may still be on its way
            return False
        listed = self._lists.open_order(record)
        return word(listed.status) is Word.ON_ITS_WAY if listed is not None else not self._lists.mentions(record)

    def will_not_be_completed(self) -> bool:
        """Whether a member has an outcome, or will not be sent any more."""
        return any(one.is_final or self._is_given_up(one) for one in self._members)

    def _is_given_up(self, one: OrderRecord) -> bool:
        return self.is_unsent(one) and (one.cancel_requested or self._is_late(one))

    def _has_happened(self, one: OrderRecord) -> bool:
        """A member that filled or ended: in an OCA group the others are to end, a bracket is no longer whole."""
        return one.is_final or one.filled > 0 or bool(self._lists.executions(one)) or self._has_completed(one)

    def _has_completed(self, one: OrderRecord) -> bool:
        return self._lists.open_order(one) is None and self._lists.completed_order(one) is not None

    def _is_settled(self, one: OrderRecord) -> bool:
        """It is known to be at the Gateway, and alive, or known not to be."""
        listed = self._lists.open_order(one)
        if listed is None:
            return self.is_unsent(one)
        return word(listed.status) in (Word.ON_ITS_WAY, Word.WORKING) and not one.cancel_requested

    def _is_complete(self, record: OrderRecord) -> bool:
        known = {one.client_order_id for one in self._members}
        return record.link is None or known.issuperset(record.link.members)

    def _is_late(self, one: OrderRecord) -> bool:
        return one.valid_until is None or self._now > one.valid_until


def _rejected(reason: Reason, text: str) -> Decision:
    return Decision(fate=Fate.REJECT, reason=reason, text=text)
