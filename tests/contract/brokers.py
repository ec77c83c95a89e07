"""The three executors of orders, each ready to trade, for tests that run against all of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from contract.gateways import SYMBOLS, standing_in
from support import eventually

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderType, Side, SubmitOrder, TimeInForce
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter
from ibstream_broker.adapters.simulated import SimulatedBroker
from ibstream_broker.adapters.stub import PaperStubBroker
from ibstream_broker.domain.inputs import CodeReported, Executed, OrderInput, OrderSeen, PortfolioInput, StatusReported
from ibstream_broker.ports import BrokerPort

T = TypeVar("T")

CLIENT_ID = 1
SEED = 7


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
    return submit(name, **{"limit_price": Decimal("1.00"), **details})


@dataclass
class Desk:
    """A port and everything it has said."""

    port: BrokerPort
    heard: list[OrderInput | PortfolioInput] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port.listen(self.heard.append)

    async def place(self, request: SubmitOrder) -> int:
        """Look the instrument up, and send the order as the broker does; return its order id."""
        await self.port.terms(request.instrument)
        order_id = self.port.next_order_id(1)
        await self.port.place(order_id, request, self.port.account, session=self.port.session)
        return order_id

    async def reconnect(self) -> None:
        """End the session and make another with the same client id."""
        await self.port.close()
        await self.port.connect(CLIENT_ID)

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

    async def seen(self, name: str) -> OrderSeen:
        """Wait until IBKR shows the order as its own."""
        return await self.hears(OrderSeen, lambda one: one.order_ref == name)

    async def executed(self, name: str) -> Executed:
        """Wait for an execution of the order."""
        return await self.hears(Executed, lambda one: one.order_ref == name)

    async def code(self, order_id: int) -> CodeReported:
        """Wait for a code on the order."""
        return await self.hears(CodeReported, lambda one: one.order_id == order_id)


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
    engine = MatchingEngine(Market(SEED))
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
