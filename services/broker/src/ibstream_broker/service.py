"""The broker at work: requests go over the desk to the port, what the port reports goes through the ledger to the streams.

requests ─ intake ─ desk ─ port         journalled, then sent, then acknowledged
inputs ─ inbox ─ ledger ─ orders:events each in its turn, until it is written
control                                 whether trading is halted, what an operator says of positions
recovery                                everything set against IBKR's lists
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from ibstream.bus import Bus
from ibstream.contracts.orders import ExternalOrder, OrderStatus, Side
from ibstream.contracts.system import ConnectionState
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.faultpoints import fault_point
from ibstream.runtime.service import Slot, Worker
from ibstream.runtime.supervise import unless
from ibstream_broker.adapters.quotes import LastQuotes
from ibstream_broker.configured import BrokerOptions
from ibstream_broker.control import Control
from ibstream_broker.desk import Desk
from ibstream_broker.domain.gate import Standing
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CodeReported,
    Executed,
    OrderInput,
    PnlReported,
    PortfolioInput,
    PositionReported,
    PositionsListed,
)
from ibstream_broker.domain.lifecycle import risen, step
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.domain.reconcile import link_lost, session_lost
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.holdings import Holdings
from ibstream_broker.inbox import Happened, Inbox, LinkLost, SessionEnded
from ibstream_broker.intake import Intake
from ibstream_broker.ledger import Change, OrderLedger
from ibstream_broker.named import NamedOrders
from ibstream_broker.office import Office
from ibstream_broker.portfolio import Portfolio
from ibstream_broker.ports import BrokerPort
from ibstream_broker.recovery import Recovery
from ibstream_broker.risk_desk import RiskDesk

FIRST_TRY_S = 5.0
"""How long requests that a broker finds when it becomes the active one may wait for its first session. Those of the time
between two brokers would else all be refused because the new one has no session yet."""

INPUTS_AT_ONCE = 256
"""Inputs journalled in one write."""

_TRIED = frozenset(
    {ConnectionState.READY, ConnectionState.DEGRADED, ConnectionState.BACKING_OFF, ConnectionState.STOPPED}
)
"""Where the first session, or the first try of one, has led to."""

_log = structlog.get_logger(__name__)


class BrokerService:
    """Takes requests, keeps every order's record, publishes every step. One at a time is active, by its lease."""

    def __init__(
        self, bus: Bus, port: BrokerPort, options: BrokerOptions, *, clock: Clock, quotes: LastQuotes | None = None
    ) -> None:
        self._bus = bus
        self._port = port
        self._options = options
        self._clock = clock
        self._inbox = Inbox()
        self._ledger = OrderLedger(bus, clock=clock)
        self._named = NamedOrders(self._ledger)
        self.standing = Standing(window=options.window)
        """What opens and closes the gate."""
        self._office = Office(
            ledger=self._ledger,
            port=port,
            standing=self.standing,
            positions=PositionBook(""),
            risk=RiskDesk(options.limits, quotes),
            clock=clock,
            valid_for=options.valid_for,
        )
        self._holdings = Holdings(self._office, Portfolio(bus), blocking=options.mismatch_blocks)
        self._desk = Desk(self._office, waiting_max=options.waiting_max)
        self._control = Control(bus, self._office, self._holdings, self._desk)
        self._recovery = Recovery(
            self._office,
            self._holdings,
            interval_s=options.reconcile_interval_s,
            cancel=self._desk.cancel,
            settled=self._inbox.settled,
            look_again=self._desk.look_again,
        )
        self._loaded = asyncio.Event()
        self._tried = asyncio.Event()
        port.listen(self._inbox.put)

    def workers(self, slot: Slot) -> tuple[Worker, ...]:
        """The workers of a broker that has just become the active one."""
        self._ledger.reopen(slot.fencing_token)
        self._office.held = slot.held
        self._holdings.reopen(slot.fencing_token)
        self._inbox.clear()
        self._named.clear()
        self._loaded.clear()
        self._control.known.clear()
        self._tried.clear()
        intake = Intake(
            self._bus,
            self._desk.take,
            consumer=f"broker-{slot.number}",
            clock=self._clock,
            held=slot.held,
            on_buried=self._desk.refuse_buried,
        )
        self._desk.reopen(intake.done)

        async def requests(stop: asyncio.Event) -> None:
            await self._work_off_requests(intake, stop)

        return (self._work_off_inbox, self._follow_control, requests, self._recover, self._holdings.run)

    def on_state(self, state: ConnectionState, reason: str) -> None:
        """Close the gate at once; what was sent and not acknowledged is looked into as soon as it can be."""
        standing = self.standing
        if state in (ConnectionState.BACKING_OFF, ConnectionState.STOPPED):
            standing.session_since, standing.read_only = None, ""
            self._inbox.put(SessionEnded(self._clock.now()))
        elif state is ConnectionState.DEGRADED:
            self._inbox.put(LinkLost(self._clock.now()))
        elif standing.session_since is None and state is ConnectionState.SYNCHRONISING:
            standing.session_since = self._clock.now()
        standing.state, standing.why = state, reason
        if state in _TRIED:
            self._tried.set()
        if state is ConnectionState.READY:
            self._recovery.on_ready()
            self._control.enforce_halt()
        self._desk.look_again()

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat."""
        records = list(self._ledger.book.open())
        unknown = sum(record.status is OrderStatus.UNKNOWN for record in records)
        metrics.ORDERS_OPEN.set(len(records))
        metrics.ORDERS_UNKNOWN.set(unknown)
        return {
            "working_orders": len(records),
            "unknown_orders": unknown,
            "requests_waiting": len(self._desk),
            "inputs_waiting": len(self._inbox),
            "position_mismatches": self._office.positions.mismatches,
            "journal": "on disk" if self._ledger.is_durable else "not known to be on disk",
        }

    async def synchronise(self, _: ConnectionEvent) -> None:
        """Compare every order that has no outcome with what IBKR says, and take its positions. Then the gate opens."""
        await self._loaded.wait()
        await self._recovery.synchronise()

    async def _work_off_requests(self, intake: Intake, stop: asyncio.Event) -> None:
        await self._loaded.wait()
        await self._control.known.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_TRY_S):
                await unless(stop, self._tried.wait())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._desk.run(stop), name="desk")
            group.create_task(intake.run(stop), name="intake")
        await self._ledger.persist(intake.flush)

    async def _recover(self, stop: asyncio.Event) -> None:
        await self._loaded.wait()
        await unless(
            stop, self._control.known.wait()
        )  # nothing is sent again while nobody knows whether trading is halted
        await self._recovery.run(stop)

    async def _load(self) -> None:
        durable = self._options.durability != "off" and await self._ledger.persist(self._bus.is_durable)
        self.standing.not_durable = ""
        if not durable and self._options.durability != "off":
            text = "Redis cannot say that the journal is on its disk (it has no WAITAOF, or appendonly is off)"
            _log.warning("broker.journal_not_durable", text=text, durability=self._options.durability)
            self.standing.not_durable = text if self._options.durability == "required" else ""
        await self._ledger.load(durable=durable)
        await self._recovery.load()

    async def _work_off_inbox(self, stop: asyncio.Event) -> None:
        """Load the journal, then apply what happens, in order, each input until it is written."""
        await self._load()
        self._loaded.set()
        while not stop.is_set():
            await unless(stop, self._inbox.wait())
            while batch := self._inbox.take_some(INPUTS_AT_ONCE):
                await self._take(batch)
                if self._inbox.overflowed:
                    self._inbox.overflowed = False
                    self._recovery.look_soon()

    async def _take(self, batch: list[Happened]) -> None:
        fault_point("input.taken")
        reports: list[PortfolioInput] = []
        await self._named.have_at_hand(batch)
        async with self._ledger.changing() as change:
            for happened in batch:
                match happened:
                    case SessionEnded():
                        for record in self._ledger.book.open():
                            change.step(session_lost(record, happened.at))
                    case LinkLost():
                        for record in self._ledger.book.open():
                            change.step(link_lost(record, happened.at))
                    case PositionReported() | PositionsListed() | AccountValueReported() | PnlReported():
                        reports.append(happened)
                    case _:
                        await self._apply(change, happened)
            moved = change.positions
        self._inbox.written(len(batch))
        fault_point("input.journalled")
        if reports or moved.events:
            await self._holdings.tell([*reports, *moved.events])

    async def _apply(self, change: Change, happened: OrderInput) -> None:
        """Move the order that an input is about; an execution counts whoever's order it was."""
        if isinstance(happened, CodeReported) and classify(happened.code, happened.text) is CodeClass.READ_ONLY:
            self.standing.read_only = happened.text
        counted = isinstance(happened, Executed) and bool(self._holdings.count(change, [happened]))
        record = self._ledger.book.about(happened) or await self._named.find(happened)
        if record is None:
            metrics.EXTERNAL_FILLS.inc(counted)
            self._inbox.keep_early_commission(happened)
            return
        if risen(record, happened):
            self._put_down(change, record)
        is_new = change.step(step(record, happened, self._clock.now()))
        if isinstance(happened, Executed):
            metrics.FILLS.inc(is_new)
            early = self._inbox.early_commission(happened.exec_id)
            if early is not None:
                change.step(step(change.now(record.client_order_id) or record, early, self._clock.now()))

    def _put_down(self, change: Change, record: OrderRecord) -> None:
        """An order that was called dead works at IBKR: its strategy relies on the outcome, so it is ended, loudly."""
        _log.error("broker.order_risen", order=record.client_order_id, outcome=record.status, perm_id=record.perm_id)
        metrics.ORDERS_RISEN.inc()
        change.tell(
            ExternalOrder(
                perm_id=record.perm_id,
                order_ref=record.client_order_id,
                symbol=record.request.instrument.symbol,
                side=record.side or Side.BUY,
                quantity=record.request.quantity,
                status="Submitted",
                account=record.account,
                at=self._clock.now(),
            )
        )
        self._desk.put_down(record)

    async def _follow_control(self, stop: asyncio.Event) -> None:
        await self._loaded.wait()
        await self._control.follow(stop)
