"""New orders, single and in groups: journalled as an intent, then sent, or rejected by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from ibstream.contracts.orders import (
    GroupKind,
    OrderStatus,
    Reason,
    RiskCheck,
    SubmitGroup,
    SubmitOrder,
)
from ibstream.runtime import metrics
from ibstream.runtime.faultpoints import fault_point
from ibstream_broker.domain.lanes import Waiting
from ibstream_broker.domain.lifecycle import moved, published, status_event
from ibstream_broker.domain.records import Link, OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.requests import orders_of
from ibstream_broker.domain.validation import check_account, check_terms, expiry_of, refusals_of
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office, Room, Send, placement_of

_log = structlog.get_logger(__name__)


class Submits:
    """Stages new orders in a change, and says what is to be sent once it is written."""

    def __init__(self, office: Office, *, cancel: Callable[[str], None]) -> None:
        """`cancel` lines up the cancel of an order that went out as part of a group that did not go out whole."""
        self._office = office
        self.cancel = cancel

    async def look_at_quotes(self, batch: Sequence[Waiting]) -> None:
        """Have the quotes at hand by which the batch's orders are judged."""
        judged = [item for item in batch if isinstance(item.request, SubmitOrder | SubmitGroup) and not item.refusals]
        if judged:
            await self._office.risk.look_at_quotes([order for item in judged for order in orders_of(item.request)])

    def stage(self, change: Change, item: Waiting) -> list[Send]:
        """Take a submit's orders in: as intents to be sent, as rejections, or as repetitions of what is known."""
        request = item.request
        assert isinstance(request, SubmitOrder | SubmitGroup)  # noqa: S101 - the desk sorts by kind
        known = self._known(change, item)
        if known is None:
            return []
        refusals, risk = (known, {}) if known else self._objections(item, request)
        records = self._records(item, request)
        if not refusals:
            try:
                return self._intend(change, records, risk)
            except ConnectionError as error:
                refusals = _all(request, Refusal(Reason.GATEWAY_DISCONNECTED, str(error)))
        for record in records:
            if change.now(record.client_order_id) is None:
                self._reject(change, record, refusals[record.client_order_id], risk.get(record.client_order_id, ()))
        return []

    def _known(self, change: Change, item: Waiting) -> dict[str, Refusal] | None:
        """None where the request itself was journalled before: its story already goes on. Else refusals of repeated ids."""
        request = item.request
        assert isinstance(request, SubmitOrder | SubmitGroup)  # noqa: S101
        orders = orders_of(request)
        repeated: dict[str, Refusal] = {}
        for order in orders:
            record = change.now(order.client_order_id)
            if record is None:
                continue
            if record.entry_id == item.entry_id:
                return None
            refusal = Refusal(Reason.DUPLICATE, "this id was used before")
            self._office.refuse(change, request, order.client_order_id, refusal, record)
            repeated[order.client_order_id] = refusal
        return refusals_of(request, repeated) if repeated and isinstance(request, SubmitGroup) else repeated

    def _objections(
        self, item: Waiting, request: SubmitOrder | SubmitGroup
    ) -> tuple[Mapping[str, Refusal], dict[str, tuple[RiskCheck, ...]]]:
        """Everything that speaks against it, by order; and the risk limits that were looked at."""
        if item.refusals:
            return item.refusals, {}
        refusal = self._office.refuses_now(request)
        if refusal is not None:
            return _all(request, refusal), {}
        wrong: dict[str, Refusal] = {}
        for order in orders_of(request):
            refusal = self._against(order)
            if refusal is not None:
                wrong[order.client_order_id] = refusal
        risk: dict[str, tuple[RiskCheck, ...]] = {}
        if not wrong:
            decisions = self._office.risk.decide(request, self._office)
            risk = {name: decision.checks for name, decision in decisions.items()}
            wrong = {name: one.refusal for name, one in decisions.items() if one.refusal is not None}
        if wrong and isinstance(request, SubmitGroup):
            wrong = refusals_of(request, wrong)
        return wrong, risk

    def _against(self, order: SubmitOrder) -> Refusal | None:
        refusal = check_account(order.account, self._office.port.account)
        if refusal is not None:
            return refusal
        terms = self._office.port.known_terms(order.instrument)
        if terms is None:  # looked up a moment ago, in a session that has ended
            return Refusal(Reason.RECONCILING, f"{order.instrument.symbol} has to be looked up again: ask again")
        return check_terms(order, terms) or self._office.blocked(order)

    def _records(self, item: Waiting, request: SubmitOrder | SubmitGroup) -> list[OrderRecord]:
        until = expiry_of(request, self._office.valid_for)
        links = _links(request) if isinstance(request, SubmitGroup) else [None]
        return [
            OrderRecord(
                request=order,
                entry_id=item.entry_id,
                account=order.account or self._office.port.account,
                valid_until=until,
                link=link,
            )
            for order, link in zip(orders_of(request), links, strict=True)
        ]

    def _intend(
        self, change: Change, records: Sequence[OrderRecord], risk: Mapping[str, tuple[RiskCheck, ...]]
    ) -> list[Send]:
        """Journal that these are about to be sent. The ids are taken first: without a session there are none."""
        office = self._office
        order_ids = [office.port.next_order_id(office.ledger.order_id_high_water + 1) for _ in records]
        numbered = [
            msgspec.structs.replace(
                record, order_id=order_id, epoch=office.epoch, link=_under(record.link, order_ids[0])
            )
            for record, order_id in zip(records, order_ids, strict=True)
        ]
        now = office.clock.now()
        for record in numbered:
            checks = risk.get(record.client_order_id, ())
            change.step(published(record, [status_event(record, now, risk=checks)]))
            office.risk.sent(record, office.clock.monotonic())
        change.durable = True
        if len(numbered) == 1:
            return [self._send(numbered[0], office.port.session)]
        return [GroupSend(self, numbered, office.port.session)]

    def _send(self, record: OrderRecord, session: int) -> Send:
        return Send(
            still_refused=partial(self.still_refused, record),
            act=partial(self.place, record, session),
            take_back=lambda change, refusal: self._reject(
                change, change.now(record.client_order_id) or record, refusal
            ),
        )

    def still_refused(self, record: OrderRecord) -> Refusal | None:
        """Whether it may no longer be sent, for all that has happened since it was journalled."""
        current = self._office.ledger.book.get(record.client_order_id)
        if current is not None and current.is_final:
            return Refusal(Reason.ORDER_IS_FINAL, f"it is {current.status}")
        return (
            self._office.refuses_now(msgspec.structs.replace(record.request, valid_until=record.valid_until))
            or self._office.not_held()
        )

    async def place(self, record: OrderRecord, session: int) -> None:
        """Send one order. Raises `ConnectionError` when it was certainly not sent."""
        fault_point("intent.journalled")
        self._office.check_held()
        await self._office.port.place(placement_of(record), session=session)
        metrics.ORDER_REQUESTS.labels("submit", "sent").inc()
        fault_point("order.sent")

    def reject_unsent(self, change: Change, records: Sequence[OrderRecord], refusal: Refusal) -> None:
        """Reject journalled orders that were certainly not sent."""
        for record in records:
            self._reject(change, change.now(record.client_order_id) or record, refusal)

    def _reject(self, change: Change, record: OrderRecord, refusal: Refusal, risk: tuple[RiskCheck, ...] = ()) -> None:
        if record.is_final:
            return
        metrics.ORDER_REQUESTS.labels("submit", refusal.reason).inc()
        _log.warning("broker.order_rejected", order=record.client_order_id, reason=refusal.reason, text=refusal.text)
        asked_for = refusal.reason is Reason.CANCEL_REQUESTED
        status = OrderStatus.CANCELLED if asked_for else OrderStatus.REJECTED
        now = self._office.clock.now()
        rejected, (event,) = moved(record, status, now, reason=refusal.reason, text=refusal.text)
        change.step((rejected, (msgspec.structs.replace(event, risk=risk),)))


class GroupSend(Send):
    """The orders of a group, one after the other. Where one cannot go out, the rest is rejected and what went is cancelled."""

    def __init__(self, submits: Submits, records: Sequence[OrderRecord], session: int) -> None:
        super().__init__(
            still_refused=lambda: submits.still_refused(records[0]), act=self._send_all, take_back=self._break_off
        )
        self._submits = submits
        self._records = records
        self._session = session
        self._room: Room | None = None
        self._sent = 0

    async def perform(self, room: Room) -> None:
        """Send them when there is room, unless they may no longer be sent."""
        self._room = room
        await super().perform(room)

    async def _send_all(self) -> None:
        for record in self._records:
            if self._sent:
                fault_point("group.partly_sent")
                assert self._room is not None  # noqa: S101 - `perform` has set it
                await self._room()
                self.failure = self._submits.still_refused(record)
                if self.failure is not None:
                    return
            await self._submits.place(record, self._session)
            self._sent += 1

    def _break_off(self, change: Change, refusal: Refusal) -> None:
        """Of a group that went out in part, the part is ended: it was to be accepted whole."""
        sent, unsent = self._records[: self._sent], self._records[self._sent :]
        if sent:
            _log.error("broker.group_partly_sent", group=sent[0].link and sent[0].link.group_id, text=refusal.text)
        self._submits.reject_unsent(change, unsent[:1], refusal)
        if unsent[1:]:
            other = Refusal(Reason.GROUP_REFUSED, f"another order of its group was not sent: {refusal.text}")
            self._submits.reject_unsent(change, unsent[1:], other if sent else refusal)
        for record in sent:
            current = change.now(record.client_order_id) or record
            if not current.is_final:
                change.step(published(msgspec.structs.replace(current, cancel_requested=True), []))
                self._submits.cancel(record.client_order_id)


def _links(group: SubmitGroup) -> list[Link]:
    members = tuple(order.client_order_id for order in group.orders)
    is_bracket = group.kind is GroupKind.BRACKET
    return [
        Link(
            group_id=group.group_id,
            kind=group.kind,
            oca_type=group.oca_type,
            parent=members[0] if is_bracket and number else "",
            transmit=not is_bracket or number == len(members) - 1,
            members=members,
        )
        for number in range(len(members))
    ]


def _under(link: Link | None, parent_order_id: int) -> Link | None:
    if link is None or not link.parent:
        return link
    return msgspec.structs.replace(link, parent_order_id=parent_order_id)


def _all(request: SubmitOrder | SubmitGroup, refusal: Refusal) -> dict[str, Refusal]:
    return {order.client_order_id: refusal for order in orders_of(request)}
