"""Changes of orders that work: modifies and cancels."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import CancelAllOrders, CancelOrder, ModifyOrder, OrderStatus, Reason, SubmitOrder
from ibstream.runtime import metrics
from ibstream.runtime.faultpoints import fault_point
from ibstream_broker.domain.interest import with_legs
from ibstream_broker.domain.lanes import Lane, Waiting
from ibstream_broker.domain.lifecycle import Step, moved, published
from ibstream_broker.domain.modifies import base_of, modify_asked, modify_unsent
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.requests import orders_of
from ibstream_broker.domain.validation import check_in_bracket, check_modify, check_order, check_terms, modified
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office, Send, placement_of
from ibstream_broker.ports import Placement

_log = structlog.get_logger(__name__)


class Changes:
    """Stages modifies and cancels in a change, and says what is to be sent once it is written."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._modifies: dict[str, Send] = {}
        """By order, the last modify that was staged in this batch: the next one builds on it."""

    async def find_targets(self, batch: Sequence[Waiting]) -> None:
        """Begin a batch. Have the orders at hand that it is about: one that ended long ago is in the journal alone."""
        self._modifies.clear()
        book = self._office.ledger.book
        missing = {item.target for item in batch if item.target and item.target not in book}
        if missing:
            book.put_all(await self._office.ledger.load_all(sorted(missing)))

    def stage_cancel(self, change: Change, item: Waiting) -> list[Send]:
        """Note that the end of an order was asked for, and send the cancel."""
        request = item.request
        assert isinstance(request, CancelOrder | CancelAllOrders)  # noqa: S101 - the desk sorts by kind
        record = self._workable(change, item, request, self._office.refuses_cancels(request))
        if record is None:
            return []
        before = record
        change.step(_cancel_asked(record, self._office))
        return [
            Send(
                still_refused=lambda: self._cannot_go(request),
                act=lambda: self._send_cancel(before.order_id),
                take_back=lambda change, refusal: self._cancel_unsent(change, request, before, refusal),
            )
        ]

    def _cannot_go(self, request: CancelOrder | CancelAllOrders) -> Refusal | None:
        """What may have come between the turn of a cancel and its going out."""
        office = self._office
        return office.refuses_cancels(request) or office.standing.refuses_cancels() or office.not_held()

    async def put_down(self, record: OrderRecord) -> None:
        """Cancel an order that has its outcome and works all the same. What cannot be sent now, the next listing shows again."""
        port = self._office.port
        try:
            await port.room()
            self._office.check_held()
            await port.cancel(record.order_id, session=port.session)
        except ConnectionError as error:
            _log.error("broker.risen_order_not_cancelled", order=record.client_order_id, error=str(error))

    def stage_modify(self, change: Change, item: Waiting) -> list[Send]:
        """Note what a modify asks for, and send it."""
        request = item.request
        assert isinstance(request, ModifyOrder)  # noqa: S101
        early = next(iter(item.refusals.values()), None) or self._office.refuses_modifies(request)
        record = self._workable(change, item, request, early)
        if record is None:
            return []
        wanted = modified(base_of(record), request)
        refusal = self._against(record, wanted)
        if refusal is not None:
            self._office.refuse(change, request, record.client_order_id, refusal, record)
            return []
        change.step(modify_asked(record, wanted))
        session = self._office.port.session
        placement = placement_of(msgspec.structs.replace(record, request=wanted))
        under = self._modifies.get(record.client_order_id)
        send = Send(
            still_refused=lambda: self._no_longer(request, under) or self._office.not_held(),
            act=lambda: self._send_modify(placement, session),
            take_back=lambda change, refusal: self._modify_unsent(change, request, record, under, refusal),
        )
        self._modifies[record.client_order_id] = send
        return [send]

    def _no_longer(self, request: ModifyOrder, under: Send | None) -> Refusal | None:
        """What may have come between: IBKR would take the change of an order that has ended for a new one.

        `under`: the modify that this one builds on, whose terms it would bring in by the back door.
        """
        record = self._office.ledger.book.get(request.client_order_id)
        if record is None or record.is_final:
            return Refusal(Reason.ORDER_IS_FINAL, "it has ended meanwhile")
        if record.cancel_requested:
            return Refusal(Reason.CANCEL_REQUESTED, "its cancel is on its way")
        if under is not None and under.failure is not None:
            return Refusal(under.failure.reason, f"the modify before it was not sent ({under.failure.text}): ask again")
        return self._office.refuses_modifies(request)

    def _against(self, record: OrderRecord, wanted: SubmitOrder) -> Refusal | None:
        refusal = (
            check_order(wanted, now=self._office.clock.now())
            or check_modify(record, wanted)
            or check_in_bracket(record, wanted, self._office.ledger.book.group_of(record))
        )
        if refusal is not None:
            return refusal
        terms = self._office.port.known_terms(wanted.instrument)
        if terms is None:
            return Refusal(Reason.RECONCILING, f"{wanted.instrument.symbol} has to be looked up again: ask again")
        grows = wanted.quantity > record.request.quantity
        return (
            check_terms(wanted, terms)
            or (self._office.blocked(wanted, record) if grows else None)
            or self._office.risk.against_modify(record, wanted, self._office)
        )

    def _workable(
        self,
        change: Change,
        item: Waiting,
        request: CancelOrder | CancelAllOrders | ModifyOrder,
        early: Refusal | None,
    ) -> OrderRecord | None:
        """The order, if there is one to change and somebody to tell; else the refusal is staged."""
        record = change.now(item.target)
        refusal = _not_workable(record, self._office.port.account) or early
        if refusal is None:
            return record
        self._office.refuse(change, request, item.target, refusal, record)
        return None

    async def _send_cancel(self, order_id: int) -> None:
        fault_point("cancel.journalled")
        self._office.check_held()
        await self._office.port.cancel(order_id, session=self._office.port.session)
        metrics.ORDER_REQUESTS.labels("cancel", "sent").inc()
        fault_point("cancel.sent")

    async def _send_modify(self, placement: Placement, session: int) -> None:
        fault_point("modify.journalled")
        self._office.check_held()
        await self._office.port.modify(placement, session=session)
        metrics.ORDER_REQUESTS.labels("modify", "sent").inc()
        fault_point("modify.sent")

    def _modify_unsent(
        self, change: Change, request: ModifyOrder, before: OrderRecord, under: Send | None, refusal: Refusal
    ) -> None:
        """What was wanted before it is wanted again. Where the one that it builds on was not sent either, that one sees to it."""
        record = change.now(before.client_order_id) or before
        if under is None or under.failure is None:
            change.step(modify_unsent(record, before))
        self._office.refuse(change, request, before.client_order_id, refusal, change.now(before.client_order_id))

    def _cancel_unsent(
        self, change: Change, request: CancelOrder | CancelAllOrders, before: OrderRecord, refusal: Refusal
    ) -> None:
        """Where the order stood before the cancel, unless something has happened to it since."""
        record = change.now(before.client_order_id) or before
        if record.status is OrderStatus.PENDING_CANCEL and before.status is not OrderStatus.PENDING_CANCEL:
            status = OrderStatus.PARTIALLY_FILLED if record.filled else before.status
            undone = msgspec.structs.replace(record, cancel_requested=before.cancel_requested)
            change.step(moved(undone, status, self._office.clock.now()))
        self._office.refuse(change, request, before.client_order_id, refusal, change.now(before.client_order_id))

    def instruments_of(self, item: Waiting) -> tuple[Instrument, ...]:
        """The instruments that must be known before the request's turn comes."""
        if item.lane is Lane.MODIFY:
            record = self._office.ledger.book.get(item.target)
            return () if record is None else (record.request.instrument,)
        return tuple(one for order in orders_of(item.request) for one in with_legs(order.instrument))


def _not_workable(record: OrderRecord | None, account: str) -> Refusal | None:
    if record is None:
        return Refusal(Reason.UNKNOWN_ORDER, "no order has this id")
    if record.is_final:
        return Refusal(Reason.ORDER_IS_FINAL, f"it is {record.status}")
    if record.account != account:  # order ids of one account mean other orders in the next
        text = f"it is of account {record.account}, this broker trades {account or 'none yet'}"
        return Refusal(Reason.INVALID_ACCOUNT, text)
    return None


def _cancel_asked(record: OrderRecord, office: Office) -> Step:
    asked = msgspec.structs.replace(record, cancel_requested=True)
    if record.status is OrderStatus.UNKNOWN:
        return published(asked, [])
    return moved(asked, OrderStatus.PENDING_CANCEL, office.clock.now(), reason=Reason.CANCEL_REQUESTED)
