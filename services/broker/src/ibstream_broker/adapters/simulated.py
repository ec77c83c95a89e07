"""Orders executed by the matching engine over the simulated market, in this process: product code, not a mock.

    simulated               the port
      simulated_instruments   what requests name, as the simulation names it
      simulated_tickets       from an order to a ticket of the engine
      simulated_orders        orders and executions that are remembered
      simulated_telling       from the engine's events to what IBKR would say
      simulated_portfolio     positions, account values, profits

Its account, its orders and its memory of them live as long as the process: `Snapshot.volatile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.simulation import orders as sim
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import new_york_date
from ibstream_broker.adapters.order_ids import OrderIds
from ibstream_broker.adapters.simulated_instruments import Found, InstrumentBook
from ibstream_broker.adapters.simulated_orders import PENDING_SUBMIT, PRE_SUBMITTED, Order, OrderMemory
from ibstream_broker.adapters.simulated_portfolio import BASE_CURRENCY, SimulatedPortfolio
from ibstream_broker.adapters.simulated_telling import OrderTeller
from ibstream_broker.adapters.simulated_tickets import ticket_of
from ibstream_broker.domain.inputs import PositionReported, Snapshot
from ibstream_broker.ports import InstrumentRefused, OnInput, OrderRefused, Placement, Preview, Terms

ACCOUNT = "SIMULATED"
TICK_INTERVAL_S = 0.25
"""How often resting orders are matched, as often as the simulated feed ticks."""

CAPACITY = 1_000_000
"""Messages that may go out at once. There is no Gateway whose limit could be met: what is sent is executed in the same call."""

_NO_CONTRACT, _INVALID = 200, 321
_NO_SMART_COMBO = 360, "What-If orders are not supported for smart combination orders."
_CENT = Decimal("0.01")


class SimulatedBroker:
    """An executor that is always there. Reports what happens as IBKR would: acknowledged, working, executed, charged."""

    def __init__(self, engine: MatchingEngine, instruments: InstrumentMaster, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._instruments = InstrumentBook(instruments)
        self._portfolio = SimulatedPortfolio(ACCOUNT, engine, self._instruments, clock.time_ns())
        self._orders = OrderMemory(ACCOUNT, self._stop_of)
        self._teller = OrderTeller(ACCOUNT, self._orders, self._instruments, self._portfolio.traded)
        self._order_ids = OrderIds()
        self._ticking: asyncio.Task[None] | None = None
        self.session = 0
        self.gateway = ""
        self.account = ACCOUNT

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go."""
        self._teller.on_input = self._portfolio.on_input = on_input

    async def connect(self, client_id: int) -> None:
        """Begin to match resting orders as time goes by."""
        await self.close()
        self.session += 1
        self._orders.client_id = client_id
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="simulated-matching")
        self._portfolio.begin(self._now_ns())

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it before `close`. Raises what made the matching fail, which would be an error in it."""
        ticking = self._ticking
        if ticking is not None:
            await asyncio.wait([ticking])
            if not ticking.cancelled():
                ticking.result()
        return ConnectionEvent(Trigger.LOST, "closed")

    async def close(self) -> None:
        """Stop reporting. Orders stay in the engine and are matched again after the next `connect`."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def health_check(self) -> bool:
        """Whether it is connected, and orders are being matched."""
        return self._ticking is not None and not self._ticking.done()

    async def terms(self, instrument: Instrument) -> Terms:
        """Look an instrument up."""
        self._require_session()
        return self._find(instrument).terms

    def known_terms(self, instrument: Instrument) -> Terms | None:
        """The terms of one of the last 10,000 instruments that were looked up."""
        found = self._instruments.known(instrument)
        return None if found is None else found.terms

    def capacity(self) -> int:
        """Always the same: `CAPACITY`."""
        return CAPACITY

    async def room(self) -> None:
        """There always is."""

    def next_order_id(self, at_least: int) -> int:
        """The next number."""
        self._require_session()
        return self._order_ids.take(at_least)

    async def place(self, placement: Placement, *, session: int) -> None:
        """Hand the order to the engine."""
        self._require_session(session)
        self._order_ids.use(placement.order_id)
        found = self._tradable(placement)
        if found is None:
            return
        events = self._engine.submit(ticket_of(placement, found), self._now_ns())
        if not isinstance(events[0], sim.Rejected):
            request = placement.request
            status = PRE_SUBMITTED if placement.transmit else PENDING_SUBMIT
            self._orders.add(Order(request, placement.order_id, found.traded, request.quantity, status))
        self._teller.tell(events)

    async def modify(self, placement: Placement, *, session: int) -> None:
        """Put other terms in the place of a working order's; it is transmitted, whatever `transmit` says."""
        self._require_session(session)
        found = self._tradable(placement)
        if found is None:
            return
        ticket = ticket_of(msgspec.structs.replace(placement, transmit=True), found)
        events = self._engine.replace(ticket, self._now_ns())
        order = self._orders.working(placement.order_id)
        if order is not None and not isinstance(events[0], sim.Refused):
            order.request, order.quantity, order.told = placement.request, placement.request.quantity, False
        self._teller.tell(events)

    async def cancel(self, order_id: int, *, session: int) -> None:
        """End a working order."""
        self._require_session(session)
        ended = self._orders.ended(order_id)
        if ended is None:
            self._teller.tell(self._engine.cancel(order_id, self._now_ns()))
        else:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {ended.status}."
            self._teller.code(order_id, 10148, text)

    async def what_if(self, placement: Placement, *, sent: Callable[[], None]) -> Preview:
        """Ask the engine about the order by itself. As at IBKR, it is not done for combos that are routed by SMART."""
        self._require_session()
        sent()
        found = self._find(placement.request.instrument)
        if found.legs and found.traded.exchange == "SMART":
            raise OrderRefused(*_NO_SMART_COMBO)
        alone = Placement(order_id=placement.order_id, request=placement.request, account=placement.account)
        answer = self._engine.what_if(ticket_of(alone, found), self._now_ns())
        if isinstance(answer, sim.Rejected):
            raise OrderRefused(answer.code, answer.text)
        return _preview(answer)

    async def snapshot(self) -> Snapshot:
        """All that works, and the last of what has ended and was executed."""
        self._require_session()
        return Snapshot(
            open_orders=self._orders.open_orders(),
            completed_orders=self._orders.completed_orders(),
            executions=self._orders.executions(),
            commissions=self._orders.commissions(),
            next_order_id=self._order_ids.next,
            volatile=True,
        )

    async def positions(self) -> list[PositionReported]:
        """What the account holds."""
        self._require_session()
        return self._portfolio.positions()

    def tell(self, events: Sequence[sim.Event]) -> None:
        """Report what the engine was made to do by somebody else: a fill, a cancel or a correction on command."""
        self._teller.tell(events)

    def _now_ns(self) -> int:
        now_ns = self._clock.time_ns()
        self._portfolio.roll(now_ns)
        return now_ns

    def _stop_of(self, order_id: int) -> Decimal | None:
        order = self._engine.order(order_id)
        return None if order is None else order.stop_price

    def _require_session(self, session: int | None = None) -> None:
        if self._ticking is None:
            raise GatewayUnavailable("the simulated broker is not connected")
        if session is not None and session != self.session:
            raise GatewayUnavailable(f"session {session}, in which this was decided, has ended; nothing was sent")

    def _find(self, instrument: Instrument) -> Found:
        known = self._instruments.known(instrument)
        return known or self._instruments.find(instrument, new_york_date(self._clock.time_ns()))

    def _tradable(self, placement: Placement) -> Found | None:
        """What the order is for; None, and a code, where a Gateway would refuse it before it looks at the order."""
        if placement.account not in ("", ACCOUNT):
            self._teller.code(placement.order_id, _INVALID, f"Invalid account code '{placement.account}'.")
            return None
        try:
            return self._find(placement.request.instrument)
        except InstrumentRefused as refused:
            self._teller.code(placement.order_id, _NO_CONTRACT, refused.text)
            return None

    async def _tick_for_ever(self) -> None:
        while True:
            await self._clock.sleep(TICK_INTERVAL_S)
            now_ns = self._now_ns()
            self._teller.tell(self._engine.evaluate(now_ns))
            self._portfolio.step(now_ns)


def _preview(answer: sim.WhatIf) -> Preview:
    """In the port's words, to the cent."""
    return Preview(
        initial_margin_change=_cents(answer.initial_margin_after - answer.initial_margin_before),
        initial_margin_after=_cents(answer.initial_margin_after),
        maintenance_margin_change=_cents(answer.maintenance_margin_after - answer.maintenance_margin_before),
        maintenance_margin_after=_cents(answer.maintenance_margin_after),
        equity_with_loan_change=_cents(answer.equity_with_loan_after - answer.equity_with_loan_before),
        equity_with_loan_after=_cents(answer.equity_with_loan_after),
        commission=answer.commission,
        commission_min=answer.commission_min,
        commission_max=answer.commission_max,
        commission_currency=BASE_CURRENCY,
        warning=answer.warning_text,
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT)
