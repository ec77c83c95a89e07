"""What people say on `system:control`: halt and resume, positions that are accepted, orders that are settled."""

from __future__ import annotations

import asyncio

import structlog

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import Message
from ibstream.contracts.registry import SYSTEM_CONTROL
from ibstream.contracts.system import AcceptPositions, ConnectionState, Halt, Resume, SettleOrder
from ibstream_broker.desk import Desk
from ibstream_broker.domain.lifecycle import settled
from ibstream_broker.holdings import Holdings
from ibstream_broker.office import Office

CONTROL_BLOCK_S = 0.5
"""How long a read of `system:control` waits for something new."""

CONTROL_FIRST_BLOCK_S = 0.01
"""The same, until one comes back without entries: then the broker knows where things stand, and orders wait for that."""

_log = structlog.get_logger(__name__)


class Control:
    """Does what the stream says, from its first entry on: a halt outlives every restart."""

    def __init__(self, bus: Bus, office: Office, holdings: Holdings, desk: Desk) -> None:
        self._bus = bus
        self._office = office
        self._holdings = holdings
        self._desk = desk
        self.known = asyncio.Event()
        """Set once all that was said before has been heard: until then nobody knows whether trading is halted."""

    async def follow(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set. The journal must be loaded."""
        async with StreamReader(self._bus, {SYSTEM_CONTROL: BEGINNING}) as control:
            while not stop.is_set():
                block_s = CONTROL_BLOCK_S if self.known.is_set() else CONTROL_FIRST_BLOCK_S
                entries = await self._office.ledger.persist(lambda: control.read(block_s=block_s))  # noqa: B023 - called at once
                for entry in entries:
                    await self._obey(entry.message)
                if not entries and not self.known.is_set():
                    self.known.set()
                    self.enforce_halt()

    def enforce_halt(self) -> None:
        """Cancel what works, if a halt asks for it and it can be done now; else it is done when the session is ready."""
        standing = self._office.standing
        halt, is_ready = standing.halt, standing.state is ConnectionState.READY
        if halt is not None and halt.cancel_orders and is_ready and self.known.is_set():
            self._desk.cancel_every_order()

    async def _obey(self, order: Message) -> None:
        match order:
            case Halt():
                self._office.standing.halt = order
                _log.warning("broker.halted", who=order.who, why=order.why, cancel_orders=order.cancel_orders)
                if self.known.is_set():
                    self.enforce_halt()
            case Resume():
                self._office.standing.halt = None
                _log.warning("broker.resumed", who=order.who, why=order.why)
            case AcceptPositions():
                await self._holdings.accept(order)
            case SettleOrder():
                await self._settle(order)
        self._desk.look_again()

    async def _settle(self, order: SettleOrder) -> None:
        """End an order that stays unknown, as an operator says. At each start these words come again, and mean nothing more."""
        is_settled = False
        async with self._office.ledger.changing() as change:
            record = change.now(order.client_order_id)
            if record is not None:
                is_settled = change.step(settled(record, order, self._office.clock.now()))
        what: dict[str, str] = {"order": order.client_order_id, "who": order.who, "why": order.why}
        if is_settled:
            _log.warning("broker.order_settled", status=order.status, **what)
        elif self.known.is_set():
            text = "it has its outcome, is not known, or has not been unknown since before that was said"
            _log.warning("broker.order_not_settled", text=text, stands=record.status if record else "", **what)
