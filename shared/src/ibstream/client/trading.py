"""The part of `Client` that asks for orders, and waits for what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar, Unpack

from ibstream.bus import Bus, BusUnavailable, Publisher
from ibstream.bus.reader import LATEST
from ibstream.client.decimals import Number
from ibstream.client.errors import (
    GroupUnresolvedError,
    NoAnswerError,
    OrderUnconfirmedError,
    OrderUnresolvedError,
    RequestRefusedError,
)
from ibstream.client.groups import BracketDetails, bracket_request, group_request
from ibstream.client.instruments import instrument_of
from ibstream.client.orders import OnEvent, OrderEvents, OrderOutcome, Stories, all_told, answer_to_what_if
from ibstream.client.requests import OrderChanges, OrderDetails, checked, modify_request, order_request
from ibstream.client.subscription import Subscription
from ibstream.contracts.base import type_of
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    GroupKind,
    OcaType,
    OrderEvent,
    RequestRefused,
    Side,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
    WhatIfAnswered,
)
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.runtime.clock import Clock

ORDER_DEADLINE_S = 30.0
"""How long an outcome is waited for unless told otherwise."""

WHAT_IF_DEADLINE_S = 15.0
"""How long the answer to a what-if is waited for; IBKR takes about a second."""

S = TypeVar("S", bound=Subscription[Any])


class Trading:
    """Orders over one bus. Raises as `Client` says."""

    def __init__(self, bus: Bus, *, strategy: str, patience_s: float, clock: Clock) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._strategy = strategy
        self._patience_s = patience_s
        self._clock = clock
        self._subscriptions: list[Subscription[Any]] = []

    # One order

    def order(
        self, instrument: str | Instrument, side: Side | str, quantity: Number, **details: Unpack[OrderDetails]
    ) -> SubmitOrder:
        """The request for one order, of any type: see `OrderDetails`. Nothing is written. Raises `InvalidRequestError`.

        `instrument` in words (`AAPL`, `EUR.USD`, `ES 202612 @CME`, `AAPL 20261218 250 C`) or as made by `ibstream.stock`,
        `fx`, `future`, `option`, `combo`. `quantity` is whole: shares, contracts, combos, or units of a pair's first currency.
        """
        return order_request(instrument, side, quantity, details, strategy=self._strategy, now=self._clock.now())

    async def submit(
        self, instrument: str | Instrument, side: Side | str, quantity: Number, **details: Unpack[OrderDetails]
    ) -> str:
        """Ask for one order, as `order` makes it, and return its `client_order_id`, without waiting for the broker.

        Raises as `send` does.
        """
        order = self.order(instrument, side, quantity, **details)
        await self.send(order)
        return order.client_order_id

    async def submit_and_wait(
        self,
        instrument: str | Instrument,
        side: Side | str,
        quantity: Number,
        *,
        deadline_s: float = ORDER_DEADLINE_S,
        **details: Unpack[OrderDetails],
    ) -> OrderOutcome:
        """Ask for one order and wait for its outcome, as `send_and_wait` does."""
        return await self.send_and_wait(self.order(instrument, side, quantity, **details), deadline_s=deadline_s)

    async def send(self, order: SubmitOrder) -> None:
        """Write a request made by `order`. Raises `OrderUnconfirmedError` when it is not known whether it was written."""
        try:
            await self._publisher.publish(ORDER_REQUESTS, order)
        except BusUnavailable as error:
            raise OrderUnconfirmedError(order.client_order_id, str(error)) from error

    async def send_and_wait(
        self, order: SubmitOrder, *, deadline_s: float = ORDER_DEADLINE_S, on_event: OnEvent | None = None
    ) -> OrderOutcome:
        """Write a request made by `order` and wait for its outcome; no event between the two can be missed.

        The position in `orders:events` is fixed before the request is written. `on_event` hears each of the order's
        events. Raises `OrderUnresolvedError` when there is no outcome within `deadline_s`: the order may be working.
        Raises `OrderUnconfirmedError` where, on top of that, the write was never confirmed and the broker said nothing.
        """
        one = order.client_order_id
        stories = Stories([one])
        if not await self._follow(stories, [one], lambda: self.send(order), deadline_s, on_event):
            raise OrderUnresolvedError(one, stories.last[one], deadline_s)
        return stories.outcomes[one]

    # Several that hang together

    def bracket(
        self, instrument: str | Instrument, side: Side | str, quantity: Number, **details: Unpack[BracketDetails]
    ) -> SubmitGroup:
        """The request for an entry and its exits: `take_profit`, `stop_loss`, or both; the rest as `order` takes it.

        The exits work once the entry has filled, and one of them filling ends the other. Raises `InvalidRequestError`,
        also for exits on the wrong sides of the entry. Other exits than these: `group`.
        """
        return bracket_request(instrument, side, quantity, details, strategy=self._strategy, now=self._clock.now())

    def oca(
        self,
        orders: Sequence[SubmitOrder],
        *,
        oca_type: OcaType | str = OcaType.CANCEL,
        group_id: str | None = None,
        valid_until: datetime | None = None,
    ) -> SubmitGroup:
        """The request for orders made by `order` of which a fill of one cancels or reduces the others, as `oca_type` says."""
        return self.group(GroupKind.OCA, orders, oca_type=oca_type, group_id=group_id, valid_until=valid_until)

    def group(
        self,
        kind: GroupKind | str,
        orders: Sequence[SubmitOrder],
        *,
        oca_type: OcaType | str = OcaType.CANCEL,
        group_id: str | None = None,
        valid_until: datetime | None = None,
    ) -> SubmitGroup:
        """The request for a group of two to ten orders made by `order`; of a bracket, the first is the parent.

        `valid_until` is for all of them, and what they say themselves is not looked at. Raises `InvalidRequestError`.
        """
        now = self._clock.now()
        return group_request(kind, orders, now=now, oca_type=oca_type, group_id=group_id, valid_until=valid_until)

    async def submit_group(self, group: SubmitGroup) -> None:
        """Write a request made by `bracket`, `oca` or `group`. Raises as `send` does, with the `group_id`."""
        try:
            await self._publisher.publish(ORDER_REQUESTS, group)
        except BusUnavailable as error:
            raise OrderUnconfirmedError(group.group_id, str(error), what="group") from error

    async def send_group_and_wait(
        self, group: SubmitGroup, *, deadline_s: float = ORDER_DEADLINE_S, on_event: OnEvent | None = None
    ) -> dict[str, OrderOutcome]:
        """Write a group's request and wait for the outcome of each of its orders, by `client_order_id`.

        As `send_and_wait`, for all of them. Raises `GroupUnresolvedError`, with the outcomes so far, when one has none within
        `deadline_s`: exits of a bracket can work for long.
        """
        ids = [order.client_order_id for order in group.orders]
        stories = Stories(ids)
        if not await self._follow(stories, ids, lambda: self.submit_group(group), deadline_s, on_event):
            raise GroupUnresolvedError(group.group_id, stories.outcomes, stories.last, deadline_s)
        return stories.outcomes

    # Asking first

    async def what_if(self, order: SubmitOrder, *, deadline_s: float = WHAT_IF_DEADLINE_S) -> WhatIfAnswered:
        """What a request made by `order` would do to margin, and what it would cost. Nothing is sent to work.

        Its `client_order_id` is not used up. Raises `RequestRefusedError` with the reason, or `NoAnswerError` after `deadline_s`.
        """
        request = checked(ORDER_REQUESTS, WhatIf(order=order, requested_at=self._clock.now()))
        try:
            async with asyncio.timeout(deadline_s), self.order_events(order.client_order_id) as events:
                await self._publisher.publish(ORDER_REQUESTS, request)
                return await answer_to_what_if(events)
        except TimeoutError:
            text = (
                f"the what-if of {order.client_order_id} has no answer after {deadline_s:g} s; is the broker running?"
            )
            raise NoAnswerError(text) from None

    # Changing and ending

    async def modify(self, client_order_id: str, **changes: Unpack[OrderChanges]) -> None:
        """Ask for another quantity, price or time in force on a working order; the answer comes with its events.

        Raises `InvalidRequestError`, also where there is nothing to change.
        """
        request = modify_request(client_order_id, changes, now=self._clock.now())
        await self._publisher.publish(ORDER_REQUESTS, request)

    async def cancel(self, client_order_id: str) -> None:
        """Ask to end a working order; it can still fill until its events say otherwise."""
        await self._publisher.publish(ORDER_REQUESTS, self._cancel_request(client_order_id))

    async def cancel_and_wait(
        self, client_order_id: str, *, deadline_s: float = ORDER_DEADLINE_S, on_event: OnEvent | None = None
    ) -> OrderOutcome:
        """Ask to end an order and wait for its outcome, which may be that it filled first.

        Raises `RequestRefusedError` when it could not be asked for, or had ended before, and `OrderUnresolvedError` when
        there is no outcome within `deadline_s`: outside the exchange's hours a cancel may take until they begin.
        """
        stories, request = Stories([client_order_id]), self._cancel_request(client_order_id)

        def hear(event: OrderEvent) -> None:
            if on_event is not None:
                on_event(event)
            if isinstance(event, RequestRefused) and event.request == type_of(CancelOrder) and not stories.outcomes:
                raise RequestRefusedError(event)

        def write() -> Awaitable[object]:
            return self._publisher.publish(ORDER_REQUESTS, request)

        if not await self._follow(stories, [client_order_id], write, deadline_s, hear):
            raise OrderUnresolvedError(client_order_id, stories.last[client_order_id], deadline_s)
        return stories.outcomes[client_order_id]

    async def cancel_all(
        self,
        *,
        strategy: str = "",
        symbol: str = "",
        instrument: str | Instrument | None = None,
        account: str = "",
    ) -> None:
        """Ask to end every working order that fits; what is left empty fits all.

        `symbol` means every instrument of that symbol, options and futures on it included; `instrument` means one, however it
        is routed.
        """
        request = CancelAllOrders(
            strategy=strategy,
            symbol=symbol,
            instrument=None if instrument is None else instrument_of(instrument),
            account=account,
            requested_at=self._clock.now(),
        )
        await self._publisher.publish(ORDER_REQUESTS, checked(ORDER_REQUESTS, request))

    # What became of them

    def order_events(self, *client_order_ids: str, start: str = LATEST) -> OrderEvents:
        """The events of some orders, or of all where none is named, from the entry after `start` (`BEGINNING`: all kept).

        Among all are the orders of others, `ExternalOrder`.
        """
        return self._held(
            OrderEvents(
                self._bus,
                wanted=client_order_ids or None,
                start=start,
                patience_s=self._patience_s,
                clock=self._clock,
            )
        )

    async def _follow(
        self,
        stories: Stories,
        client_order_ids: Sequence[str],
        write: Callable[[], Awaitable[object]],
        deadline_s: float,
        on_event: OnEvent | None,
    ) -> bool:
        """Write a request and follow its orders; return whether all have their outcome within `deadline_s`."""
        unconfirmed: OrderUnconfirmedError | None = None
        try:
            async with asyncio.timeout(deadline_s), self.order_events(*client_order_ids) as events:
                try:
                    await write()
                except OrderUnconfirmedError as error:
                    unconfirmed = error  # the events will tell
                await all_told(stories, events, on_event)
        except TimeoutError:
            if unconfirmed is not None and not stories.begun:
                raise unconfirmed from None
            return False
        return True

    def _cancel_request(self, client_order_id: str) -> CancelOrder:
        request = CancelOrder(client_order_id=client_order_id, requested_at=self._clock.now())
        return checked(ORDER_REQUESTS, request)

    def _held(self, subscription: S) -> S:
        """Remember what to close, and forget what is."""
        self._subscriptions = [held for held in self._subscriptions if not held.closed]
        self._subscriptions.append(subscription)
        return subscription
