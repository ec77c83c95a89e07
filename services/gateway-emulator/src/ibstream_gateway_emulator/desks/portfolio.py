"""Who follows positions and account values, and what they have heard of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ibstream.simulation.account import Position
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import NEW_YORK, from_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import portfolio
from ibstream_gateway_emulator.domain.portfolio import ValueFeed
from ibstream_gateway_emulator.faults.state import Faults
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


@dataclass(slots=True)
class Following:
    """What one client follows."""

    positions: bool = False
    account_updates: ValueFeed | None = None
    account_multi: dict[int, tuple[str, ValueFeed]] = field(default_factory=dict)
    """Model code and values followed, by request id."""
    summaries: dict[int, ValueFeed] = field(default_factory=dict)
    """Account values followed, by request id."""


class PortfolioDesk:
    """Positions and account values of the one account, and who follows them."""

    def __init__(self, engine: MatchingEngine, settings: EmulatorSettings, faults: Faults, started_ns: int) -> None:
        self._engine = engine
        self._account = settings.account
        self._settings = settings
        self._faults = faults
        self._refreshed_ns = started_ns
        self._following: dict[Client, Following] = {}

    def of(self, client: Client) -> Following:
        """What the client follows."""
        return self._following.setdefault(client, Following())

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._following.pop(client, None)

    def step(self, now_ns: int) -> None:
        """Every three minutes account values follow the market."""
        if now_ns - self._refreshed_ns < ACCOUNT_REFRESH_NS:
            return
        self._refreshed_ns = now_ns
        held = [position for position in self._engine.account.positions.values() if position.quantity]
        for client, following in list(self._following.items()):
            self._tell_account(client, following, held, now_ns)

    def traded(self, symbols: Iterable[str], now_ns: int) -> None:
        """Tell the followers what trades in these instruments have changed."""
        positions = [self._engine.account.position(symbol) for symbol in sorted(symbols)]
        for client, following in list(self._following.items()):
            if following.positions:
                client.outlet.send(portfolio.position_data(self._account, position) for position in positions)
            self._tell_account(client, following, positions, now_ns)

    def values(self, now_ns: int) -> list[portfolio.Value]:
        """All account values now."""
        return portfolio.account_values(self._account, self._engine.values(now_ns))

    def update_time(self, now_ns: int) -> AccountUpdateTime:
        """When account values were computed: now."""
        return AccountUpdateTime(f"{from_ns(now_ns).astimezone(NEW_YORK):%H:%M}")

    def _tell_account(self, client: Client, following: Following, positions: Iterable[Position], now_ns: int) -> None:
        messages = list(self._changed_values(following, now_ns))
        if following.account_updates is not None:
            messages += [portfolio.portfolio_value(self._account, one, self._engine, now_ns) for one in positions]
            messages.append(self.update_time(now_ns))
        if messages:
            client.outlet.send(messages)

    def _changed_values(self, following: Following, now_ns: int) -> Iterator[Message]:
        if not (following.account_updates or following.account_multi or following.summaries):
            return
        values = self.values(now_ns)
        if following.account_updates is not None:
            for key, value, currency in following.account_updates.changed(values):
                yield AccountValue(key, value, currency, self._account)
        for req_id, (model, feed) in following.account_multi.items():
            for key, value, currency in feed.changed(values):
                yield AccountUpdateMulti(req_id, self._account, model, key, value, currency)
        for req_id, feed in following.summaries.items():
            for key, value, currency in feed.changed(values):
                yield AccountSummary(req_id, self._account, key, value, currency)
