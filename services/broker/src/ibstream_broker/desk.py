"""The desk: requests line up, are journalled some at a time, sent in their order, and only then count as done.

The order of things is the guarantee: validate, gate, journal, send. What is journalled and not sent is rejected by name; what is
sent and not answered is `unknown` until reconciliation tells; nothing is ever sent twice.

    take ─ validated ─ looked up ─ lanes ─ run: a batch ─ journalled in one write ─ sent one by one ─ done
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from ibstream.bus import Entry
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    Reason,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
)
from ibstream.runtime import metrics
from ibstream.runtime.supervise import unless
from ibstream_broker.adapters.journal import AlreadyJournalled
from ibstream_broker.changes import Changes
from ibstream_broker.domain.lanes import Lane, Lanes, Waiting
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.validation import validate_change, validate_group, validate_submit, validate_what_if
from ibstream_broker.ledger import Change
from ibstream_broker.lookups import Lookups
from ibstream_broker.office import Office, Send
from ibstream_broker.submits import Submits, orders_of
from ibstream_broker.what_ifs import WhatIfs

BATCH_MAX = 64
"""Requests journalled in one write."""

_CANCELLED_UNSENT = Refusal(Reason.CANCEL_REQUESTED, "cancelled before it was sent")


class Desk:
    """Takes requests in, and works them off: cancels before modifies before orders, strategies in turn."""

    def __init__(self, office: Office, *, waiting_max: int) -> None:
        self._office = office
        self._lanes = Lanes(waiting_max)
        self._submits = Submits(office)
        self._changes = Changes(office)
        self._what_ifs = WhatIfs(office)
        self._lookups = Lookups(office.port, self._line_up)
        self._tasks: asyncio.TaskGroup | None = None
        self._at_work = asyncio.Event()
        self._wake = asyncio.Event()
        self._credit = 0
        self._in_hand: list[Waiting] = []
        """The batch that is being worked off: it waits no more, and its orders may not be journalled yet."""
        self._cancels: dict[str, Waiting] = {}
        """By order, the cancel that waits and has no end of its own: whoever asks for the same thing is told with it."""
        self._risen: list[OrderRecord] = []
        self._done: Callable[[str], None] = lambda _: None

    def __len__(self) -> int:
        return len(self._lanes) + len(self._lookups)

    def reopen(self, done: Callable[[str], None]) -> None:
        """Begin anew, empty: what waited is pending in the group. `done` is told each request whose effect is durable."""
        self._lanes.clear()
        self._lookups.clear()
        self._what_ifs.clear()
        self._credit = 0
        self._in_hand.clear()
        self._cancels.clear()
        self._risen.clear()
        self._done = done
        self._at_work.clear()

    # Taking in

    async def take(self, entries: Sequence[Entry]) -> None:
        """Line requests up, in the order of the stream. Those that find no room any more are refused."""
        await self._at_work.wait()
        hopeless: list[Waiting] = []
        for entry in entries:
            match entry.message:
                case CancelOrder() as request:
                    hopeless += await self._take_cancel(entry.id, request)
                case CancelAllOrders() as request:
                    await self._take_cancel_all(entry.id, request)
                case SubmitOrder() | SubmitGroup() | ModifyOrder() | WhatIf() as request:
                    item = self._waiting(entry.id, request)
                    if len(self) >= self._lanes.waiting_max:
                        item.refuse_all(
                            Refusal(Reason.OVERLOADED, f"{len(self)} requests wait already; send fewer at once")
                        )
                        hopeless.append(item)
                    else:
                        self._check(item)
                        is_refused = self._is_refused(item)  # then nothing need be looked up, or can be
                        instruments = () if is_refused else self._changes.instruments_of(item)
                        self._lookups.start(item, instruments, self._group)
                case other:
                    raise AssertionError(f"{other} is not of this stream")
        await self._handle_all(hopeless)

    def cancel_every_order(self) -> None:
        """Line up a cancel of every working order; a halt asks for it."""
        for record in self._office.ledger.book.open():
            self._line_up_cancel(record.client_order_id, None, lambda: None)

    def cancel(self, client_order_id: str) -> None:
        """Line up a cancel of one order, which the broker asks of itself."""
        self._line_up_cancel(client_order_id, None, lambda: None)

    def put_down(self, record: OrderRecord) -> None:
        """End an order at IBKR whose story is told already."""
        if self._tasks is None:
            self._risen.append(record)
        else:
            self._tasks.create_task(self._changes.put_down(record), name="put-down")

    def look_again(self) -> None:
        """Something has changed that can decide about those who wait."""
        self._wake.set()

    def _waiting(self, entry_id: str, request: SubmitOrder | SubmitGroup | ModifyOrder | WhatIf) -> Waiting:
        now = self._office.clock.monotonic()
        if isinstance(request, ModifyOrder):
            strategy = self._strategy_of(request.client_order_id)
            target = request.client_order_id
            return Waiting(request, Lane.MODIFY, strategy, entry_id, target=target, taken_at=now)
        orders = orders_of(request)
        ids = () if isinstance(request, WhatIf) else tuple(order.client_order_id for order in orders)
        return Waiting(
            request, Lane.SUBMIT, orders[0].strategy, entry_id, messages=len(orders), client_order_ids=ids, taken_at=now
        )

    def _check(self, item: Waiting) -> None:
        """Everything that can be wrong with a request by itself."""
        now, valid_for = self._office.clock.now(), self._office.valid_for
        match item.request:
            case SubmitGroup() as group:
                item.refusals = validate_group(group, now=now, valid_for=valid_for) or {}
                return
            case SubmitOrder() as request:
                refusal = validate_submit(request, now=now, valid_for=valid_for)
            case ModifyOrder() as request:
                refusal = validate_change(request, now=now, valid_for=valid_for)
            case WhatIf() as request:
                refusal = validate_what_if(request, now=now, valid_for=valid_for)
            case _:
                return
        if refusal is not None:
            item.refuse_all(refusal)

    def _strategy_of(self, client_order_id: str) -> str:
        record = self._office.ledger.book.get(client_order_id)
        return record.request.strategy if record is not None else ""

    async def _take_cancel(self, entry_id: str, request: CancelOrder) -> list[Waiting]:
        """Drop the order where it waits, else line the cancel up. Returned where there is nothing to cancel."""
        target = request.client_order_id
        waiting = self._lanes.order(target) or self._lookups.order(target)
        if waiting is not None:
            await self._drop([waiting], {target})
            self._done(entry_id)
            return []
        if not self._is_open(target):
            return [Waiting(request, Lane.CANCEL, "", entry_id, target=target, taken_at=self._office.clock.monotonic())]
        self._line_up_cancel(target, request, lambda: self._done(entry_id))
        return []

    def _is_open(self, client_order_id: str) -> bool:
        """Whether there is an order to cancel, or about to be one: every order without an outcome is at hand."""
        record = self._office.ledger.book.get(client_order_id)
        in_hand = any(client_order_id in item.client_order_ids for item in self._in_hand)
        return in_hand or (record is not None and not record.is_final)

    async def _take_cancel_all(self, entry_id: str, request: CancelAllOrders) -> None:
        """Every order asked for before: those that wait are dropped, the others get a cancel each."""
        fits = Changes.fitting(request, self._office.port.account)
        waiting = self._lanes.matching(fits.waiting) + self._lookups.matching(fits.waiting)
        ids = {order.client_order_id for item in waiting for order in orders_of(item.request) if fits.order(order)}
        await self._drop(waiting, ids)
        in_hand = [order for item in self._in_hand if item.client_order_ids for order in orders_of(item.request)]
        targets = dict.fromkeys(order.client_order_id for order in in_hand if fits.order(order))
        targets |= dict.fromkeys(one.client_order_id for one in self._office.ledger.book.open() if fits.record(one))
        left = len(targets)

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                self._done(entry_id)

        for target in targets:
            self._line_up_cancel(target, request, one_done)
        if not targets:
            self._done(entry_id)

    def _line_up_cancel(
        self, target: str, request: CancelOrder | CancelAllOrders | None, done: Callable[[], None]
    ) -> None:
        same = self._cancels.get(target)
        if same is not None:
            same.on_done.append(done)
            return
        asked = request or CancelOrder(client_order_id=target, requested_at=self._office.clock.now())
        item = Waiting(asked, Lane.CANCEL, self._strategy_of(target), target=target, on_done=[done])
        item.taken_at = self._office.clock.monotonic()
        if asked.valid_until is None:
            self._cancels[target] = item
        self._lanes.put(item)
        self._wake.set()

    async def _drop(self, items: Collection[Waiting], asked_for: Collection[str]) -> None:
        """End orders that were never sent. Of a group all end: it was to be accepted whole."""
        self._lookups.remove(items)
        self._lanes.remove([item for item in items if item in self._lanes])
        for item in items:
            for client_order_id in item.client_order_ids:
                other = Refusal(Reason.GROUP_REFUSED, "another order of its group was cancelled before it was sent")
                item.refusals[client_order_id] = _CANCELLED_UNSENT if client_order_id in asked_for else other
        await self._handle_all(list(items))

    async def _handle_all(self, items: Sequence[Waiting]) -> None:
        """Handle what has nothing to send, some at a time and past the lanes."""
        for start in range(0, len(items), BATCH_MAX):
            await self._handle(items[start : start + BATCH_MAX])

    def _line_up(self, item: Waiting) -> None:
        self._lanes.put(item)
        self._wake.set()

    # Working off

    async def run(self, stop: asyncio.Event) -> None:
        """Work off what waits until `stop` is set; the batch in hand then is finished first."""
        async with asyncio.TaskGroup() as self._tasks:
            self._at_work.set()
            self._group.create_task(self._wake_at(stop), name="desk-stop")
            for record in self._risen:
                self.put_down(record)
            self._risen.clear()
            while not stop.is_set():
                self._in_hand = self._next_batch()
                if self._in_hand:
                    await self._handle(self._in_hand)
                elif self._lanes.peek() is not None:
                    await unless(stop, self._more_room())
                else:
                    self._wake.clear()
                    await self._wake.wait()
            self._lookups.clear()
            self._what_ifs.clear()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

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
        room = self._credit + self._office.port.capacity()
        while len(batch) < BATCH_MAX and (item := self._lanes.peek()) is not None:
            if not self._is_refused(item):
                if item.messages > room:
                    break
                room -= item.messages
            batch.append(self._lanes.take())
            if self._cancels.get(item.target) is item:
                del self._cancels[item.target]
            metrics.ORDER_QUEUE_SECONDS.observe(self._office.clock.monotonic() - item.taken_at)
        metrics.ORDER_QUEUE.set(len(self))
        return batch

    def _is_refused(self, item: Waiting) -> bool:
        if item.refusals:
            return True
        match item.request:
            case CancelOrder() | CancelAllOrders():
                return self._office.refuses_cancels(item.request) is not None
            case ModifyOrder():
                return self._office.refuses_modifies(item.request) is not None
            case WhatIf():
                return self._office.refuses_what_ifs(item.request) is not None
            case request:
                return self._office.refuses_now(request) is not None

    async def _handle(self, batch: Sequence[Waiting]) -> None:
        """Journal what a batch asks for in one write, send it, and tell that it is done."""
        await self._changes.find_targets(batch)
        await self._submits.look_at_quotes(batch)
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
