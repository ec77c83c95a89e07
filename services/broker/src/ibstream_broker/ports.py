"""What the broker needs from whoever executes orders."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

import msgspec

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Reason, SubmitOrder
from ibstream.runtime.connection import Connection
from ibstream.runtime.errors import IbstreamError
from ibstream_broker.domain.inputs import OrderInput, PortfolioInput, PositionReported, Snapshot

OnInput = Callable[[OrderInput | PortfolioInput], None]
"""Called synchronously, in the order in which things happened."""


class InstrumentRefused(IbstreamError):  # noqa: N818 - named like the event
    """The instrument cannot be traded as it was named."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What trading an instrument is bound to."""

    con_id: int
    price_tick: Decimal
    """The smallest step of its price; 0 where it is not known."""


class BrokerPort(Connection, Protocol):
    """An executor of orders.

    What happens to orders comes through `listen`'s callback: late, repeated and in any order, as it does from IBKR; never for
    orders of which `place` raised. `place`, `modify` and `cancel` return when the request is on its way, not when it is
    answered. An order id is used for one order only. Orders live on when the session ends.
    """

    @property
    def session(self) -> int:
        """Counts the sessions; 0 before the first."""
        ...

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go; called once, before the first `connect`."""
        ...

    async def health_check(self) -> bool:
        """True only on a live session that answers now."""
        ...

    async def terms(self, instrument: Instrument) -> Terms:
        """Look an instrument up. Raises `InstrumentRefused`, or a `RecoverableError` without a session."""
        ...

    async def room(self) -> None:
        """Return when one more message may go to IBKR without waiting in a queue: what waits there may be sent too late."""
        ...

    def next_order_id(self, at_least: int) -> int:
        """An order id that was never used, not below `at_least`. Raises a `RecoverableError` without a session."""
        ...

    async def place(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:
        """Send a new order, in the session it was accepted in and in no other.

        Raises `ConnectionError` when it was certainly not sent.
        """
        ...

    async def modify(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:
        """Send a working order again with another quantity or price, in the session in which it was seen working.

        In another one the id might be nobody's, and the modify a new order. Raises `ConnectionError` when it was not sent.
        """
        ...

    async def cancel(self, order_id: int) -> None:
        """Ask to end an order. Raises `ConnectionError` when it was not sent."""
        ...

    async def snapshot(self) -> Snapshot:
        """All orders and executions as IBKR has them now. Raises a `RecoverableError` when it cannot be had."""
        ...

    async def positions(self) -> list[PositionReported]:
        """All positions of the session's account as they are now."""
        ...
