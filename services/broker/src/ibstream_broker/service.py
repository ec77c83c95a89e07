"""From `orders:requests` to the port, and from the port's inputs to `orders:events`.

The order of things is the guarantee: validate, gate, journal, send, acknowledge. What is journalled and not sent is rejected by
name; what is sent and not answered is `unknown` until reconciliation tells; nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable, Entry, GroupConsumer, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import Message, type_of
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderEvent,
    OrderStatus,
    Reason,
    RequestRefused,
    SubmitOrder,
)
from ibstream.contracts.registry import ORDER_EVENTS, ORDER_REQUESTS, SYSTEM_CONTROL
from ibstream.contracts.system import ConnectionState, Halt, Resume
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.service import Slot, Worker
from ibstream.runtime.supervise import unless
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.domain.book import OrderBook
from ibstream_broker.domain.gate import Refusal, check_account, check_modify, check_price_tick, gate, validate
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    Executed,
    OrderInput,
    PortfolioInput,
    PositionReported,
    PositionsListed,
    Snapshot,
)
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX, Step, moved, published, status_event, step
from ibstream_broker.domain.reconcile import reconcile, session_lost
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.inbox import Inbox, SessionEnded
from ibstream_broker.portfolio import Portfolio
from ibstream_broker.ports import BrokerPort, InstrumentRefused

T = TypeVar("T")

CONTROL_BLOCK_S = 0.5
"""How long a read of `system:control` waits; after a first one without entries, the broker knows where things stand."""

RESOLVE_INTERVAL_S = 5.0
RESOLVE_INTERVAL_S_MAX = 60.0
"""How soon orders without a clear answer are looked up at IBKR while the session is ready, and how rarely at last."""

CANCELLED_WRITE_TIMEOUT_S = 1.0
"""How long a write that is under way may still take when its task is cancelled; after that only the journal knows."""

_RETRY = exponential(0.1, 2.0)

_log = structlog.get_logger(__name__)


class BrokerService:
    """Takes requests, keeps every order's record, publishes every step. One at a time is active, by its lease."""

    def __init__(self, bus: Bus, port: BrokerPort, *, valid_for: timedelta, clock: Clock) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._portfolio = Portfolio(bus)
        self._port = port
        self._valid_for = valid_for
        self._clock = clock
        self._state = ConnectionState.IDLE
        self._why = ""
        self._inbox = Inbox()
        self._book = OrderBook()
        self._journal = OrderJournal(bus, 0)
        self._loaded = asyncio.Event()
        self._writing = asyncio.Lock()
        self._unclear_before: set[str] = set()
        self._halt: Halt | None = None
        self._halt_known = asyncio.Event()
        port.listen(self._inbox.put)

    def workers(self, slot: Slot) -> tuple[Worker, ...]:
        """The workers of a broker that has just become the active one: it believes the journal and nothing else."""
        self._book = OrderBook()
        self._inbox.clear()
        self._loaded.clear()
        self._journal = OrderJournal(self._bus, slot.fencing_token)
        consumer = GroupConsumer(
            self._bus, ORDER_REQUESTS, consumer=f"broker-{slot.number}", handler=self._handle, clock=self._clock
        )
        self._halt_known.clear()
        return (self._work_off_inbox, self._follow_control, consumer.run, self._resolve_unclear)

    def on_state(self, state: ConnectionState, reason: str) -> None:
        """Close the gate at once; what was sent and not acknowledged is looked into as soon as it can be."""
        self._state, self._why = state, reason
        if state in (ConnectionState.BACKING_OFF, ConnectionState.STOPPED):
            self._inbox.put(SessionEnded(self._clock.now()))

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        records = list(self._book.open())
        unknown = sum(record.status is OrderStatus.UNKNOWN for record in records)
        return {"working_orders": len(records), "unknown_orders": unknown, "inputs_waiting": len(self._inbox)}

    async def synchronise(self, _: ConnectionEvent) -> None:
        """Compare every order that has no outcome with what IBKR says, and take its positions. Then the gate opens."""
        await self._loaded.wait()
        # Requests draw their ids from the same counter, and the Gateway's can go back: an answer to a request must never
        # bear the id of an order that waits to be resolved.
        self._port.next_order_id(await self._journal.order_id_high_water() + 1)
        await self._reconcile()
        self._inbox.put(PositionsListed(account=self._port.account, positions=await self._port.positions()))

    # Requests

    async def _handle(self, entry: Entry) -> None:
        await self._loaded.wait()
        await self._halt_known.wait()
        started = self._clock.monotonic()
        match entry.message:
            case SubmitOrder() as request:
                await self._submit(entry.id, request)
            case ModifyOrder() as request:
                await self._modify(request)
            case CancelOrder() as request:
                await self._cancel(request.client_order_id, request)
            case CancelAllOrders() as request:
                for record in self._book.open():
                    if _matches(request, record):
                        await self._cancel(record.client_order_id, request)
            case other:
                raise AssertionError(f"{other} is not of this stream")
        metrics.ORDER_REQUEST_SECONDS.observe(self._clock.monotonic() - started)

    async def _submit(self, entry_id: str, request: SubmitOrder) -> None:
        known = await self._find(request.client_order_id)
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
        return validate(request, now=now, valid_for=self._valid_for) or gate(self._state, self._why, self._halt)

    async def _journal_and_send(self, record: OrderRecord) -> None:
        try:
            order_id = self._port.next_order_id(await self._journal.order_id_high_water() + 1)
        except ConnectionError as error:
            await self._reject(record, Refusal(Reason.GATEWAY_DISCONNECTED, str(error)))
            return
        intent = msgspec.structs.replace(record, order_id=order_id, session=self._port.session)
        await self._write(published(intent, [status_event(intent, self._clock.now())]))
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
        async with self._writing:
            current = self._book.get(record.client_order_id) or record
            if not current.is_final:
                why = {"reason": refusal.reason, "text": refusal.text}
                await self._write(moved(current, OrderStatus.REJECTED, self._clock.now(), **why))

    async def _cancel(self, client_order_id: str, request: CancelOrder | CancelAllOrders) -> None:
        record = await self._find_working(client_order_id, request)
        if record is None:
            return
        async with self._writing:
            record = self._book.get(client_order_id) or record
            await self._write(_cancel_asked(record, self._clock))
        try:
            await self._port.room()
            await self._port.cancel(record.order_id)
        except ConnectionError as error:
            async with self._writing:
                await self._write(_cancel_unsent(self._book.get(client_order_id) or record, record, self._clock))
            await self._refuse(request, client_order_id, Reason.GATEWAY_DISCONNECTED, f"not sent: {error}", record)
        else:
            metrics.ORDER_REQUESTS.labels("cancel", "sent").inc()

    async def _modify(self, request: ModifyOrder) -> None:
        record = await self._find_working(request.client_order_id, request)
        if record is None:
            return
        wanted = _modified(record.request, request)
        refusal = await self._why_not(wanted)
        if refusal is None:
            async with self._writing:
                record = self._book.get(record.client_order_id) or record
                refusal = check_modify(record, wanted)
                if refusal is None and wanted.quantity != record.request.quantity:
                    await self._write(published(msgspec.structs.replace(record, modify_quantity=wanted.quantity), []))
        refusal = refusal or self._why_not_now(wanted)
        if refusal is not None:
            await self._refuse(request, record.client_order_id, refusal.reason, refusal.text, record)
            return
        try:
            await self._port.modify(record.order_id, wanted, record.account)
        except ConnectionError as error:
            text = f"not sent: {error}"
            await self._refuse(request, record.client_order_id, Reason.GATEWAY_DISCONNECTED, text, record)
        else:
            metrics.ORDER_REQUESTS.labels("modify", "sent").inc()

    async def _find_working(
        self, client_order_id: str, request: ModifyOrder | CancelOrder | CancelAllOrders
    ) -> OrderRecord | None:
        """The order, if there is one to change and somebody to tell; else the refusal is published."""
        record = await self._find(client_order_id)
        refusal = gate(self._state, self._why)
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

    async def _find(self, client_order_id: str) -> OrderRecord | None:
        return self._book.get(client_order_id) or await self._journal.load(client_order_id)

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

    # Inputs

    async def _work_off_inbox(self, stop: asyncio.Event) -> None:
        """Load the journal, then apply what happens, in order, each input until it is written."""
        self._book.put_all(await self._persist(self._journal.load_open))
        ended = SessionEnded(self._clock.now())
        await self._take(ended)  # that of whoever was active before
        _log.info("broker.journal_loaded", open_orders=sum(1 for _ in self._book.open()))
        self._loaded.set()
        while not stop.is_set():
            await unless(stop, self._inbox.wait())
            while (happened := self._inbox.take()) is not None:
                await self._take(happened)

    async def _take(self, happened: OrderInput | PortfolioInput | SessionEnded) -> None:
        match happened:
            case SessionEnded():
                await self._change_all(lambda record: session_lost(record, happened.at))
            case PositionsListed() | PositionReported() | AccountValueReported():
                await self._persist(lambda: self._portfolio.tell(happened, self._clock.now()))
            case _:
                await self._apply(happened)

    async def _apply(self, happened: OrderInput) -> None:
        async with self._writing:
            record = self._book.about(happened) or await self._finished(happened)
            if record is None:
                self._inbox.keep_early_commission(happened)
                return
            is_new = await self._write(step(record, happened, self._clock.now()))
            if isinstance(happened, Executed):
                metrics.FILLS.inc(is_new)
                early = self._inbox.early_commission(happened.exec_id)
                if early is not None:
                    await self._write(step(self._book.get(record.client_order_id) or record, early, self._clock.now()))

    async def _finished(self, happened: OrderInput) -> OrderRecord | None:
        """The order of an execution, where it ended in an earlier life of the broker: a late fill is a fill."""
        if not isinstance(happened, Executed) or not happened.order_ref:
            return None
        record = await self._persist(lambda: self._journal.load(happened.order_ref))
        if record is not None:
            self._book.put(record)
        return record

    async def _change_all(self, change: Callable[[OrderRecord], Step]) -> None:
        for record in list(self._book.open()):
            async with self._writing:
                await self._write(change(self._book.get(record.client_order_id) or record))

    async def _follow_control(self, stop: asyncio.Event) -> None:
        """Know whether trading is halted, from the first entry on: a halt outlives every restart."""
        async with StreamReader(self._bus, {SYSTEM_CONTROL: BEGINNING}) as control:
            while not stop.is_set():
                entries = await self._persist(lambda: control.read(block_s=CONTROL_BLOCK_S))
                for entry in entries:
                    self._obey(entry.message)
                if not entries:
                    self._halt_known.set()

    def _obey(self, order: Message) -> None:
        match order:
            case Halt():
                self._halt = order
                _log.warning("broker.halted", who=order.who, why=order.why)
            case Resume():
                self._halt = None
                _log.warning("broker.resumed", who=order.who, why=order.why)

    # Recovery

    async def _resolve_unclear(self, stop: asyncio.Event) -> None:
        """Ask IBKR about orders that got no clear answer, twice seen so that a fresh one gets its time.

        What stays unclear is asked for ever more rarely: each time costs IBKR three lists.
        """
        waits = exponential(RESOLVE_INTERVAL_S, RESOLVE_INTERVAL_S_MAX)()
        while not stop.is_set():
            await unless(stop, self._clock.sleep(next(waits)))
            unclear = {record.client_order_id for record in self._book.open() if record.is_unclear}
            if unclear - self._unclear_before:
                waits = exponential(RESOLVE_INTERVAL_S, RESOLVE_INTERVAL_S_MAX)()
            lasting, self._unclear_before = unclear & self._unclear_before, unclear
            if lasting and self._state is ConnectionState.READY:
                try:
                    await self._reconcile()
                except (ConnectionError, TimeoutError) as error:
                    _log.warning("broker.not_reconciled", orders=len(lasting), error=str(error))

    async def _reconcile(self) -> None:
        """Set every open record against a snapshot; a record that changed while it was taken waits for the next."""
        before = {record.client_order_id: record.revision for record in self._book.open()}
        snapshot: Snapshot = await self._port.snapshot()
        account = self._port.account
        resolved = 0
        for client_order_id, revision in before.items():
            async with self._writing:
                record = self._book.get(client_order_id)
                if record is not None and record.revision == revision and record.account == account:
                    resolved += await self._write(reconcile(record, snapshot, self._clock.now()))
        _log.info("broker.reconciled", orders=len(before), changed=resolved)

    # Writing

    async def _write(self, change: Step) -> bool:
        """Journal a step and publish its events, then believe it. Returns whether there was anything to write."""
        record, events = change
        known = self._book.get(record.client_order_id)
        if known is not None and known.revision == record.revision:
            return False
        writing = asyncio.ensure_future(self._write_down(record, events))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # Begun is finished: with the journal ahead of the book, the next step would contradict what is written.
            await asyncio.wait({writing}, timeout=CANCELLED_WRITE_TIMEOUT_S)
            writing.cancel()
            raise
        return True

    async def _write_down(self, record: OrderRecord, events: tuple[OrderEvent, ...]) -> None:
        await self._persist(lambda: self._journal.commit(record, events))
        self._book.put(record)
        _log_steps(events)

    async def _persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write until Redis says it is written; while Redis is away nothing else may overtake."""
        waits = _RETRY()
        while True:
            try:
                return await write()
            except BusUnavailable as error:
                _log.warning("broker.write_retried", error=str(error))
            await self._clock.sleep(next(waits))


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


def _log_steps(events: tuple[OrderEvent, ...]) -> None:
    for event in events:
        _log.info("broker.order_event", type=type_of(event), **_short(event))


def _short(event: OrderEvent) -> dict[str, object]:
    told = ("client_order_id", "status", "reason", "quantity", "price", "exec_id", "commission")
    return {name: str(getattr(event, name)) for name in told if getattr(event, name, None)}
