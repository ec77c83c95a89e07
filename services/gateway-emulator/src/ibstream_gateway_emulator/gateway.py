"""The Gateway itself: market, account, orders, and who is connected. It survives every connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.orders import Hours
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.control.journal import Journal
from ibstream_gateway_emulator.desks.clock import ClockDesk
from ibstream_gateway_emulator.desks.depth import DepthDesk
from ibstream_gateway_emulator.desks.history import HistoryDesk
from ibstream_gateway_emulator.desks.orders import Notice, OrderDesk
from ibstream_gateway_emulator.desks.portfolio import PortfolioDesk
from ibstream_gateway_emulator.desks.quotes import QuoteDesk
from ibstream_gateway_emulator.desks.real_time_bars import RealTimeBarDesk
from ibstream_gateway_emulator.desks.slots import Slots
from ibstream_gateway_emulator.desks.tick_by_tick import TickByTickDesk
from ibstream_gateway_emulator.domain import codes, opening
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.faults.front import Front
from ibstream_gateway_emulator.faults.gap import LinkGap
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import ManagedAccounts, Message, NextValidId
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import NO_REQ_ID
from ibstream_gateway_emulator.settings import EmulatorSettings


class Gateway:
    """Everything that lasts. Give the same object to a new server, and clients find their orders again.

    Not safe to share between threads, but for `market`. Raises `ConfigurationError` for symbols or holdings that cannot be.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        started_ns = clock.time_ns()
        self.settings = settings
        self.clock = clock
        self.account = settings.account
        self.journal = Journal(settings.journal_messages)
        self.faults = Faults(settings.seed, lambda state: self.journal.commanded(self.now_ns(), state, ended=True))
        self.gap = LinkGap()
        self.stepped_ns = started_ns
        """When the clock last ticked."""
        self.front: Front | None = None
        """The listening socket and its connections, while there is one."""
        self.market = Market(settings.seed)
        self.master = opening.instruments(settings)
        account = opening.account(settings, self.master)
        self.engine = MatchingEngine(
            self.market, account, displayed_size=settings.partial_fills, hours=Hours(settings.market_hours)
        )
        self.orders = OrderDesk(self.engine, self.master, lambda: self.settings, self.faults, started_ns=started_ns)
        lines = Slots(lambda: self.settings.limits.market_data_lines, lambda _: codes.TOO_MANY_TICKERS)
        self.quotes = QuoteDesk(self.market, lambda: self.settings, self.faults, lines)
        self.depth = DepthDesk(self.market, lambda: self.settings, self.faults)
        self.ticks = TickByTickDesk(self.market, lambda: self.settings, self.faults)
        self.real_time_bars = RealTimeBarDesk(self.market, lambda: self.settings, self.faults, lines)
        self._market_data = (self.quotes, self.depth, self.ticks, self.real_time_bars)
        self.history = HistoryDesk(self.market, lambda: self.settings.limits, self.faults)
        self.portfolio = PortfolioDesk(self.engine, self.master, lambda: self.settings, self.faults, started_ns)
        self.clock_desk = ClockDesk()
        self.clients: dict[int, Client] = {}
        """The connected clients, by client id."""

    def now_ns(self) -> int:
        """The Gateway's time, nanoseconds since the epoch."""
        return self.clock.time_ns()

    def join(self, client: Client) -> Code | None:
        """Let a client in, or say why not."""
        allowed = self.settings.limits.clients
        if client.client_id in self.clients:
            return codes.CLIENT_ID_IN_USE
        if allowed is not None and len(self.clients) >= allowed:
            return codes.too_many_clients(allowed)
        self.clients[client.client_id] = client
        self.faults.reconnected(client.client_id)
        return None

    def welcome(self, client: Client) -> Iterator[Message]:
        """What a client is told once it is in: accounts, its next order id, and how things stand."""
        yield ManagedAccounts(self.account)
        yield NextValidId(self.orders.next_order_id(client.client_id))
        for notice in self.faults.notices(self.settings.farms):
            yield notice.about(NO_REQ_ID)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone; its orders stay."""
        if self.clients.get(client.client_id) is client:
            del self.clients[client.client_id]
        for desk in (self.portfolio, self.clock_desk):
            desk.leave(client)
        self.forget_market_data(client)

    def forget_market_data(self, client: Client) -> None:
        """End all that streams to a client: quotes, books, ticks, bars."""
        for desk in (self.history, *self._market_data):
            desk.leave(client)

    def step(self) -> None:
        """One tick of the clock: resting orders meet the market, and subscribers hear what is new."""
        now_ns = self.now_ns()
        if self.faults.is_link_lost:
            self.gap.unseen.extend(self.engine.evaluate(now_ns))
        else:
            self.deliver(self.orders.evaluate(now_ns))
            self.portfolio.step(now_ns)
        for desk in self._market_data:
            desk.step(now_ns)
        self.history.step(now_ns)

    def lose(self, client_id: int, order: PlaceOrder, why: str) -> None:
        """An order of a client, or a change, disappears, by the fault of that name; the journal alone knows."""
        if not order.what_if:
            is_change = self.orders.records.of_client(client_id, order.order_id) is not None
            self.journal.lost(self.now_ns(), client_id, order, why, is_change=is_change)

    def deliver(self, notices: Iterable[Notice]) -> None:
        """Send each client what is for it, in order, and tell the followers of the portfolio about what traded."""
        batches: dict[int, list[Message]] = {}
        for notice in notices:
            batches.setdefault(notice.client_id, []).append(notice.message)
        for client_id, messages in batches.items():
            client = self.clients.get(client_id)
            if client is not None:
                client.outlet.send(self.faults.told_of_orders(client_id, messages))
        traded = self.orders.take_traded()
        if traded:
            self.portfolio.traded(traded, self.now_ns())
