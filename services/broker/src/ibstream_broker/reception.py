"""The reception: requests are checked as they come, looked up where they must be, and line up; cancels go to what they are about.

take ─ validated ─ looked up ─ lanes ─▸ desk
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from ibstream.bus import Entry
from ibstream.bus.reader import entry_order
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    Reason,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
)
from ibstream_broker.changes import Changes
from ibstream_broker.domain.fitting import Fitting
from ibstream_broker.domain.lanes import Lane, Lanes, Waiting
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.requests import orders_of
from ibstream_broker.domain.validation import validate_change, validate_group, validate_submit, validate_what_if
from ibstream_broker.lookups import Lookups
from ibstream_broker.office import Office

_log = structlog.get_logger(__name__)

_CANCELLED_UNSENT = Refusal(Reason.CANCEL_REQUESTED, "cancelled before it was sent")
_OTHER_CANCELLED = Refusal(Reason.GROUP_REFUSED, "another order of its group was cancelled before it was sent")

Work = Callable[[Sequence[Waiting]], Awaitable[None]]
"""Works off requests that have nothing to send, past the lanes."""


class Reception:
    """Takes requests in, in the order of the stream, and lines them up."""

    def __init__(self, office: Office, changes: Changes, *, waiting_max: int, work: Work) -> None:
        self._office = office
        self._changes = changes
        self._work = work
        self.lanes = Lanes(waiting_max)
        """Who waits for the desk."""
        self.in_hand: Sequence[Waiting] = ()
        """The batch that the desk works off: it waits no more, and its orders may not be journalled yet."""
        self.wake = asyncio.Event()
        """Set when something has changed that can decide about those who wait."""
        self._lookups = Lookups(office.port, self._line_up)
        self._cancels: dict[str, Waiting] = {}
        """By order, the cancel that waits and has no end of its own: whoever asks for the same thing is told with it."""
        self._done: Callable[[str], None] = lambda _: None

    def __len__(self) -> int:
        """Requests that wait, cancels left out."""
        return len(self.lanes) + len(self._lookups)

    def reopen(self, done: Callable[[str], None]) -> None:
        """Begin anew, empty. `done` is told each request whose effect is durable."""
        self.lanes.clear()
        self._lookups.clear()
        self._cancels.clear()
        self.in_hand = ()
        self._done = done

    def close(self) -> None:
        """Give up looking instruments up; the requests stay pending."""
        self._lookups.clear()

    async def take(self, entries: Sequence[Entry], tasks: asyncio.TaskGroup) -> None:
        """Line requests up. Those that find no room any more, or have nothing to do, are answered before this returns."""
        hopeless: list[Waiting] = []
        for entry in entries:
            match entry.message:
                case CancelOrder() as request:
                    hopeless += await self._take_cancel(entry.id, request)
                case CancelAllOrders() as request:
                    await self._take_cancel_all(entry.id, request)
                case SubmitOrder() | SubmitGroup() | ModifyOrder() | WhatIf() as request:
                    hopeless += self._take_other(self._waiting(entry.id, request), tasks)
                case other:
                    raise AssertionError(f"{other} is not of this stream")
        await self._work(hopeless)

    async def refuse_buried(self, entry: Entry, error: str) -> None:
        """Answer a request that was delivered again and again and never handled. An order that is journalled already goes on."""
        request = entry.message
        if isinstance(request, CancelAllOrders):  # it names no order whose strategy could be told
            _log.error("broker.cancel_all_buried", strategy=request.strategy, symbol=request.symbol, error=error)
            return
        if isinstance(request, CancelOrder):
            item = Waiting(request, Lane.CANCEL, "", entry.id, target=request.client_order_id)
        else:
            assert isinstance(request, SubmitOrder | SubmitGroup | ModifyOrder | WhatIf)  # noqa: S101 - of this stream
            item = self._waiting(entry.id, request)
        item.refuse_all(Refusal(Reason.UNHANDLED, f"{error}; it is among the dead letters"))
        await self._work([item])

    def _take_other(self, item: Waiting, tasks: asyncio.TaskGroup) -> list[Waiting]:
        if len(self) >= self.lanes.waiting_max:
            text = f"{len(self)} requests wait already; send fewer at once"
            item.refuse_all(Refusal(Reason.OVERLOADED, text))
            return [item]
        self._check(item)
        is_refused = self.is_refused(item)  # then nothing need be looked up, or can be
        self._lookups.start(item, () if is_refused else self._changes.instruments_of(item), tasks)
        return []

    def is_refused(self, item: Waiting) -> bool:
        """Whether it will not be done as things stand, so that its turn takes no room."""
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

    def cancel(self, client_order_id: str) -> None:
        """Line up a cancel of one order, which the broker asks of itself."""
        self._line_up_cancel(client_order_id, None, lambda: None)

    def took(self, item: Waiting) -> None:
        """Its turn has come."""
        if self._cancels.get(item.target) is item:
            del self._cancels[item.target]

    def _waiting(self, entry_id: str, request: SubmitOrder | SubmitGroup | ModifyOrder | WhatIf) -> Waiting:
        now = self._office.clock.monotonic()
        if isinstance(request, ModifyOrder):
            target = request.client_order_id
            return Waiting(request, Lane.MODIFY, self._strategy_of(target), entry_id, target=target, taken_at=now)
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
        """Drop the order where it waits, and cancel it where it works: the same id can do both, asked for twice.

        Returned where there is nothing to cancel.
        """
        target = request.client_order_id
        waiting = self.lanes.order(target) or self._lookups.order(target)
        if waiting is not None:
            await self._drop([waiting], {target})
        if self._is_open(target):
            self._line_up_cancel(target, request, lambda: self._done(entry_id))
        elif waiting is not None:
            self._done(entry_id)
        else:
            return [Waiting(request, Lane.CANCEL, "", entry_id, target=target, taken_at=self._office.clock.monotonic())]
        return []

    def _is_open(self, client_order_id: str) -> bool:
        """Whether there is an order to cancel, or about to be one: every order without an outcome is at hand."""
        record = self._office.ledger.book.get(client_order_id)
        in_hand = any(client_order_id in item.client_order_ids for item in self.in_hand)
        return in_hand or (record is not None and not record.is_final)

    async def _take_cancel_all(self, entry_id: str, request: CancelAllOrders) -> None:
        """Every order asked for before, also where this is heard twice: those that wait are dropped, the others get a cancel
        each."""
        fits = Fitting(request, self._office.port.account)
        asked_at = entry_order(entry_id)
        waiting = self.lanes.matching(fits.waiting) + self._lookups.matching(fits.waiting)
        waiting = [item for item in waiting if entry_order(item.entry_id) < asked_at]
        ids = {order.client_order_id for item in waiting for order in orders_of(item.request) if fits.order(order)}
        await self._drop(waiting, ids)
        in_hand = [item for item in self.in_hand if item.client_order_ids and entry_order(item.entry_id) < asked_at]
        targets = dict.fromkeys(
            order.client_order_id for item in in_hand for order in orders_of(item.request) if fits.order(order)
        )
        works = [one for one in self._office.ledger.book.open() if entry_order(one.entry_id) < asked_at]
        targets |= dict.fromkeys(one.client_order_id for one in works if fits.record(one))
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
        self._line_up(item)

    async def _drop(self, items: Collection[Waiting], asked_for: Collection[str]) -> None:
        """End orders that were never sent. Of a group all end: it was to be accepted whole."""
        self._lookups.remove(items)
        self.lanes.remove([item for item in items if item in self.lanes])
        for item in items:
            for client_order_id in item.client_order_ids:
                item.refusals[client_order_id] = _CANCELLED_UNSENT if client_order_id in asked_for else _OTHER_CANCELLED
        await self._work(list(items))

    def _line_up(self, item: Waiting) -> None:
        self.lanes.put(item)
        self.wake.set()
