"""Who follows positions, account values, profit and loss, and what they have heard of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from ibstream.simulation import profit
from ibstream.simulation.account import Position, usd_rate
from ibstream.simulation.instruments import InstrumentMaster, Listing, listing
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import NEW_YORK, from_ns
from ibstream.simulation.terms import terms_of
from ibstream.simulation.tree import NS_PER_S
from ibstream.simulation.view import exact
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, portfolio
from ibstream_gateway_emulator.domain.account_values import Rates, Value, ValueFeed, account_values
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import (
    AccountSummary,
    AccountUpdateMulti,
    AccountUpdateTime,
    AccountValue,
    Message,
    PortfolioValue,
)
from ibstream_gateway_emulator.protocol.requests import NO_REQ_ID
from ibstream_gateway_emulator.settings import EmulatorSettings

ACCOUNT_REFRESH_NS = 180 * NS_PER_S
"""How often account values follow the market without a trade; a Gateway does so every three minutes."""
PNL_REFRESH_NS = NS_PER_S
"""How often profit and loss follow it."""


@dataclass(slots=True)
class Following:
    """What one client follows."""

    positions: bool = False
    positions_multi: dict[int, str] = field(default_factory=dict)
    """Model code by request id."""
    account_updates: ValueFeed | None = None
    account_multi: dict[int, tuple[str, ValueFeed]] = field(default_factory=dict)
    """Model code and values followed, by request id."""
    summaries: dict[int, ValueFeed] = field(default_factory=dict)
    """Account values followed, by request id."""
    pnl: dict[int, Message | None] = field(default_factory=dict)
    """What was told last, by request id."""
    pnl_single: dict[int, tuple[str, Message | None]] = field(default_factory=dict)
    """The instrument's key and what was told last, by request id."""


class PortfolioDesk:
    """Positions and account values of the one account, and who follows them.

    `settings` is asked anew each time, as settings may be changed while the Gateway runs.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        master: InstrumentMaster,
        settings: Callable[[], EmulatorSettings],
        faults: Faults,
        started_ns: int,
    ) -> None:
        self._engine = engine
        self._master = master
        self._settings = settings
        self._faults = faults
        self._refreshed_ns = self._pnl_ns = started_ns
        self._following: dict[Client, Following] = {}
        self._account_followers: dict[Client, None] = {}

    @property
    def account(self) -> str:
        """The account's name."""
        return self._settings().account

    def of(self, client: Client) -> Following:
        """What the client follows."""
        return self._following.setdefault(client, Following())

    def follow_account(self, client: Client) -> ValueFeed:
        """Let a client follow the account's values. Where too many would, the one that has longest done so is told 2100."""
        self._account_followers.pop(client, None)
        self._account_followers[client] = None
        allowed = self._settings().limits.account_updates
        while allowed is not None and len(self._account_followers) > allowed:
            oldest = next(iter(self._account_followers))
            self.unfollow_account(oldest)
            oldest.outlet.send([codes.ACCOUNT_UPDATES_TAKEN.about(NO_REQ_ID)])
        feed = self.of(client).account_updates = ValueFeed()
        return feed

    def is_account_followed(self, *, but_by: Client) -> bool:
        """Whether any other client follows the account's values."""
        return any(client is not but_by for client in self._account_followers)

    def unfollow_account(self, client: Client) -> None:
        """No more of them."""
        self._account_followers.pop(client, None)
        self.of(client).account_updates = None

    def open_summary(self, client: Client, req_id: int, feed: ValueFeed) -> None:
        """Let a client follow a summary. Raises `RequestError` with 322 for an id in use and for one too many."""
        summaries, allowed = self.of(client).summaries, self._settings().limits.account_summaries
        if req_id in summaries:
            raise RequestError(codes.duplicate_ticker(req_id))
        if allowed is not None and len(summaries) >= allowed:
            raise RequestError(codes.too_many_summaries())
        summaries[req_id] = feed

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._following.pop(client, None)
        self._account_followers.pop(client, None)

    def step(self, now_ns: int) -> None:
        """Every three minutes account values follow the market, every second profit and loss."""
        if now_ns - self._pnl_ns >= PNL_REFRESH_NS:
            self._pnl_ns = now_ns
            self._tell_pnl(now_ns)
        if now_ns - self._refreshed_ns < ACCOUNT_REFRESH_NS:
            return
        self._refreshed_ns = now_ns
        for client, following in list(self._following.items()):
            self._tell_account(client, following, self.held(), now_ns)

    def traded(self, symbols: Iterable[str], now_ns: int) -> None:
        """Tell the followers what trades in these instruments have changed."""
        positions = [self._engine.account.position(symbol) for symbol in sorted(symbols)]
        for client, following in list(self._following.items()):
            messages = list(self._positions_told(following, positions))
            if messages:
                client.outlet.send(messages)
            self._tell_account(client, following, positions, now_ns)

    def held(self) -> list[Position]:
        """What is held, in the order in which it was first bought."""
        return [position for position in self._engine.account.positions.values() if position.quantity]

    def listing_of(self, position: Position) -> Listing:
        """The instrument of a position, with the contract id that this Gateway has for it."""
        return self._master.by_symbol(position.symbol) or listing(position.symbol)

    def values(self, now_ns: int) -> list[Value]:
        """All account values now."""
        return account_values(self.account, self._engine.values(now_ns), self.rates(now_ns))

    def rates(self, now_ns: int) -> Rates:
        """What the account's currencies are worth now."""
        base = self._settings().base_currency
        currencies = dict.fromkeys([base, "USD", *sorted(self._engine.account.balances)])
        return Rates(base, {one: usd_rate(one, lambda key: self._price(key, now_ns)) for one in currencies})

    def portfolio_value(self, position: Position, now_ns: int) -> PortfolioValue:
        """What is held of one instrument and what it is worth now."""
        price = self._price(position.symbol, now_ns)
        return portfolio.portfolio_value(self.account, self.listing_of(position), position, price)

    def update_time(self, now_ns: int) -> AccountUpdateTime:
        """When account values were computed: now."""
        return AccountUpdateTime(f"{from_ns(now_ns).astimezone(NEW_YORK):%H:%M}")

    def pnl(self, client: Client, now_ns: int) -> Iterator[Message]:
        """What has changed in the profits and losses a client follows since it was told."""
        following = self.of(client)
        if not following.pnl and not following.pnl_single:
            return
        found, rates = self._engine.profits(now_ns), self.rates(now_ns)
        for req_id, told in following.pnl.items():
            total: Message = portfolio.pnl(req_id, profit.total(found), rates)
            if total != told:
                following.pnl[req_id] = total
                yield total
        for req_id, (symbol, told) in following.pnl_single.items():
            position = self._engine.account.position(symbol)
            single: Message = portfolio.pnl_single(req_id, position, found.get(symbol), rates)
            if single != told:
                following.pnl_single[req_id] = (symbol, single)
                yield single

    def _price(self, symbol: str, now_ns: int) -> Decimal:
        return exact(self._engine.market.quote(symbol, now_ns).last, terms_of(symbol).min_tick)

    def _tell_pnl(self, now_ns: int) -> None:
        for client in list(self._following):
            messages = list(self.pnl(client, now_ns))
            if messages:
                client.outlet.send(messages)

    def _positions_told(self, following: Following, positions: list[Position]) -> Iterator[Message]:
        for position in positions:
            found = self.listing_of(position)
            if following.positions:
                yield portfolio.position_data(self.account, found, position)
            for req_id, model in following.positions_multi.items():
                yield portfolio.position_multi(req_id, self.account, model, found, position)

    def _tell_account(self, client: Client, following: Following, positions: Iterable[Position], now_ns: int) -> None:
        messages = list(self._changed_values(following, now_ns))
        if following.account_updates is not None:
            messages += [self.portfolio_value(one, now_ns) for one in positions]
            messages.append(self.update_time(now_ns))
        if messages:
            client.outlet.send(messages)

    def _changed_values(self, following: Following, now_ns: int) -> Iterator[Message]:
        if not (following.account_updates or following.account_multi or following.summaries):
            return
        values = self.values(now_ns)
        if following.account_updates is not None:
            for key, value, currency in following.account_updates.changed(values):
                yield AccountValue(key, value, currency, self.account)
        for req_id, (model, feed) in following.account_multi.items():
            for key, value, currency in feed.changed(values):
                yield AccountUpdateMulti(req_id, self.account, model, key, value, currency)
        for req_id, feed in following.summaries.items():
            for key, value, currency in feed.changed(values):
                yield AccountSummary(req_id, self.account, key, value, currency)
