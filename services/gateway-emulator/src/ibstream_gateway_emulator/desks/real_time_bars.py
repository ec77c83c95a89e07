"""Who is told bars of five seconds as they are completed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ibstream.simulation.market import Market
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.outbox import Outbox
from ibstream_gateway_emulator.desks.slots import Slots
from ibstream_gateway_emulator.desks.subscriptions import Subscriptions
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.real_time_bars import BarFeed, bar_message, first_start_ns
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.settings import EmulatorSettings

PACING_NS = 600 * NS_PER_S
"""Over so long the new subscriptions are counted."""


@dataclass(slots=True, eq=False)
class Follower:
    """One subscription, and when the next bar begins that it is to be told."""

    feed: BarFeed
    next_ns: int


class RealTimeBarDesk:
    """All subscriptions to bars of five seconds. Each uses a market data line of its instrument."""

    def __init__(self, market: Market, settings: Callable[[], EmulatorSettings], faults: Faults, lines: Slots) -> None:
        self._market = market
        self._settings = settings
        self._faults = faults
        self._lines = lines
        self._followers: Subscriptions[Follower] = Subscriptions(
            lambda _client, _req_id, follower: self._lines.free(follower.feed.listing.symbol)
        )
        self._begun: deque[int] = deque()
        self._outbox = Outbox(settings)

    def subscribe(self, client: Client, req_id: int, feed: BarFeed, now_ns: int) -> None:
        """Bars from the next one on that begins. Raises `RequestError`: 420 for too many or without permission, 101, 322."""
        self._followers.check(client, req_id)
        listing = feed.listing
        if self._faults.objection_to_quotes(client.client_id, listing.symbol) is not None:
            reason = f"No market data permissions for {listing.exchange} {listing.security_type}"
            raise RequestError(codes.bad_real_time_query(reason))
        self._pace(now_ns)
        self._lines.take(listing.symbol)
        self._followers.add(client, req_id, Follower(feed, first_start_ns(now_ns)))

    def count(self, client: Client) -> int:
        """How many subscriptions the client has."""
        return self._followers.count(client)

    def cancel(self, client: Client, req_id: int) -> None:
        """No more bars under that id. Raises `RequestError` with 300 if there are none."""
        self._followers.cancel(client, req_id)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._followers.leave(client)
        self._outbox.leave(client)

    def step(self, now_ns: int) -> None:
        """Tell the bars that are over. Those that ended while no data came, or the client did not read, are left out."""
        self._outbox.open(now_ns)
        for client, req_id, follower in self._followers:
            bars, follower.next_ns = follower.feed.completed(self._market, follower.next_ns, now_ns)
            symbol = follower.feed.listing.symbol
            objection = self._faults.objection_to_quotes(client.client_id, symbol)
            if bars and objection is None and self._faults.quotes_flow(symbol) and self._outbox.takes(client):
                client.outlet.send([bar_message(req_id, bar) for bar in bars])

    def _pace(self, now_ns: int) -> None:
        allowed = self._settings().limits.real_time_bars_per_10_min
        while self._begun and self._begun[0] <= now_ns - PACING_NS:
            self._begun.popleft()
        if allowed is not None:
            if len(self._begun) >= allowed:
                raise RequestError(codes.bad_real_time_query("Historical data request pacing violation"))
            self._begun.append(now_ns)
