"""The broker at work: requests go through the desk to the port, what the port reports goes through the ledger to the streams.

requests ─ desk ─ port                  one entry at a time, acknowledged when journalled
inputs ─ inbox ─ ledger ─ orders:events each in its turn, until it is written
control                                 whether trading is halted
recovery                                what has no clear answer, set against IBKR's lists
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from ibstream.bus import Bus, Entry, GroupConsumer, Publisher, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import Message
from ibstream.contracts.orders import OrderStatus
from ibstream.contracts.registry import ORDER_REQUESTS, SYSTEM_CONTROL
from ibstream.contracts.system import ConnectionState, Halt, Resume
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.service import Slot, Worker
from ibstream.runtime.supervise import unless
from ibstream_broker.domain.gate import Standing
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    Executed,
    OrderInput,
    PortfolioInput,
    PositionReported,
    PositionsListed,
    Snapshot,
)
from ibstream_broker.domain.lifecycle import Step, step
from ibstream_broker.domain.reconcile import reconcile, session_lost
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.inbox import Inbox, SessionEnded
from ibstream_broker.ledger import OrderLedger
from ibstream_broker.portfolio import Portfolio
from ibstream_broker.ports import BrokerPort
from ibstream_broker.requests import RequestDesk

CONTROL_BLOCK_S = 0.5
"""How long a read of `system:control` waits; after a first one without entries, the broker knows where things stand."""

RESOLVE_INTERVAL_S = 5.0
RESOLVE_INTERVAL_S_MAX = 60.0
"""How soon orders without a clear answer are looked up at IBKR while the session is ready, and how rarely at last."""

RECONCILE_ROUNDS_MAX = 3
"""How often in a row the lists are asked for because orders changed while they came."""

_log = structlog.get_logger(__name__)


class BrokerService:
    """Takes requests, keeps every order's record, publishes every step. One at a time is active, by its lease."""

    def __init__(self, bus: Bus, port: BrokerPort, *, valid_for: timedelta, clock: Clock) -> None:
        self._bus = bus
        self._port = port
        self._clock = clock
        self._portfolio = Portfolio(bus)
        self._inbox = Inbox()
        self._ledger = OrderLedger(bus, clock=clock)
        self.standing = Standing()
        """What opens and closes the gate."""
        self._desk = RequestDesk(self._ledger, port, Publisher(bus), self.standing, valid_for=valid_for, clock=clock)
        self._loaded = asyncio.Event()
        self._halt_known = asyncio.Event()
        self._unclear_before: set[str] = set()
        self._missed: set[str] = set()
        port.listen(self._inbox.put)

    def workers(self, slot: Slot) -> tuple[Worker, ...]:
        """The workers of a broker that has just become the active one."""
        self._ledger.reopen(slot.fencing_token)
        self._inbox.clear()
        self._loaded.clear()
        self._halt_known.clear()
        consumer = GroupConsumer(
            self._bus, ORDER_REQUESTS, consumer=f"broker-{slot.number}", handler=self._handle, clock=self._clock
        )
        return (self._work_off_inbox, self._follow_control, consumer.run, self._resolve_unclear)

    def on_state(self, state: ConnectionState, reason: str) -> None:
        """Close the gate at once; what was sent and not acknowledged is looked into as soon as it can be."""
        self.standing.state, self.standing.why = state, reason
        if state in (ConnectionState.BACKING_OFF, ConnectionState.STOPPED):
            self._inbox.put(SessionEnded(self._clock.now()))

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        records = list(self._ledger.book.open())
        unknown = sum(record.status is OrderStatus.UNKNOWN for record in records)
        return {"working_orders": len(records), "unknown_orders": unknown, "inputs_waiting": len(self._inbox)}

    async def synchronise(self, _: ConnectionEvent) -> None:
        """Compare every order that has no outcome with what IBKR says, and take its positions. Then the gate opens."""
        await self._loaded.wait()
        # Requests draw their ids from the same counter, and the Gateway's can go back: an answer to a request must never
        # bear the id of an order that waits to be resolved.
        self._port.next_order_id(await self._ledger.journal.order_id_high_water() + 1)
        await self._reconcile()
        self._inbox.put(PositionsListed(account=self._port.account, positions=await self._port.positions()))

    async def _handle(self, entry: Entry) -> None:
        await self._loaded.wait()
        await self._halt_known.wait()
        await self._desk.handle(entry)

    async def _work_off_inbox(self, stop: asyncio.Event) -> None:
        """Load the journal, then apply what happens, in order, each input until it is written."""
        await self._ledger.load()
        ended = SessionEnded(self._clock.now())
        await self._take(ended)  # that of whoever was active before
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
                await self._ledger.persist(lambda: self._portfolio.tell(happened, self._clock.now()))
            case _:
                await self._apply(happened)

    async def _apply(self, happened: OrderInput) -> None:
        async with self._ledger.changing():
            record = self._ledger.book.about(happened) or await self._finished(happened)
            if record is None:
                self._inbox.keep_early_commission(happened)
                return
            is_new = await self._ledger.write(step(record, happened, self._clock.now()))
            if isinstance(happened, Executed):
                metrics.FILLS.inc(is_new)
                early = self._inbox.early_commission(happened.exec_id)
                if early is not None:
                    await self._ledger.write(step(self._ledger.now(record), early, self._clock.now()))

    async def _finished(self, happened: OrderInput) -> OrderRecord | None:
        """The order of an execution, where it ended in an earlier life of the broker: a late fill is a fill."""
        if not isinstance(happened, Executed) or not happened.order_ref:
            return None
        record = await self._ledger.persist(lambda: self._ledger.journal.load(happened.order_ref))
        if record is not None:
            self._ledger.book.put(record)
        return record

    async def _change_all(self, change: Callable[[OrderRecord], Step]) -> None:
        for record in list(self._ledger.book.open()):
            async with self._ledger.changing():
                await self._ledger.write(change(self._ledger.now(record)))

    async def _follow_control(self, stop: asyncio.Event) -> None:
        """Know whether trading is halted, from the first entry on: a halt outlives every restart."""
        async with StreamReader(self._bus, {SYSTEM_CONTROL: BEGINNING}) as control:
            while not stop.is_set():
                entries = await self._ledger.persist(lambda: control.read(block_s=CONTROL_BLOCK_S))
                for entry in entries:
                    self._obey(entry.message)
                if not entries:
                    self._halt_known.set()

    def _obey(self, order: Message) -> None:
        match order:
            case Halt():
                self.standing.halt = order
                _log.warning("broker.halted", who=order.who, why=order.why)
            case Resume():
                self.standing.halt = None
                _log.warning("broker.resumed", who=order.who, why=order.why)

    async def _resolve_unclear(self, stop: asyncio.Event) -> None:
        """Ask IBKR about orders that got no clear answer, twice seen so that a fresh one gets its time.

        What stays unclear is asked for ever more rarely: each time costs IBKR three lists.
        """
        waits = exponential(RESOLVE_INTERVAL_S, RESOLVE_INTERVAL_S_MAX)()
        while not stop.is_set():
            await unless(stop, self._clock.sleep(next(waits)))
            unclear = {record.client_order_id for record in self._ledger.book.open() if record.is_unclear}
            if unclear - self._unclear_before:
                waits = exponential(RESOLVE_INTERVAL_S, RESOLVE_INTERVAL_S_MAX)()
            lasting, self._unclear_before = (unclear & self._unclear_before) | self._missed, unclear
            if lasting and self.standing.state is ConnectionState.READY:
                try:
                    await self._reconcile()
                except (ConnectionError, TimeoutError) as error:
                    _log.warning("broker.not_reconciled", orders=len(lasting), error=str(error))

    async def _reconcile(self) -> None:
        """Set every open record against what IBKR lists. A record that changed while the lists came needs them once more."""
        for _ in range(RECONCILE_ROUNDS_MAX):
            self._missed = await self._reconcile_once()
            if not self._missed:
                return
        _log.warning("broker.orders_in_motion", orders=len(self._missed))  # they are looked up again before long

    async def _reconcile_once(self) -> set[str]:
        """One snapshot against every open record; returns those that it was too old for."""
        before = {record.client_order_id: record.revision for record in self._ledger.book.open()}
        snapshot: Snapshot = await self._port.snapshot()
        account = self._port.account
        resolved, missed = 0, set[str]()
        for client_order_id, revision in before.items():
            async with self._ledger.changing():
                record = self._ledger.book.get(client_order_id)
                if record is None or record.is_final or record.account != account:
                    continue
                if record.revision != revision:
                    missed.add(client_order_id)
                    continue
                resolved += await self._ledger.write(reconcile(record, snapshot, self._clock.now()))
        _log.info("broker.reconciled", orders=len(before), changed=resolved, missed=len(missed))
        return missed
