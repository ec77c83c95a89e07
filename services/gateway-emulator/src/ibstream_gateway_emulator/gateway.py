"""The Gateway itself: market, account, orders, and who is connected. It survives every connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.simulation.account import Position, SimulatedAccount
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import NEW_YORK, from_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import portfolio
from ibstream_gateway_emulator.domain.order_desk import Notice, OrderDesk
from ibstream_gateway_emulator.protocol.messages import (
    AccountSummary,
    AccountUpdateMulti,
    AccountUpdateTime,
    AccountValue,
    Message,
)
from ibstream_gateway_emulator.settings import EmulatorSettings

ACCOUNT_REFRESH_NS = 180 * NS_PER_S
"""How often account values follow the market without a trade; a Gateway does so every three minutes."""


class Gateway:
    """Everything that lasts. Give the same object to a new server, and clients find their orders again.

    Not safe to share between threads, but for `market`.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock = SYSTEM_CLOCK) -> None:
        self.settings = settings
        self.clock = clock
        self.account = settings.account
        self.market = Market(settings.seed)
        self.master = InstrumentMaster(settings.symbols)
        account = SimulatedAccount(Decimal(settings.cash))
        self.engine = MatchingEngine(self.market, account, displayed_size=settings.partial_fills)
        self.desk = OrderDesk(self.engine, self.master, settings.account, started_ns=clock.time_ns())
        self.clients: dict[int, Client] = {}
        """The connected clients, by client id."""
        self._refreshed_ns = clock.time_ns()

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

    def step(self) -> None:
        """One tick of the clock: resting orders meet the market, and subscribers hear of new quotes."""
        now_ns = self.now_ns()
        self.deliver(self.desk.evaluate(now_ns))
        self._refresh(now_ns)
        for client in list(self.clients.values()):
            if client.quotes and not client.outlet.is_congested:
                client.outlet.send(
                    message for one in client.quotes.values() for message in one.update(self.market, now_ns)
                )

    def deliver(self, notices: Iterable[Notice]) -> None:
        """Send each client what is for it, in order, and tell the followers of the portfolio about what traded."""
        batches: dict[int, list[Message]] = {}
        for notice in notices:
            batches.setdefault(notice.client_id, []).append(notice.message)
        for client_id, messages in batches.items():
            client = self.clients.get(client_id)
            if client is not None:
                client.outlet.send(messages)
        if self.desk.traded:
            self._tell_followers(self.desk.traded)
            self.desk.traded = set()

    def account_values(self, client: Client) -> Iterator[Message]:
        """What the client follows of the account values and has not heard yet."""
        if not (client.account_updates or client.account_multi or client.summaries):
            return
        values = portfolio.account_values(self.account, self.engine.values(self.now_ns()))
        if client.account_updates is not None:
            for key, value, currency in client.account_updates.changed(values):
                yield AccountValue(key, value, currency, self.account)
        for req_id, (model, feed) in client.account_multi.items():
            for key, value, currency in feed.changed(values):
                yield AccountUpdateMulti(req_id, self.account, model, key, value, currency)
        for req_id, feed in client.summaries.items():
            for key, value, currency in feed.changed(values):
                yield AccountSummary(req_id, self.account, key, value, currency)

    def update_time(self) -> AccountUpdateTime:
        """When account values were computed: now."""
        return AccountUpdateTime(f"{from_ns(self.now_ns()).astimezone(NEW_YORK):%H:%M}")

    def _refresh(self, now_ns: int) -> None:
        if now_ns - self._refreshed_ns < ACCOUNT_REFRESH_NS:
            return
        self._refreshed_ns = now_ns
        held = [position for position in self.engine.account.positions.values() if position.quantity]
        for client in list(self.clients.values()):
            self._tell_account(client, held, now_ns)

    def _tell_followers(self, symbols: Iterable[str]) -> None:
        now_ns = self.now_ns()
        positions = [self.engine.account.position(symbol) for symbol in sorted(symbols)]
        for client in list(self.clients.values()):
            if client.follows_positions:
                client.outlet.send(portfolio.position_data(self.account, position) for position in positions)
            self._tell_account(client, positions, now_ns)

    def _tell_account(self, client: Client, positions: Iterable[Position], now_ns: int) -> None:
        messages = list(self.account_values(client))
        if client.account_updates is not None:
            messages += [portfolio.portfolio_value(self.account, one, self.engine, now_ns) for one in positions]
            messages.append(self.update_time())
        if messages:
            client.outlet.send(messages)
