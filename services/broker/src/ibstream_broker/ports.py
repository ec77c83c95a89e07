"""What the broker needs from whoever executes orders, and in which words whoever keeps its journal refuses."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

import msgspec

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OcaType, Reason, SubmitOrder
from ibstream.runtime.connection import Connection
from ibstream.runtime.errors import FatalError, IbstreamError, RecoverableError
from ibstream_broker.domain.inputs import OrderInput, PortfolioInput, PositionReported, Snapshot
from ibstream_broker.domain.terms import Terms as Terms  # noqa: PLC0414 - part of the port

OnInput = Callable[[OrderInput | PortfolioInput], None]
"""Called synchronously, in the order in which things happened."""


class InstrumentRefused(IbstreamError):  # noqa: N818 - named like the event
    """The instrument cannot be traded as it was named."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


class OrderRefused(IbstreamError):  # noqa: N818
    """The executor would not take the order that a what-if asked about."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Fenced(RecoverableError):  # noqa: N818 - a state of the world
    """Another broker has written under a newer lease: this one must not act any more."""


class JournalConflict(FatalError):  # noqa: N818
    """The journal is not where this broker left it. Someone else wrote to it; nothing may be guessed."""


class AlreadyJournalled(Exception):  # noqa: N818 - what is so
    """Nothing was written: orders that were to be new are in the journal already. `ids` names them."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"journalled before: {', '.join(ids)}")
        self.ids = ids


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it goes out: the request, its id, and its links to other orders."""

    order_id: int
    request: SubmitOrder
    account: str
    parent_id: int = 0
    """Order id of the bracket's parent; 0 for an order that has none."""
    oca_group: str = ""
    oca_type: OcaType = OcaType.CANCEL
    transmit: bool = True
    """False for all orders of a bracket but the last: the executor holds them until that one has come."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would do. Fields as in `WhatIfAnswered`."""

    initial_margin_change: Decimal | None = None
    initial_margin_after: Decimal | None = None
    maintenance_margin_change: Decimal | None = None
    maintenance_margin_after: Decimal | None = None
    equity_with_loan_change: Decimal | None = None
    equity_with_loan_after: Decimal | None = None
    commission: Decimal | None = None
    commission_min: Decimal | None = None
    commission_max: Decimal | None = None
    commission_currency: str = ""
    warning: str = ""


class BrokerPort(Connection, Protocol):
    """An executor of orders.

    What happens to orders comes through `listen`'s callback: late, repeated and in any order, as it does from IBKR; never for
    orders of which `place` raised. `place`, `modify` and `cancel` return when the request is on its way, not when it is
    answered. An order id is used for one order only. Orders live on when the session ends.

    The numbered cards of this contract stand in `docs/broker-contract.md`; one suite runs them against every executor.
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

    def known_terms(self, instrument: Instrument) -> Terms | None:
        """The terms of an instrument that was looked up before; None of any other."""
        ...

    def capacity(self) -> int:
        """How many messages may go to IBKR now without waiting in a queue, where they could be sent too late."""
        ...

    async def room(self) -> None:
        """Return when `capacity` is at least 1, and take one off it."""
        ...

    def next_order_id(self, at_least: int) -> int:
        """An order id that was never used, not below `at_least`. Raises a `RecoverableError` without a session."""
        ...

    async def place(self, placement: Placement, *, session: int) -> None:
        """Send a new order, in the session it was accepted in and in no other. Its instrument has been looked up.

        Raises `ConnectionError` when it was certainly not sent.
        """
        ...

    async def modify(self, placement: Placement, *, session: int) -> None:
        """Send a working order again with other terms, in the session in which it was seen working.

        In another one the id might be nobody's, and the modify a new order. It is transmitted, whatever the placement's
        `transmit` says. Raises `ConnectionError` when it was not sent.
        """
        ...

    async def cancel(self, order_id: int, *, session: int) -> None:
        """Ask to end an order, in the session in which its id was reconciled.

        Raises `ConnectionError` when it was not sent.
        """
        ...

    async def what_if(self, placement: Placement, *, sent: Callable[[], None]) -> Preview:
        """Ask what an order would do, and send none to work. The id is used up; `sent` is told once the question is out.

        Raises `OrderRefused` with IBKR's code, or a `RecoverableError` when there is no answer.
        """
        ...

    async def snapshot(self) -> Snapshot:
        """All orders and executions as IBKR has them now. Raises a `RecoverableError` when it cannot be had."""
        ...

    async def positions(self) -> list[PositionReported]:
        """All positions of the session's account, asked for anew. Raises a `RecoverableError` when they cannot be had."""
        ...
