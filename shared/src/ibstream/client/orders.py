"""What became of orders: the stream of events, and the way of one order, or of several, to the outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from decimal import Decimal

from ibstream.bus import Bus
from ibstream.bus.reader import LATEST
from ibstream.client.errors import RequestRefusedError
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.contracts.base import type_of
from ibstream.contracts.orders import (
    FINAL_STATUSES,
    ExternalOrder,
    OrderEvent,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
    WhatIfAnswered,
)
from ibstream.contracts.registry import ORDER_EVENTS
from ibstream.runtime.clock import Clock

OnEvent = Callable[[OrderEvent], None]
"""Hears events as they come."""

_SUBMITS = {type_of(SubmitOrder), type_of(SubmitGroup)}


@dataclass(frozen=True, slots=True)
class OrderOutcome:
    """How an order ended. Money and prices are in the instrument's currency."""

    client_order_id: str
    status: OrderStatus
    reason: Reason
    text: str
    code: int
    """IBKR's code where it gave one, else 0."""
    filled: Decimal
    """Shares, contracts, …; may be more than 0 for a cancelled order."""
    average_price: Decimal | None
    events: tuple[OrderEvent, ...]
    """All its events from the submit to the outcome; commissions may follow later."""


class OrderEvents(Subscription[OrderEvent]):
    """The events of some orders, or all of them, oldest first. Orders that are not ours are told among all only."""

    def __init__(
        self, bus: Bus, *, wanted: Collection[str] | None, start: str = LATEST, patience_s: float, clock: Clock
    ) -> None:
        super().__init__()
        self._wanted = None if wanted is None else frozenset(wanted)
        self._reader = PatientReader(bus, {ORDER_EVENTS: start}, patience_s=patience_s, clock=clock)

    async def _close(self) -> None:
        await self._reader.close()

    async def _open(self) -> None:
        await self._reader.start()

    async def _more(self) -> list[OrderEvent]:
        events: list[OrderEvent] = [entry.message for entry in await self._reader.read()]  # type: ignore[misc]
        return [event for event in events if self._wanted is None or is_of(event, self._wanted)]


def is_of(event: OrderEvent, client_order_ids: Collection[str]) -> bool:
    """Whether an event belongs to one of these orders."""
    return not isinstance(event, ExternalOrder) and event.client_order_id in client_order_ids


async def answer_to_what_if(events: OrderEvents) -> WhatIfAnswered:
    """The first answer to a what-if among `events`; raise `RequestRefusedError` where it is a refusal."""
    async for event in events:
        if isinstance(event, WhatIfAnswered):
            return event
        if isinstance(event, RequestRefused) and event.request == type_of(WhatIf):
            raise RequestRefusedError(event)
    raise AssertionError("order events never end")


@dataclass
class Story:
    """One order's events so far, and its outcome once it has one. Pure."""

    client_order_id: str
    events: list[OrderEvent] = field(default_factory=list)
    last: OrderStatusChanged | None = None
    """The latest status."""

    def tell(self, event: OrderEvent) -> OrderOutcome | None:
        """Take the order's next event; return the outcome if this is it."""
        self.events.append(event)
        if isinstance(event, OrderStatusChanged):
            self.last = event
            return self._outcome(event) if event.final else None
        if isinstance(event, RequestRefused):
            return self._ended_before(event)
        return None

    def _outcome(self, status: OrderStatusChanged) -> OrderOutcome:
        return OrderOutcome(
            client_order_id=self.client_order_id,
            status=status.status,
            reason=status.reason,
            text=status.text,
            code=status.code,
            filled=status.filled,
            average_price=status.average_price,
            events=tuple(self.events),
        )

    def _ended_before(self, refused: RequestRefused) -> OrderOutcome | None:
        """A submit repeated after the order had ended: its outcome stands in the stream before, only its status is known."""
        if refused.request not in _SUBMITS or refused.status not in FINAL_STATUSES:
            return None
        filled = self.last.filled if self.last else Decimal(0)
        return OrderOutcome(
            client_order_id=self.client_order_id,
            status=refused.status,
            reason=refused.reason,
            text=refused.text,
            code=refused.code,
            filled=filled,
            average_price=self.last.average_price if self.last else None,
            events=tuple(self.events),
        )


class Stories:
    """The stories of several orders, and their outcomes. Pure."""

    def __init__(self, client_order_ids: Collection[str]) -> None:
        self._stories = {one: Story(one) for one in client_order_ids}
        self._outcomes: dict[str, OrderOutcome] = {}

    def tell(self, event: OrderEvent) -> bool:
        """Take the next event of any of them; return whether all have their outcome."""
        if not isinstance(event, ExternalOrder) and event.client_order_id in self._stories:
            outcome = self._stories[event.client_order_id].tell(event)
            if outcome is not None:
                self._outcomes.setdefault(event.client_order_id, outcome)
        return len(self._outcomes) == len(self._stories)

    @property
    def begun(self) -> bool:
        """Whether anything was heard of any of them."""
        return any(story.events for story in self._stories.values())

    @property
    def outcomes(self) -> dict[str, OrderOutcome]:
        """How those ended that have, in the order in which they were asked for."""
        return {one: self._outcomes[one] for one in self._stories if one in self._outcomes}

    @property
    def last(self) -> dict[str, OrderStatusChanged | None]:
        """Where those stand that have not ended; None where nothing was heard."""
        return {one: story.last for one, story in self._stories.items() if one not in self._outcomes}


async def all_told(stories: Stories, events: OrderEvents, on_event: OnEvent | None) -> None:
    """Tell the stories until all have their outcome; `on_event` hears each event after they did."""
    async for event in events:
        ended = stories.tell(event)
        if on_event is not None:
            on_event(event)
        if ended:
            return
