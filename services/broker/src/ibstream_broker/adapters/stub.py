"""Orders answered with fixed demo data: every order fills at once, whole, at 100.00. For trying a strategy's plumbing."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import SubmitOrder
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CommissionReported,
    Executed,
    OrderSeen,
    PositionReported,
    Snapshot,
    StatusReported,
)
from ibstream_broker.ports import OnInput, Terms

ACCOUNT = "STUB"
PRICE = Decimal("100.00")
COMMISSION = Decimal("1.00")
CASH = "1000000.00"


class PaperStubBroker:
    """Knows every symbol, fills every order, holds nothing, and forgets all of it with the process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._next_order_id = 1
        self._connected = False
        self._ended = asyncio.Event()
        self._on_input: OnInput = lambda _: None
        self._executions: list[Executed] = []
        self._commissions: list[CommissionReported] = []
        self._completed: list[OrderSeen] = []
        self.session = 0
        self.gateway = ""
        self.account = ACCOUNT

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go."""
        self._on_input = on_input

    async def connect(self, client_id: int) -> None:  # noqa: ARG002 - it has one client
        """Report the fixed account."""
        self._ended.clear()
        self._connected = True
        self.session += 1
        self._on_input(AccountValueReported(account=ACCOUNT, tag="NetLiquidation", value=CASH, currency="USD"))

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it before `close`."""
        await self._ended.wait()
        return ConnectionEvent(Trigger.LOST, "closed")

    async def close(self) -> None:
        """End the session."""
        self._connected = False
        self._ended.set()

    async def health_check(self) -> bool:
        """Whether it is connected."""
        return self._connected

    async def terms(self, instrument: Instrument) -> Terms:  # noqa: ARG002 - all are alike
        """Every symbol, on the cent."""
        return Terms(con_id=0, price_tick=Decimal("0.01"))

    async def room(self) -> None:
        """There always is."""

    def next_order_id(self, at_least: int) -> int:
        """The next number."""
        order_id = max(self._next_order_id, at_least)
        self._next_order_id = order_id + 1
        return order_id

    async def place(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:  # noqa: ARG002
        """Fill it: a market order at the fixed price, a limit order at its limit."""
        self._require_session()
        if session != self.session:
            raise GatewayUnavailable("the session in which the order was accepted has ended")
        executed = Executed(
            exec_id=f"stub.{self._clock.time_ns():x}.{order_id:x}.01",
            order_ref=request.client_order_id,
            order_id=order_id,
            perm_id=order_id,
            symbol=request.instrument.symbol,
            side=request.side,
            quantity=request.quantity,
            price=request.limit_price or PRICE,
            account=ACCOUNT,
            exchange="STUB",
            executed_at=self._clock.now(),
        )
        charged = CommissionReported(exec_id=executed.exec_id, commission=COMMISSION, currency="USD")
        seen = OrderSeen(order_ref=request.client_order_id, order_id=order_id, perm_id=order_id, status="Filled")
        self._executions.append(executed)
        self._commissions.append(charged)
        self._completed.append(seen)
        self._on_input(seen)
        self._on_input(executed)
        self._on_input(StatusReported(order_id=order_id, perm_id=order_id, status="Filled", filled=request.quantity))
        self._on_input(charged)

    async def modify(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:  # noqa: ARG002
        """Nothing is ever left to modify."""
        self._require_session()

    async def cancel(self, order_id: int) -> None:  # noqa: ARG002
        """Nothing is ever left to cancel."""
        self._require_session()

    async def snapshot(self) -> Snapshot:
        """Everything since the process started."""
        self._require_session()
        return Snapshot(
            open_orders=[],
            completed_orders=list(self._completed),
            executions=list(self._executions),
            commissions=list(self._commissions),
        )

    async def positions(self) -> list[PositionReported]:
        """It holds nothing."""
        return []

    def _require_session(self) -> None:
        if not self._connected:
            raise GatewayUnavailable("the stub is not connected")
