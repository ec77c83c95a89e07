"""What the people at the desk share: the ledger, the executor, where the broker stands, what is held and what is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from ibstream.contracts.base import type_of
from ibstream.contracts.orders import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    OrderRequest,
    Reason,
    RequestRefused,
    SubmitGroup,
    SubmitOrder,
    WhatIf,
)
from ibstream.contracts.system import ConnectionState
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream_broker.domain.checks.times import check_expiry
from ibstream_broker.domain.exposure import ZERO, leg_side
from ibstream_broker.domain.gate import Standing
from ibstream_broker.domain.interest import rest_of
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.validation import expiry_of, validate_cancel
from ibstream_broker.ledger import Change, OrderLedger
from ibstream_broker.ports import BrokerPort, Placement
from ibstream_broker.risk_desk import RiskDesk

Room = Callable[[], Awaitable[None]]
"""Returns when one more message may go to the executor."""


@dataclass
class Office:
    """Shared by those who work requests off."""

    ledger: OrderLedger
    port: BrokerPort
    standing: Standing
    positions: PositionBook
    risk: RiskDesk
    clock: Clock
    valid_for: timedelta
    """How long a request without `valid_until` is valid."""
    epoch: int = 0
    """The session with the executor, as the journal counts them."""
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from drawing order ids until they are out: IBKR takes none that is lower than one it has seen (103)."""
    catching_up: bool = False
    """Orders are about to be sent again, with ids lower than the next: until that is done no new one may overtake them."""
    held: Callable[[], bool] = field(default=lambda: True)
    """Whether the slot is still ours: a broker that was frozen must not send what it was about to."""

    def refuses_now(self, request: SubmitOrder | SubmitGroup) -> Refusal | None:
        """What time can change, to be asked again after every wait: the gate, and how long the request is valid."""
        now = self.clock.now()
        return self.standing.refuses_orders(now) or check_expiry(expiry_of(request, self.valid_for), now=now)

    def refuses_modifies(self, request: ModifyOrder) -> Refusal | None:
        """Why no order can be changed now."""
        now = self.clock.now()
        return self.standing.refuses_modifies(now) or check_expiry(expiry_of(request, self.valid_for), now=now)

    @property
    def cancels_wait(self) -> bool:
        """Whether a cancel cannot go out now, and is kept until it can: who wants an order gone still wants that later."""
        return self.standing.state not in (ConnectionState.READY, ConnectionState.STOPPED)

    def refuses_cancels(self, request: CancelOrder | CancelAllOrders) -> Refusal | None:
        """Why not even a cancel can go out."""
        closed = None if self.cancels_wait else self.standing.refuses_cancels()
        return validate_cancel(request, now=self.clock.now()) or closed

    def refuses_what_ifs(self, request: WhatIf) -> Refusal | None:
        """Why not even a question can be asked now."""
        late = check_expiry(expiry_of(request, self.valid_for), now=self.clock.now())
        return self.standing.refuses_what_ifs() or late

    def not_held(self) -> Refusal | None:
        """Why nothing may be sent any more, whatever was decided: the slot has passed on."""
        return None if self.held() else Refusal(Reason.GATEWAY_DISCONNECTED, "another broker has taken over")

    def check_held(self) -> None:
        """To be called right before anything is sent, with nothing awaited in between that could take its time.

        Raises `ConnectionError` once the slot has passed on: a broker that was frozen after all other checks sends nothing.
        """
        refusal = self.not_held()
        if refusal is not None:
            raise ConnectionError(refusal.text)

    def blocked(self, order: SubmitOrder, known: OrderRecord | None = None) -> Refusal | None:
        """Why an order may not open or enlarge a position whose fills do not add up; None where it may.

        `known` is its record, where the order, as it was, already counts among those that work: a change of it, or one that
        is sent again.
        """
        filled, counted = (known.filled, rest_of(known)) if known is not None else (ZERO, ZERO)
        left = max(order.quantity - filled, ZERO) - counted
        parts = [(one.instrument, leg_side(order.side, one.side), left * one.ratio) for one in order.instrument.legs]
        for instrument, side, quantity in parts or [(order.instrument, order.side, left)]:
            terms = self.port.known_terms(instrument)
            works = self.ledger.interest.working(self.port.account, instrument, side)
            text = self.positions.blocks(terms.con_id, side, quantity + works) if terms is not None else None
            if text is not None:
                return Refusal(Reason.POSITION_MISMATCH, text)
        return None

    def refuse(
        self,
        change: Change,
        request: OrderRequest,
        client_order_id: str,
        refusal: Refusal,
        record: OrderRecord | None,
        *,
        code: int = 0,
    ) -> None:
        """Tell that a request could not be done; the order it is about, if there is one, stands as it stood."""
        kind = type_of(request)
        metrics.ORDER_REQUESTS.labels(kind.split(".")[1], refusal.reason).inc()
        change.tell(
            RequestRefused(
                client_order_id=client_order_id,
                request=kind,
                reason=refusal.reason,
                text=refusal.text[:TEXT_CHARACTERS_MAX],
                code=code,
                status=record.status if record is not None else None,
                at=self.clock.now(),
            )
        )


@dataclass
class Send:
    """One message to the executor that follows from what was journalled."""

    still_refused: Callable[[], Refusal | None]
    """What may have come between: Redis or the message limit may have taken their time."""
    act: Callable[[], Awaitable[None]]
    """Sends it; a `ConnectionError` means that it was certainly not sent."""
    take_back: Callable[[Change, Refusal], None]
    """Tells that it was not sent."""
    failure: Refusal | None = None
    """Why it was not sent."""

    async def perform(self, room: Room) -> None:
        """Send it when there is room, unless it may no longer be sent."""
        self.failure = self.still_refused()
        if self.failure is not None:
            return
        try:
            await room()
            self.failure = self.still_refused()
            if self.failure is None:
                await self.act()
        except ConnectionError as error:
            self.failure = Refusal(Reason.GATEWAY_DISCONNECTED, f"not sent: {error}")


def placement_of(record: OrderRecord) -> Placement:
    """The order as it goes out."""
    link = record.link
    if link is None:
        return Placement(order_id=record.order_id, request=record.request, account=record.account)
    in_oca = link.kind == "oca"
    return Placement(
        order_id=record.order_id,
        request=record.request,
        account=record.account,
        parent_id=link.parent_order_id,
        oca_group=link.group_id if in_oca else "",
        oca_type=link.oca_type,
        transmit=link.transmit,
    )
