"""What became of orders: the stream of events, and one order's way to its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from ibstream.bus import Bus
from ibstream.bus.reader import LATEST
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.contracts.base import type_of
from ibstream.contracts.orders import (
    FINAL_STATUSES,
    OrderEvent,
    OrderStatus,
    OrderStatusChanged,
    Reason,
    RequestRefused,
    SubmitOrder,
)
from ibstream.contracts.registry import ORDER_EVENTS
from ibstream.runtime.clock import Clock


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
    """Shares; may be more than 0 for a cancelled order."""
    average_price: Decimal | None
    events: tuple[OrderEvent, ...]
    """All its events from the submit to the outcome; commissions may follow later."""


class OrderEvents(Subscription[OrderEvent]):
    """The events of one order, or of all, oldest first."""

    def __init__(
        self, bus: Bus, *, client_order_id: str | None, start: str = LATEST, patience_s: float, clock: Clock
    ) -> None:
        super().__init__()
        self._wanted = client_order_id
        self._reader = PatientReader(bus, {ORDER_EVENTS: start}, patience_s=patience_s, clock=clock)

    async def _close(self) -> None:
        await self._reader.close()

    async def _open(self) -> None:
        await self._reader.start()

    async def _more(self) -> list[OrderEvent]:
        events: list[OrderEvent] = [entry.message for entry in await self._reader.read()]  # type: ignore[misc]
        return [event for event in events if self._wanted in (None, event.client_order_id)]


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
        if refused.request != type_of(SubmitOrder) or refused.status not in FINAL_STATUSES:
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
