"""The desk: whose turn it is, is journalled some at a time, sent in its order, and only then counts as done.

The order of things is the guarantee: validate, gate, journal, send. What is journalled and not sent is rejected by name; what is
sent and not answered is `unknown` until reconciliation tells; nothing is ever sent twice.

    reception ─ lanes ─ a batch ─ journalled in one write ─ sent one by one ─ done
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from ibstream.bus import Entry
from ibstream.contracts.orders import CancelAllOrders, CancelOrder, ModifyOrder, SubmitGroup, SubmitOrder, WhatIf
from ibstream.runtime import metrics
from ibstream.runtime.supervise import unless
from ibstream_broker.changes import Changes
from ibstream_broker.domain.lanes import Lane, Waiting
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office, Send
from ibstream_broker.ports import AlreadyJournalled
from ibstream_broker.reception import Reception
from ibstream_broker.submits import Submits
from ibstream_broker.what_ifs import WhatIfs

BATCH_MAX = 64
"""Requests journalled in one write."""

LOOK_AGAIN_S = 1.0
"""How often it is looked whether the time of those who wait for a session is over."""


class Desk:
    """Works requests off: cancels before modifies before orders, strategies in turn."""

    def __init__(self, office: Office, *, waiting_max: int) -> None:
        self._office = office
        self._changes = Changes(office)
        self._reception = Reception(office, self._changes, waiting_max=waiting_max, work=self._handle_all)
        self._submits = Submits(office, cancel=self._reception.cancel)
        self._what_ifs = WhatIfs(office)
        self._tasks: asyncio.TaskGroup | None = None
        self._at_work = asyncio.Event()
        self._credit = 0
        self._risen: list[OrderRecord] = []
        self._done: Callable[[str], None] = lambda _: None

    def __len__(self) -> int:
        """Requests that wait, cancels left out."""
        return len(self._reception)

    def reopen(self, done: Callable[[str], None]) -> None:
        """Begin anew, empty: what waited is pending in the group. `done` is told each request whose effect is durable."""
        self._reception.reopen(done)
        self._what_ifs.clear()
        self._credit = 0
        self._risen.clear()
        self._done = done
        self._at_work.clear()

    async def take(self, entries: Sequence[Entry]) -> None:
        """Line requests up, in the order of the stream."""
        await self._at_work.wait()
        await self._reception.take(entries, self._group)

    async def refuse_buried(self, entry: Entry, error: str) -> None:
        """Refuse by name what goes to the dead letters because nobody could handle it; returns once that is durable."""
        await self._at_work.wait()
        await self._reception.refuse_buried(entry, error)

    def cancel_every_order(self) -> None:
        """Line up a cancel of every working order; a halt asks for it."""
        for record in self._office.ledger.book.open():
            self._reception.cancel(record.client_order_id)

    def cancel(self, client_order_id: str) -> None:
        """Line up a cancel of one order, which the broker asks of itself."""
        self._reception.cancel(client_order_id)

    def put_down(self, record: OrderRecord) -> None:
        """End an order at IBKR whose story is told already."""
        if self._tasks is None:
            self._risen.append(record)
        else:
            self._tasks.create_task(self._changes.put_down(record), name="put-down")

    def look_again(self) -> None:
        """Something has changed that can decide about those who wait."""
        self._reception.wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work off what waits until `stop` is set; the batch in hand then is finished first."""
        async with asyncio.TaskGroup() as self._tasks:
            self._at_work.set()
            self._group.create_task(self._wake_at(stop), name="desk-stop")
            for record in self._risen:
                self.put_down(record)
            self._risen.clear()
            while not stop.is_set():
                await self._turn(stop)
            self._reception.close()
            self._what_ifs.clear()
        self._tasks = None

    async def _turn(self, stop: asyncio.Event) -> None:
        wake = self._reception.wake
        wake.clear()
        batch = self._reception.in_hand = self._next_batch()
        if batch:
            await self._handle(batch)
        elif self._reception.lanes.peek(self._closed_lanes()) is not None:
            await unless(stop, self._more_room())
        else:
            self._credit = 0  # room that nobody waits for is not saved
            await self._rest(wake)

    async def _rest(self, wake: asyncio.Event) -> None:
        """Until something has changed; not for long while somebody waits who may not go: his time can run out."""
        someone_waits = self._reception.lanes.peek() is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S if someone_waits else None):
                await wake.wait()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._reception.wake.set()

    @property
    def _group(self) -> asyncio.TaskGroup:
        assert self._tasks is not None  # noqa: S101 - nothing is taken before `run`
        return self._tasks

    async def _more_room(self) -> None:
        """Save up room for one more message; who gets it is decided when it is there."""
        await self._office.port.room()
        self._credit += 1

    def _next_batch(self) -> list[Waiting]:
        """Whose turn it is: as many as can be sent now. What is refused takes no room."""
        batch: list[Waiting] = []
        lanes = self._reception.lanes
        room = self._credit + self._office.port.capacity()
        while len(batch) < BATCH_MAX:
            without = self._closed_lanes()  # by who is next in each: one that is refused does not open it to the others
            item = lanes.peek(without)
            if item is None:
                break
            if not self._reception.is_refused(item):
                if item.messages > room:
                    break
                room -= item.messages
            batch.append(lanes.take(without))
            self._reception.took(item)
            metrics.ORDER_QUEUE_SECONDS.observe(self._office.clock.monotonic() - item.taken_at)
        metrics.ORDER_QUEUE.set(len(self))
        return batch

    def _closed_lanes(self) -> list[Lane]:
        """Lanes that wait for something else than room: cancels for the session, new orders for those sent again."""
        closed = []
        head = self._reception.lanes.head(Lane.CANCEL)
        if head is not None and self._office.cancels_wait and not self._reception.is_refused(head):
            closed.append(Lane.CANCEL)
        if self._office.catching_up:
            closed.append(Lane.SUBMIT)
        return closed

    async def _handle_all(self, items: Sequence[Waiting]) -> None:
        """Handle what has nothing to send, some at a time and past the lanes."""
        for start in range(0, len(items), BATCH_MAX):
            await self._handle(items[start : start + BATCH_MAX])

    async def _handle(self, batch: Sequence[Waiting]) -> None:
        """Journal what a batch asks for in one write, send it, and tell that it is done."""
        await self._changes.find_targets(batch)
        await self._submits.look_at_quotes(batch)
        async with self._office.sending:
            sends = await self._journalled(batch)
            for send in sends:
                await send.perform(self._room)
        await self._take_back([send for send in sends if send.failure is not None])
        for item in batch:
            metrics.ORDER_REQUEST_SECONDS.observe(self._office.clock.monotonic() - item.taken_at)
            if not (isinstance(item.request, WhatIf) and self._what_ifs.is_asking(item)):
                self._finish(item)

    def _finish(self, item: Waiting) -> None:
        if item.entry_id:
            self._done(item.entry_id)
        for done in item.on_done:
            done()

    async def _journalled(self, batch: Sequence[Waiting]) -> list[Send]:
        """One write for the batch. Orders that the journal turns out to know are looked up, and it is tried again."""
        while True:
            sends: list[Send] = []
            try:
                async with self._office.ledger.changing() as change:
                    for item in batch:
                        sends += self._staged(change, item)
            except AlreadyJournalled as error:
                self._office.ledger.book.put_all(await self._office.ledger.load_all(error.ids))
            else:
                return sends

    def _staged(self, change: Change, item: Waiting) -> list[Send]:
        match item.request:
            case SubmitOrder() | SubmitGroup():
                return self._submits.stage(change, item)
            case ModifyOrder():
                return self._changes.stage_modify(change, item)
            case CancelOrder() | CancelAllOrders():
                return self._changes.stage_cancel(change, item)
            case WhatIf():
                return self._what_ifs.stage(change, item, self._group, self._finish)

    async def _room(self) -> None:
        if self._credit:
            self._credit -= 1
        else:
            await self._office.port.room()

    async def _take_back(self, failed: Sequence[Send]) -> None:
        """Say of what was certainly not sent that it was not."""
        if not failed:
            return
        async with self._office.ledger.changing() as change:
            for send in failed:
                assert send.failure is not None  # noqa: S101 - it is why it is here
                send.take_back(change, send.failure)
