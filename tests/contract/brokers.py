"""The three executors of orders, each ready to trade, for tests that run against all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from contract.gateways import SYMBOLS, standing_in
from support import eventually

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import OcaType, OrderType, Side, SubmitOrder, TimeInForce
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.expiries import option_expiries
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.rules import to_price
from ibstream.simulation.sessions import new_york_date
from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter
from ibstream_broker.adapters.simulated import SimulatedBroker
from ibstream_broker.adapters.stub import PaperStubBroker
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    PortfolioInput,
    StatusReported,
)
from ibstream_broker.ports import BrokerPort, Placement, Preview

T = TypeVar("T")

CLIENT_ID = 1
SEED = 7
"""Of the market, here and in the stand-in Gateway: both show the same prices."""
MARKET = Market(SEED)
LOW, HIGH = Decimal("1.00"), Decimal("9000.00")
"""A price that no stock here comes down to, and one that none comes up to."""


def submit(name: str, **details: Any) -> SubmitOrder:
    """A market order for 10 AAPL; with a `limit_price`, a limit order."""
    limited = details.get("limit_price") is not None
    told: dict[str, Any] = {
        "client_order_id": name,
        "strategy": "test",
        "instrument": Instrument(symbol=details.pop("symbol", "AAPL")),
        "side": Side.BUY,
        "quantity": Decimal(10),
        "order_type": OrderType.LIMIT if limited else OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "requested_at": SYSTEM_CLOCK.now(),
        **details,
    }
    return SubmitOrder(**told)


def resting(name: str, **details: Any) -> SubmitOrder:
    """A limit order to buy at a dollar, which nobody will sell for."""
    return submit(name, **{"limit_price": LOW, **details})


def today() -> date:
    """New York's."""
    return new_york_date(SYSTEM_CLOCK.time_ns())


def future(root: str = "ES", month: int = 1) -> Instrument:
    """A contract month that is not the nearest, so that it does not expire under a test."""
    listing = InstrumentMaster(()).futures(root, today())[month]
    return Instrument(
        symbol=listing.ib_symbol, security_type="FUT", exchange=listing.exchange, expiry=listing.contract_month
    )


def option(strike: str = "250", right: str = "C", symbol: str = "AAPL") -> Instrument:
    """An option of a year ahead."""
    expiry = f"{option_expiries(today())[-1]:%Y%m%d}"
    return Instrument(symbol=symbol, security_type="OPT", expiry=expiry, strike=Decimal(strike), right=right)  # type: ignore[arg-type]


def pair(symbol: str = "EUR", currency: str = "USD") -> Instrument:
    """A currency pair."""
    return Instrument(symbol=symbol, security_type="CASH", exchange="IDEALPRO", currency=currency)


def combo(exchange: str = "SMART") -> Instrument:
    """Buying it buys one AAPL and sells two MSFT."""
    legs = (
        ComboLeg(instrument=Instrument(symbol="AAPL"), side=Side.BUY),
        ComboLeg(instrument=Instrument(symbol="MSFT"), side=Side.SELL, ratio=2),
    )
    return Instrument(symbol="AAPL", security_type="BAG", exchange=exchange, legs=legs)


def last(key: str = "AAPL") -> Decimal:
    """The last trade of an instrument of the simulation, by its key, as every executor over it sees it now."""
    return to_price(MARKET.quote(key, SYSTEM_CLOCK.time_ns()).last, key)


@dataclass
class Desk:
    """A port and everything it has said."""

    port: BrokerPort
    heard: list[OrderInput | PortfolioInput] = field(default_factory=list)
    placed: dict[int, Placement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port.listen(self.heard.append)

    async def placement(self, request: SubmitOrder, **link: Any) -> Placement:
        """The order as the broker sends it: its instrument looked up, under the next order id."""
        await self.port.terms(request.instrument)
        details: dict[str, Any] = {"account": self.port.account, **link}
        return Placement(order_id=self.port.next_order_id(1), request=request, **details)

    async def place(self, request: SubmitOrder, **link: Any) -> int:
        """Send a new order, linked as told; return its order id."""
        placement = await self.placement(request, **link)
        self.placed[placement.order_id] = placement
        await self.port.place(placement, session=self.port.session)
        return placement.order_id

    async def modify(self, order_id: int, request: SubmitOrder) -> None:
        """Send an order again with other terms, linked as it was placed."""
        before = self.placed[order_id]
        changed = Placement(
            order_id=order_id,
            request=request,
            account=before.account,
            parent_id=before.parent_id,
            oca_group=before.oca_group,
            oca_type=before.oca_type,
            transmit=before.transmit,
        )
        await self.port.modify(changed, session=self.port.session)

    async def cancel(self, order_id: int) -> None:
        """Ask to end an order, in the session that there is."""
        await self.port.cancel(order_id, session=self.port.session)

    async def what_if(self, request: SubmitOrder) -> Preview:
        """Ask what an order would do; whoever asks is told that the question is out before it is answered."""
        out: list[bool] = []
        preview = await self.port.what_if(await self.placement(request), sent=lambda: out.append(True))
        assert out == [True]
        return preview

    async def bracket(self, parent: SubmitOrder, *children: SubmitOrder) -> list[int]:
        """Send a parent and its children, the last of which transmits them all; return the order ids."""
        ids = [await self.place(parent, transmit=False)]
        for number, child in enumerate(children, start=1):
            ids.append(await self.place(child, parent_id=ids[0], transmit=number == len(children)))
        return ids

    async def group(self, name: str, oca_type: OcaType, *requests: SubmitOrder) -> list[int]:
        """Send the orders of a one-cancels-all group; return the order ids."""
        return [await self.place(one, oca_group=name, oca_type=oca_type) for one in requests]

    async def reconnect(self) -> None:
        """End the session and make another with the same client id."""
        await self.port.close()
        await self.port.connect(CLIENT_ID)

    async def settled(self) -> None:
        """Wait until everything that was sent has been answered: a round trip."""
        await self.port.snapshot()

    async def hears(self, kind: type[T], fits: Callable[[T], bool] = lambda _: True) -> T:
        """Wait until an input of this kind fits, and return it."""
        found = await eventually(
            lambda: [one for one in list(self.heard) if isinstance(one, kind) and fits(one)],
            within_s=15,
            what=f"{kind.__name__} among {[type(one).__name__ for one in self.heard[-12:]]}",
        )
        first: T = found[0]
        return first

    async def status(self, order_id: int, word: str) -> StatusReported:
        """Wait for an orderStatus."""
        return await self.hears(StatusReported, lambda one: (one.order_id, one.status) == (order_id, word))

    async def seen(self, name: str, fits: Callable[[OrderSeen], bool] = lambda _: True) -> OrderSeen:
        """Wait until IBKR shows the order as its own."""
        return await self.hears(OrderSeen, lambda one: one.order_ref == name and fits(one))

    async def executed(self, name: str, security_type: str = "") -> Executed:
        """Wait for an execution of the order."""
        return await self.hears(
            Executed, lambda one: one.order_ref == name and security_type in ("", one.security_type)
        )

    async def charged(self, executed: Executed) -> CommissionReported:
        """Wait until an execution's cost is told."""
        return await self.hears(CommissionReported, lambda one: one.exec_id == executed.exec_id)

    async def code(self, order_id: int) -> CodeReported:
        """Wait for a code on the order."""
        return await self.hears(CodeReported, lambda one: one.order_id == order_id)

    def statuses(self, order_id: int) -> list[str]:
        """The words of an order's statuses so far, repetitions left out."""
        words = [one.status for one in self.heard if isinstance(one, StatusReported) and one.order_id == order_id]
        return [word for place, word in enumerate(words) if place == 0 or words[place - 1] != word]

    def executions(self, name: str) -> dict[str, Executed]:
        """An order's executions so far by their ids; one that was told twice is there once."""
        return {one.exec_id: one for one in self.heard if isinstance(one, Executed) and one.order_ref == name}


@contextlib.asynccontextmanager
async def trading(port: BrokerPort) -> AsyncIterator[Desk]:
    """A desk in a session of the port's."""
    desk = Desk(port)
    await port.connect(CLIENT_ID)
    try:
        yield desk
    finally:
        await port.close()


@contextlib.asynccontextmanager
async def simulated() -> AsyncIterator[Desk]:
    """The matching engine in this process."""
    engine = MatchingEngine(MARKET)
    async with trading(SimulatedBroker(engine, InstrumentMaster(SYMBOLS), clock=SYSTEM_CLOCK)) as desk:
        yield desk


@contextlib.asynccontextmanager
async def stub() -> AsyncIterator[Desk]:
    """Fixed answers."""
    async with trading(PaperStubBroker(clock=SYSTEM_CLOCK)) as desk:
        yield desk


@contextlib.asynccontextmanager
async def gateway() -> AsyncIterator[Desk]:
    """The real adapter, with unmodified ib_async, over TCP to a stand-in Gateway."""
    async with standing_in() as settings, trading(IBKRBrokerAdapter(settings, clock=SYSTEM_CLOCK)) as desk:
        yield desk


Broker = Callable[[], AbstractAsyncContextManager[Desk]]
"""An executor ready to trade."""

EVERY = pytest.mark.parametrize("broker", [simulated, stub, gateway])
MATCHING = pytest.mark.parametrize("broker", [simulated, gateway])
"""Those that have a market: the stub fills everything at once and knows every instrument, by design."""
