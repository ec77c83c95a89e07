"""The orders as the broker believes them: the book at hand, the journal behind it, and the one way to change either."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable
from ibstream.contracts.base import Message, type_of
from ibstream.contracts.orders import OrderEvent
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.domain.book import OrderBook
from ibstream_broker.domain.interest import OpenInterest
from ibstream_broker.domain.lifecycle import Step
from ibstream_broker.domain.position_lines import PositionChange, together
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ports import AlreadyJournalled

T = TypeVar("T")

LOGGED_AFTER_S = 0.002
"""How much later than it is written a step is logged: what follows from it goes first."""

_RETRY = exponential(0.1, 2.0)

_log = structlog.get_logger(__name__)


class Change:
    """What is done in one hold of the ledger: steps of orders, events and lines of positions, to be written all at once.

    Several steps of one order become one revision of its record. `durable` asks that the write be on disk before anything
    follows from it.
    """

    def __init__(self, book: OrderBook, interest: OpenInterest) -> None:
        self._book = book
        self._interest = interest
        self._before: dict[str, OrderRecord | None] = {}
        self.records: dict[str, OrderRecord] = {}
        self.events: list[Message] = []
        self._holds: list[PositionChange] = []
        self.held: dict[str, bytes] = {}
        """What strategies hold, where that has changed."""
        self.durable = False

    def now(self, client_order_id: str) -> OrderRecord | None:
        """The order as it stands within this change."""
        return self.records.get(client_order_id) or self._book.get(client_order_id)

    def step(self, step: Step) -> bool:
        """Take a step of an order in. Returns whether it changed anything."""
        record, events = step
        key = record.client_order_id
        before = self.now(key)
        if before is not None and before.revision == record.revision:
            return False
        start = self._before.setdefault(key, before)
        after = msgspec.structs.replace(record, revision=(start.revision if start is not None else 0) + 1)
        self.records[key] = after
        self.events += events
        self.held.update(self._interest.update(before, after))
        self._book.put(after)
        return True

    def undo(self) -> None:
        """Believe again what was believed before: nothing of this was written."""
        for key, before in self._before.items():
            self._interest.update(self.records[key], before)
            self._book.discard(key)
            if before is not None:
                self._book.put(before)

    def tell(self, event: OrderEvent) -> None:
        """Publish an event that changes no order."""
        self.events.append(event)

    def hold(self, positions: PositionChange) -> None:
        """Journal what has changed of the positions. Its events go to `portfolio:events`, by another hand."""
        self._holds.append(positions)

    @property
    def positions(self) -> PositionChange:
        """Everything that has changed of the positions."""
        return together(self._holds)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.records or self.events or self._holds)


class OrderLedger:
    """What was decided is acted on once it is journalled, together with the events that tell of it, and not before.

    `changing()` is held from reading a record to writing what follows from it, so that two changes never start from one
    state. A write that has begun is finished, even where its task is cancelled: only the journal would know what it wrote.
    """

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self.book = OrderBook()
        self.journal = OrderJournal(bus, 0)
        self.interest = OpenInterest()
        self.account = ""
        """Whose positions the changes write."""
        self.acknowledged_high_water = 0
        """The greatest order id ever journalled of an order that IBKR has shown as its own."""
        self.order_id_high_water = 0
        """The greatest order id ever journalled; nobody but the holder of the fence writes a greater one."""
        self.is_durable = False
        """Whether a write that asks for it is waited for until it is on the server's disk."""
        self._lock = asyncio.Lock()
        self._begun: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[Change]:
        """The right to change records, with every write that was begun before finished first. Written when the block ends.

        Raises `AlreadyJournalled` from the end of the block where new orders are known to the journal: nothing was written.
        """
        async with self._lock:
            for writing in list(self._begun):
                await asyncio.wait({writing})
                if not writing.cancelled():
                    writing.result()
            change = Change(self.book, self.interest)
            yield change
            if change.is_empty:
                return
            try:
                await self._write(change)
            except AlreadyJournalled:
                change.undo()
                raise

    def reopen(self, fencing_token: int) -> None:
        """Forget everything: a broker that has just become the active one believes the journal and nothing else."""
        for writing in self._begun:
            writing.cancel()
        self._begun = set()
        self.book = OrderBook()
        self.interest = OpenInterest()
        self.journal = OrderJournal(self._bus, fencing_token)

    async def load(self, *, durable: bool) -> None:
        """Take the journal over, and every order without an outcome from it. `durable`: wait for the disk where asked to."""
        self.is_durable = durable
        self.book.put_all(await self.persist(self.journal.load_open))
        self.order_id_high_water = await self.persist(self.journal.order_id_high_water)
        self.acknowledged_high_water = await self.persist(self.journal.acknowledged_high_water)
        for record in self.book.open():  # those that were journalled before the two were kept
            self._note_ids(record)
        self.interest.load(await self.persist(self.journal.load_strategies), self.book.open())
        _log.info("broker.journal_loaded", open_orders=sum(1 for _ in self.book.open()))

    async def load_all(self, client_order_ids: Sequence[str]) -> list[OrderRecord]:
        """The journalled records of these orders."""
        return await self.persist(lambda: self.journal.load_all(client_order_ids))

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """An order, at hand or journalled; None where there is none."""
        return self.book.get(client_order_id) or await self.persist(lambda: self.journal.load(client_order_id))

    async def _write(self, change: Change) -> None:
        writing = asyncio.create_task(self._write_down(change), name="journal")
        self._begun.add(writing)
        writing.add_done_callback(self._on_written)
        await asyncio.shield(writing)

    def _on_written(self, writing: asyncio.Task[None]) -> None:
        self._begun.discard(writing)
        if not writing.cancelled():
            writing.exception()  # heard; whoever waits for it gets it too

    async def _write_down(self, change: Change) -> None:
        records = list(change.records.values())
        positions, started = change.positions, self._clock.monotonic()
        write = self.journal.next_write()
        await self.persist(
            lambda: self.journal.commit(
                records,
                change.events,
                account=self.account,
                positions=positions,
                strategies=change.held,
                durable=change.durable and self.is_durable,
                write=write,
            )
        )
        metrics.JOURNAL_RECORDS.observe(len(records))
        metrics.JOURNAL_SECONDS.observe(self._clock.monotonic() - started)
        for record in records:
            self._note_ids(record)
        asyncio.get_running_loop().call_later(LOGGED_AFTER_S, _log_steps, change.events)

    def _note_ids(self, record: OrderRecord) -> None:
        self.order_id_high_water = max(self.order_id_high_water, record.order_id)
        if record.acknowledged:
            self.acknowledged_high_water = max(self.acknowledged_high_water, record.order_id)

    async def persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write until Redis says it is written; while Redis is away nothing else may overtake."""
        waits = _RETRY()
        while True:
            try:
                return await write()
            except BusUnavailable as error:
                _log.warning("broker.write_retried", error=str(error))
            await self._clock.sleep(next(waits))


def _log_steps(events: list[Message]) -> None:
    for event in events:
        _log.info("broker.order_event", type=type_of(event), **_short(event))


def _short(event: Message) -> dict[str, object]:
    told = ("client_order_id", "status", "reason", "quantity", "price", "exec_id", "commission")
    return {name: str(getattr(event, name)) for name in told if getattr(event, name, None)}
