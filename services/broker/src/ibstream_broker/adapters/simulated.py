"""Orders executed by the matching engine over the simulated market, in this process: product code, not a mock.

Its account and its working orders live as long as the process.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import assert_never

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Reason, SubmitOrder
from ibstream.ibkr import GatewayUnavailable
from ibstream.ibkr.codes import Verdict, order_verdict
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.simulation import orders as sim
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.matching import MatchingEngine
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CodeReported,
    CommissionReported,
    Executed,
    OrderSeen,
    PositionReported,
    Snapshot,
    StatusReported,
)
from ibstream_broker.ports import InstrumentRefused, OnInput, Terms

ACCOUNT = "SIMULATED"
PRICE_TICK = Decimal("0.01")
TICK_INTERVAL_S = 0.25
"""How often resting orders are matched, as often as the simulated feed ticks."""


class SimulatedBroker:
    """An executor that is always there. Reports what happens as IBKR would: acknowledged, working, executed, charged."""

    def __init__(self, engine: MatchingEngine, instruments: InstrumentMaster, *, clock: Clock) -> None:
        self._engine = engine
        self._instruments = instruments
        self._clock = clock
        self._orders: dict[int, SubmitOrder] = {}
        self._next_order_id = 1
        self._connected = False
        self._ended = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
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
        """Begin to match resting orders as time goes by."""
        self._ended.clear()
        self._connected = True
        self.session += 1
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="simulated-matching")
        self._report_account()

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it before `close`."""
        await self._ended.wait()
        return ConnectionEvent(Trigger.LOST, "closed")

    async def close(self) -> None:
        """Stop reporting. Orders stay in the engine and are matched again after the next `connect`."""
        self._connected = False
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        self._ended.set()

    async def health_check(self) -> bool:
        """Whether it is connected."""
        return self._connected

    async def terms(self, instrument: Instrument) -> Terms:
        """Look an instrument up."""
        listing = self._instruments.stock(instrument.symbol)
        if listing is None:
            raise InstrumentRefused(Reason.UNKNOWN_INSTRUMENT, f"the simulated market has no {instrument.symbol}")
        return Terms(con_id=listing.con_id, price_tick=PRICE_TICK)

    async def room(self) -> None:
        """There always is."""

    def next_order_id(self, at_least: int) -> int:
        """The next number."""
        order_id = max(self._next_order_id, at_least)
        self._next_order_id = order_id + 1
        return order_id

    async def place(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:  # noqa: ARG002
        """Hand the order to the engine."""
        self._require_session()
        if session != self.session:
            raise GatewayUnavailable("the session in which the order was accepted has ended")
        self._orders[order_id] = request
        ticket = sim.Ticket(
            order_id=order_id,
            symbol=request.instrument.symbol,
            side=request.side,
            quantity=request.quantity,
            order_type=sim.OrderType(request.order_type),
            limit_price=request.limit_price,
            time_in_force=sim.TimeInForce(request.time_in_force),
            outside_rth=request.outside_regular_hours,
        )
        self._report(self._engine.submit(ticket, self._clock.time_ns()))

    async def modify(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:  # noqa: ARG002
        """Change a working order."""
        self._require_session()
        if session != self.session:
            raise GatewayUnavailable("the session in which the order was seen working has ended")
        now_ns = self._clock.time_ns()
        events = self._engine.modify(order_id, now_ns, quantity=request.quantity, limit_price=request.limit_price)
        if not isinstance(events[0], sim.Refused):
            self._orders[order_id] = request
        self._report(events)

    async def cancel(self, order_id: int) -> None:
        """End a working order."""
        self._require_session()
        self._report(self._engine.cancel(order_id, self._clock.time_ns()))

    async def snapshot(self) -> Snapshot:
        """Everything since the process started."""
        self._require_session()
        return Snapshot(
            open_orders=[self._seen(_number(order.ticket.order_id)) for order in self._engine.working],
            completed_orders=list(self._completed),
            executions=list(self._executions),
            commissions=list(self._commissions),
        )

    async def positions(self) -> list[PositionReported]:
        """What the account holds."""
        held = self._engine.account.positions.values()
        return [self._position(position.symbol) for position in held if position.quantity]

    def _require_session(self) -> None:
        if not self._connected:
            raise GatewayUnavailable("the simulated broker is not connected")

    async def _tick_for_ever(self) -> None:
        while True:
            await self._clock.sleep(TICK_INTERVAL_S)
            self._report(self._engine.evaluate(self._clock.time_ns()))

    def _report(self, events: list[sim.Event]) -> None:
        for event in events:
            self._report_one(_number(event.order_id), event)

    def _report_one(self, order_id: int, event: sim.Event) -> None:
        """In IBKR's words."""
        match event:
            case sim.Accepted() | sim.Replaced() | sim.Reduced():
                self._on_input(self._seen(order_id))
            case sim.Held():
                self._on_input(self._status(order_id, "PreSubmitted", self._filled(order_id)))
            case sim.Working():
                self._on_input(self._status(order_id, "Submitted", self._filled(order_id)))
            case sim.Filled():
                self._report_fill(order_id, event)
            case sim.Cancelled():
                self._complete(order_id, "Cancelled")
                filled = self._orders[order_id].quantity - event.remaining
                self._on_input(self._status(order_id, "Cancelled", filled))
            case sim.LegFilled() | sim.Corrected() | sim.Rebooked():
                raise AssertionError("the broker sends no combos and corrects nothing")
            case sim.Rejected() | sim.Refused():
                self._on_input(_code(order_id, event.code, event.text))
            case _:
                assert_never(event)

    def _report_fill(self, order_id: int, fill: sim.Filled) -> None:
        executed = Executed(
            exec_id=fill.exec_id,
            order_ref=self._orders[order_id].client_order_id,
            order_id=order_id,
            perm_id=order_id,
            symbol=fill.symbol,
            side=fill.side,
            quantity=fill.quantity,
            price=fill.price,
            account=ACCOUNT,
            exchange="SIMULATED",
            executed_at=self._clock.now(),
        )
        realized_pnl = None if fill.realized_pnl is None else fill.realized_pnl * fill.usd_rate
        charged = CommissionReported(
            exec_id=fill.exec_id, commission=fill.commission, currency="USD", realized_pnl=realized_pnl
        )
        self._executions.append(executed)
        self._commissions.append(charged)
        self._on_input(executed)
        if not fill.remaining:
            self._complete(order_id, "Filled")
            self._on_input(self._status(order_id, "Filled", fill.cumulative_quantity))
        self._on_input(charged)
        self._on_input(self._position(fill.symbol))
        self._report_account()

    def _complete(self, order_id: int, status: str) -> None:
        request = self._orders[order_id]
        self._completed.append(OrderSeen(order_ref=request.client_order_id, perm_id=order_id, status=status))

    def _seen(self, order_id: int) -> OrderSeen:
        request = self._orders[order_id]
        return OrderSeen(
            order_ref=request.client_order_id,
            order_id=order_id,
            perm_id=order_id,
            status="Submitted",
            quantity=request.quantity,
            limit_price=request.limit_price,
        )

    def _status(self, order_id: int, status: str, filled: Decimal) -> StatusReported:
        return StatusReported(order_id=order_id, perm_id=order_id, status=status, filled=filled)

    def _filled(self, order_id: int) -> Decimal:
        order = self._engine.order(order_id)
        return order.filled if order is not None else Decimal(0)

    def _position(self, symbol: str) -> PositionReported:
        held, listing = self._engine.account.position(symbol), self._instruments.by_symbol(symbol)
        return PositionReported(
            account=ACCOUNT,
            con_id=listing.con_id if listing is not None else 0,
            symbol=symbol,
            security_type="STK",
            currency="USD",
            quantity=held.quantity,
            average_cost=held.average_cost,
        )

    def _report_account(self) -> None:
        values = self._engine.values(self._clock.time_ns())
        told = {
            "NetLiquidation": values.net_liquidation,
            "TotalCashValue": values.cash,
            "AvailableFunds": values.available_funds,
            "BuyingPower": values.buying_power,
        }
        for tag, value in told.items():
            self._on_input(AccountValueReported(account=ACCOUNT, tag=tag, value=f"{value:.2f}", currency="USD"))


def _number(order_id: sim.OrderId) -> int:
    return int(order_id)


def _code(order_id: int, code: int, text: str) -> CodeReported:
    verdict = order_verdict(code, text, acknowledged=False)
    return CodeReported(
        order_id=order_id,
        code=code,
        text=text,
        cancelled=verdict is Verdict.CANCELLED,
        dead_if_new=verdict is Verdict.DEAD,
        advice=verdict is Verdict.ALIVE,
    )
