"""What strategies ask for, from the stream to the port.

The order of things is the guarantee: validate, gate, journal, send. What is journalled and not sent is rejected by name; what is
sent and not answered is `unknown` until reconciliation tells; nothing is ever sent twice.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
import structlog

from ibstream.bus import Entry, Publisher
from ibstream.contracts.base import type_of
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderStatus,
    Reason,
    RequestRefused,
    SubmitOrder,
)
from ibstream.contracts.registry import ORDER_EVENTS
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream_broker.domain.gate import Refusal, Standing, check_account, check_modify, check_price_tick, validate
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX, Step, moved, published, status_event
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import OrderLedger
from ibstream_broker.ports import BrokerPort, InstrumentRefused

_log = structlog.get_logger(__name__)


class RequestDesk:
    """Takes requests one at a time, in the order of the stream."""

    def __init__(
        self,
        ledger: OrderLedger,
        port: BrokerPort,
        publisher: Publisher,
        standing: Standing,
        *,
        valid_for: timedelta,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._port = port
        self._publisher = publisher
        self._standing = standing
        self._valid_for = valid_for
        self._clock = clock

    async def handle(self, entry: Entry) -> None:
        """Do what one entry of `orders:requests` asks, or say why not; the effect is journalled when this returns."""
        started = self._clock.monotonic()
        match entry.message:
            case SubmitOrder() as request:
                await self._submit(entry.id, request)
            case ModifyOrder() as request:
                await self._modify(request)
            case CancelOrder() as request:
                await self._cancel(request.client_order_id, request)
            case CancelAllOrders() as request:
                for record in self._ledger.book.open():
                    if _matches(request, record):
                        await self._cancel(record.client_order_id, request)
            case other:
                raise AssertionError(f"{other} is not of this stream")
        metrics.ORDER_REQUEST_SECONDS.observe(self._clock.monotonic() - started)

    async def _submit(self, entry_id: str, request: SubmitOrder) -> None:
        known = await self._ledger.find(request.client_order_id)
        if known is not None:
            if known.entry_id != entry_id:  # the same entry comes again after a crash: its story already goes on
                await self._refuse(request, known.client_order_id, Reason.DUPLICATE, "this id was used before", known)
            return
        record = OrderRecord(request=request, entry_id=entry_id, account=request.account or self._port.account)
        refusal = await self._why_not(request)
        if refusal is not None:
            await self._reject(record, refusal)
            return
        await self._journal_and_send(record)

    async def _why_not(self, request: SubmitOrder) -> Refusal | None:
        """Everything that can be known against a submit before it is journalled."""
        refusal = self._why_not_now(request) or check_account(request.account, self._port.account)
        if refusal is not None:
            return refusal
        try:
            await self._port.room()
            terms = await self._port.terms(request.instrument)
        except InstrumentRefused as error:
            return Refusal(error.reason, error.text)
        except ConnectionError as error:
            return Refusal(Reason.GATEWAY_DISCONNECTED, str(error))
        # Waiting for its turn and looking the instrument up may have taken their time.
        return check_price_tick(request.limit_price, terms.price_tick) or self._why_not_now(request)

    def _why_not_now(self, request: SubmitOrder) -> Refusal | None:
        """What time can change: to be asked again after every wait."""
        now = self._clock.now()
        return validate(request, now=now, valid_for=self._valid_for) or self._standing.refuses_orders()

    async def _journal_and_send(self, record: OrderRecord) -> None:
        try:
            order_id = self._port.next_order_id(await self._ledger.journal.order_id_high_water() + 1)
        except ConnectionError as error:
            await self._reject(record, Refusal(Reason.GATEWAY_DISCONNECTED, str(error)))
            return
        intent = msgspec.structs.replace(record, order_id=order_id, session=self._port.session)
        await self._ledger.write(published(intent, [status_event(intent, self._clock.now())]))
        refusal = self._why_not_now(record.request)  # Redis may have been away for a while
        if refusal is None:
            try:
                await self._port.place(order_id, record.request, record.account, session=intent.session)
            except ConnectionError as error:
                refusal = Refusal(Reason.GATEWAY_DISCONNECTED, f"not sent: {error}")
            else:
                metrics.ORDER_REQUESTS.labels("submit", "sent").inc()
                return
        await self._reject(intent, refusal)

    async def _reject(self, record: OrderRecord, refusal: Refusal) -> None:
        metrics.ORDER_REQUESTS.labels("submit", refusal.reason).inc()
        _log.warning("broker.order_rejected", order=record.client_order_id, reason=refusal.reason, text=refusal.text)
        async with self._ledger.changing():
            current = self._ledger.now(record)
            if not current.is_final:
                why = {"reason": refusal.reason, "text": refusal.text}
                await self._ledger.write(moved(current, OrderStatus.REJECTED, self._clock.now(), **why))

    async def _cancel(self, client_order_id: str, request: CancelOrder | CancelAllOrders) -> None:
        record = await self._find_working(client_order_id, request)
        if record is None:
            return
        async with self._ledger.changing():
            record = self._ledger.now(record)
            await self._ledger.write(_cancel_asked(record, self._clock))
        try:
            await self._port.room()
            await self._port.cancel(record.order_id)
        except ConnectionError as error:
            async with self._ledger.changing():
                await self._ledger.write(_cancel_unsent(self._ledger.now(record), record, self._clock))
            await self._refuse(request, client_order_id, Reason.GATEWAY_DISCONNECTED, f"not sent: {error}", record)
        else:
            metrics.ORDER_REQUESTS.labels("cancel", "sent").inc()

    async def _modify(self, request: ModifyOrder) -> None:
        record = await self._find_working(request.client_order_id, request)
        if record is None:
            return
        wanted, session = _modified(record.request, request), self._port.session
        refusal = await self._why_not(wanted)
        if refusal is None:
            async with self._ledger.changing():
                record = self._ledger.now(record)
                refusal = check_modify(record, wanted)
                if refusal is None and wanted.quantity != record.request.quantity:
                    await self._ledger.write(
                        published(msgspec.structs.replace(record, modify_quantity=wanted.quantity), [])
                    )
        refusal = refusal or self._why_not_now(wanted)
        if refusal is not None:
            await self._refuse(request, record.client_order_id, refusal.reason, refusal.text, record)
            return
        try:
            await self._port.modify(record.order_id, wanted, record.account, session=session)
        except ConnectionError as error:
            text = f"not sent: {error}"
            await self._refuse(request, record.client_order_id, Reason.GATEWAY_DISCONNECTED, text, record)
        else:
            metrics.ORDER_REQUESTS.labels("modify", "sent").inc()

    async def _find_working(
        self, client_order_id: str, request: ModifyOrder | CancelOrder | CancelAllOrders
    ) -> OrderRecord | None:
        """The order, if there is one to change and somebody to tell; else the refusal is published."""
        record = await self._ledger.find(client_order_id)
        refusal = self._standing.refuses_changes()
        if record is None:
            await self._refuse(request, client_order_id, Reason.UNKNOWN_ORDER, "no order has this id", None)
        elif record.is_final:
            await self._refuse(request, client_order_id, Reason.ORDER_IS_FINAL, f"it is {record.status}", record)
        elif refusal is not None:
            await self._refuse(request, client_order_id, refusal.reason, refusal.text, record)
        elif record.account != self._port.account:  # order ids of one account mean other orders in the next
            text = f"it is of account {record.account}, this broker trades {self._port.account}"
            await self._refuse(request, client_order_id, Reason.INVALID_ACCOUNT, text, record)
        else:
            return record
        return None

    async def _refuse(
        self,
        request: SubmitOrder | ModifyOrder | CancelOrder | CancelAllOrders,
        client_order_id: str,
        reason: Reason,
        text: str,
        record: OrderRecord | None,
    ) -> None:
        kind = type_of(request)
        metrics.ORDER_REQUESTS.labels(kind.split(".")[1], reason).inc()
        refused = RequestRefused(
            client_order_id=client_order_id,
            request=kind,
            reason=reason,
            text=text[:TEXT_CHARACTERS_MAX],
            status=record.status if record is not None else None,
            at=self._clock.now(),
        )
        await self._publisher.publish(ORDER_EVENTS, refused)


def _modified(request: SubmitOrder, change: ModifyOrder) -> SubmitOrder:
    return msgspec.structs.replace(
        request,
        quantity=request.quantity if change.quantity is None else change.quantity,
        limit_price=request.limit_price if change.limit_price is None else change.limit_price,
        valid_until=None,
        requested_at=change.requested_at,
    )


def _cancel_asked(record: OrderRecord, clock: Clock) -> Step:
    asked = msgspec.structs.replace(record, cancel_requested=True)
    if record.is_final:
        return record, ()
    if record.status is OrderStatus.UNKNOWN:
        return published(asked, [])
    return moved(asked, OrderStatus.PENDING_CANCEL, clock.now(), reason=Reason.CANCEL_REQUESTED)


def _cancel_unsent(record: OrderRecord, before: OrderRecord, clock: Clock) -> Step:
    """Where the order stood before the cancel, unless something has happened to it since."""
    if record.status is not OrderStatus.PENDING_CANCEL or before.status is OrderStatus.PENDING_CANCEL:
        return record, ()
    status = OrderStatus.PARTIALLY_FILLED if record.executions else before.status
    return moved(msgspec.structs.replace(record, cancel_requested=before.cancel_requested), status, clock.now())


def _matches(request: CancelAllOrders, record: OrderRecord) -> bool:
    return (
        request.strategy in ("", record.request.strategy)
        and request.symbol in ("", record.request.instrument.symbol)
        and request.account in ("", record.account)
    )
