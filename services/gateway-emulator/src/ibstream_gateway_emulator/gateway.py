"""The Gateway itself: market, account, orders, and who is connected. It survives every connection."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.simulation.account import SimulatedAccount
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.history import HistoryDesk
from ibstream_gateway_emulator.desks.orders import Notice, OrderDesk
from ibstream_gateway_emulator.desks.portfolio import PortfolioDesk
from ibstream_gateway_emulator.desks.quotes import QuoteDesk
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings


class Gateway:
    """Everything that lasts. Give the same object to a new server, and clients find their orders again.

    Not safe to share between threads, but for `market`.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        started_ns = clock.time_ns()
        self.settings = settings
        self.clock = clock
        self.account = settings.account
        self.faults = Faults()
        self.market = Market(settings.seed)
        self.master = InstrumentMaster(settings.symbols)
        account = SimulatedAccount(Decimal(settings.cash))
        self.engine = MatchingEngine(self.market, account, displayed_size=settings.partial_fills)
        self.orders = OrderDesk(self.engine, self.master, settings.account, started_ns=started_ns)
        self.quotes = QuoteDesk(self.market, settings, self.faults)
        self.history = HistoryDesk(self.market, settings, self.faults)
        self.portfolio = PortfolioDesk(self.engine, settings, self.faults, started_ns)
        self.clients: dict[int, Client] = {}
        """The connected clients, by client id."""

    def now_ns(self) -> int:
        """The Gateway's time, nanoseconds since the epoch."""
        return self.clock.time_ns()

    def join(self, client: Client) -> bool:
        """Let a client in; False if its id is in use."""
        if client.client_id in self.clients:
            return False
        self.clients[client.client_id] = client
        return True

    def leave(self, client: Client) -> None:
        """Forget a client that has gone; its orders stay."""
        if self.clients.get(client.client_id) is client:
            del self.clients[client.client_id]
        for desk in (self.quotes, self.history, self.portfolio):
            desk.leave(client)

    def step(self) -> None:
        """One tick of the clock: resting orders meet the market, and subscribers hear what is new."""
        now_ns = self.now_ns()
        self.deliver(self.orders.evaluate(now_ns))
        for desk in (self.quotes, self.history, self.portfolio):
            desk.step(now_ns)

    def deliver(self, notices: Iterable[Notice]) -> None:
        """Send each client what is for it, in order, and tell the followers of the portfolio about what traded."""
        batches: dict[int, list[Message]] = {}
        for notice in notices:
            batches.setdefault(notice.client_id, []).append(notice.message)
        for client_id, messages in batches.items():
            client = self.clients.get(client_id)
            if client is not None:
                client.outlet.send(messages)
        if self.orders.traded:
            traded, self.orders.traded = self.orders.traded, set()
            self.portfolio.traded(traded, self.now_ns())
