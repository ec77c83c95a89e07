"""An unmodified ib_async 2.1.0, connected to a stand-in Gateway over TCP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ib_async import IB, LimitOrder, MarketOrder, Order, Stock, Trade
from support import eventually

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.simulation.orders import Event
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOL_LIST = Path(__file__).parents[2] / "config" / "symbols" / "sp500.txt"
SETTINGS = EmulatorSettings(symbols=("AAPL", "MSFT", "BRK.B", "F"), port=0, tick_interval_ms=20, limits=Limits.lifted())
MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
AAPL = Stock("AAPL", "SMART", "USD", conId=265598)
FARMS = [2104, 2106, 2158]


class Terminal:
    """A connected ib_async, and the errors it was told."""

    def __init__(self) -> None:
        self.ib = IB()
        self.ib.RaiseRequestErrors = True
        self.ib.client.MaxRequests = 0
        self.errors: list[tuple[int, int, str]] = []
        self.ib.errorEvent += lambda req_id, code, text, _contract: self.errors.append((req_id, code, text))

    @property
    def codes(self) -> list[int]:
        """The codes of all errors so far, without the notices at connecting."""
        return [code for _, code, _ in self.errors if code not in FARMS]

    def place(self, order: Order, contract: Any = AAPL) -> Trade:
        """Place an order, or change one."""
        return self.ib.placeOrder(contract, order)

    async def told(self, code: int) -> tuple[int, int, str]:
        """The first error of this code, once it has come."""
        await eventually(lambda: code in self.codes, what=f"error {code}")
        return next(error for error in self.errors if error[1] == code)


@contextlib.asynccontextmanager
async def connected(
    gateway: GatewayServer, client_id: int = 1, *, version: int = 178, **options: Any
) -> AsyncIterator[Terminal]:
    terminal = Terminal()
    terminal.ib.client.MaxClientVersion = version
    arguments = {"timeout": 5, "raiseSyncErrors": True, **options}
    await terminal.ib.connectAsync("127.0.0.1", gateway.port, clientId=client_id, **arguments)
    try:
        yield terminal
    finally:
        terminal.ib.disconnect()
        await eventually(lambda: client_id not in gateway.state.clients, what="the client to have left")


@contextlib.asynccontextmanager
async def session(
    clock: Clock = SYSTEM_CLOCK, settings: EmulatorSettings = SETTINGS, **options: Any
) -> AsyncIterator[tuple[GatewayServer, Terminal]]:
    async with running_gateway(settings, clock=clock) as gateway, connected(gateway, **options) as terminal:
        yield gateway, terminal


def limit(action: str, quantity: float, price: float, **fields: Any) -> Order:
    return LimitOrder(action, quantity, price, **{"tif": "GTC", **fields})


def market(action: str, quantity: float, **fields: Any) -> Order:
    return MarketOrder(action, quantity, **{"tif": "DAY", **fields})


def statuses(trade: Trade) -> list[str]:
    """The states an order went through, each once."""
    entries = [entry.status for entry in trade.log]
    return [status for place, status in enumerate(entries) if place == 0 or entries[place - 1] != status]


async def status(trade: Trade, wanted: str) -> None:
    await eventually(lambda: trade.orderStatus.status == wanted, what=f"the order to be {wanted}")


def happens(gateway: GatewayServer, events: list[Event]) -> None:
    """Events that were commanded of the engine become known to clients."""
    gateway.state.deliver(gateway.state.orders.told(events))
