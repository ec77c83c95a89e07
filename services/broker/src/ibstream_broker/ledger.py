"""The orders as the broker believes them: the book at hand, the journal behind it, and the one way to change either."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import structlog

from ibstream.bus import Bus, BusUnavailable
from ibstream.contracts.base import type_of
from ibstream.contracts.orders import OrderEvent
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream_broker.adapters.journal import OrderJournal
from ibstream_broker.domain.book import OrderBook
from ibstream_broker.domain.lifecycle import Step
from ibstream_broker.domain.records import OrderRecord

T = TypeVar("T")

_RETRY = exponential(0.1, 2.0)

_log = structlog.get_logger(__name__)


class OrderLedger:
    """A record is believed once it is journalled, together with the events that tell of it, and not before.

    `changing()` is held from reading a record to writing what follows from it, so that two changes never start from one
    state. A write that has begun is finished, even where its task is cancelled: only the journal would know what it wrote.
    """

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self.book = OrderBook()
        self.journal = OrderJournal(bus, 0)
        self._lock = asyncio.Lock()
        self._begun: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """The right to change records, with every write that was begun before finished first."""
        async with self._lock:
            for writing in list(self._begun):
                await asyncio.wait({writing})
                if not writing.cancelled():
                    writing.result()
            yield

    def reopen(self, fencing_token: int) -> None:
        """Forget everything: a broker that has just become the active one believes the journal and nothing else."""
        for writing in self._begun:
            writing.cancel()
        self._begun = set()
        self.book = OrderBook()
        self.journal = OrderJournal(self._bus, fencing_token)

    async def load(self) -> None:
        """Take the journal over, and every order without an outcome from it."""
        self.book.put_all(await self.persist(self.journal.load_open))
        _log.info("broker.journal_loaded", open_orders=sum(1 for _ in self.book.open()))

    async def find(self, client_order_id: str) -> OrderRecord | None:
        """An order, at hand or journalled; None where there is none."""
        return self.book.get(client_order_id) or await self.journal.load(client_order_id)

    def now(self, record: OrderRecord) -> OrderRecord:
        """The newest state of a record that was read a while ago."""
        return self.book.get(record.client_order_id) or record

    async def write(self, change: Step) -> bool:
        """Journal a step and publish its events, then believe it. Returns whether there was anything to write."""
        record, events = change
        known = self.book.get(record.client_order_id)
        if known is not None and known.revision == record.revision:
            return False
        writing = asyncio.create_task(self._write_down(record, events), name="journal")
        self._begun.add(writing)
        writing.add_done_callback(self._on_written)
        await asyncio.shield(writing)
        return True

    def _on_written(self, writing: asyncio.Task[None]) -> None:
        self._begun.discard(writing)
        if not writing.cancelled():
            writing.exception()  # heard; whoever waits for it gets it too

    async def _write_down(self, record: OrderRecord, events: tuple[OrderEvent, ...]) -> None:
        await self.persist(lambda: self.journal.commit(record, events))
        self.book.put(record)
        _log_steps(events)

    async def persist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write until Redis says it is written; while Redis is away nothing else may overtake."""
        waits = _RETRY()
        while True:
            try:
                return await write()
            except BusUnavailable as error:
                _log.warning("broker.write_retried", error=str(error))
            await self._clock.sleep(next(waits))


def _log_steps(events: tuple[OrderEvent, ...]) -> None:
    for event in events:
        _log.info("broker.order_event", type=type_of(event), **_short(event))


def _short(event: OrderEvent) -> dict[str, object]:
    told = ("client_order_id", "status", "reason", "quantity", "price", "exec_id", "commission")
    return {name: str(getattr(event, name)) for name in told if getattr(event, name, None)}
