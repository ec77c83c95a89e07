"""Who is told every single tick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from ibstream.simulation.market import Market
from ibstream.simulation.quotes import Quote
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.outbox import Outbox
from ibstream_gateway_emulator.desks.slots import Slots
from ibstream_gateway_emulator.desks.subscriptions import Subscriptions
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.tick_by_tick import PAST_MAX, Feed
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings

TICKS_PER_STEP_MAX = 2_000
"""So many ticks of one subscription are told in one step; the rest follows with the next."""


@dataclass(slots=True, eq=False)
class Follower:
    """One subscription, and the last tick that was looked at for it."""

    feed: Feed
    seen: Quote


class TickByTickDesk:
    """All tick-by-tick subscriptions. A step tells each all ticks of the market since the one before, none twice and none lost.

    Ticks that come while the farm is down, the data is not permitted or the client does not read are lost, as with IBKR.
    """

    def __init__(self, market: Market, settings: Callable[[], EmulatorSettings], faults: Faults) -> None:
        self._market = market
        self._faults = faults
        self._slots = Slots(lambda: settings().limits.tick_by_tick_lines, lambda _: codes.TOO_MANY_TICK_BY_TICKS)
        self._followers: Subscriptions[Follower] = Subscriptions(
            lambda client, req_id, _: self._slots.free((client, req_id))
        )
        self._outbox = Outbox(settings)

    def subscribe(self, client: Client, req_id: int, feed: Feed, past: int, now_ns: int) -> Iterator[Message]:
        """Every tick from now on, and `past` ticks of before first; at most `PAST_MAX`. Raises `RequestError`."""
        self._followers.check(client, req_id)
        symbol = feed.listing.symbol
        if self._faults.objection_to_quotes(client.client_id, symbol) is not None:
            reason = f"No market data permissions for {feed.listing.exchange} {feed.listing.security_type}"
            raise RequestError(codes.no_tick_by_tick(reason))
        if past < 0:
            raise RequestError(codes.invalid("The number of ticks must not be negative"))
        self._slots.take((client, req_id))
        self._followers.add(client, req_id, Follower(feed, self._market.quote(symbol, now_ns)))
        if past:
            yield feed.past_message(req_id, feed.past(self._market, min(past, PAST_MAX), now_ns))

    def count(self, client: Client) -> int:
        """How many subscriptions the client has."""
        return self._followers.count(client)

    def cancel(self, client: Client, req_id: int) -> None:
        """No more ticks under that id. Raises `RequestError` with 300 if there are none."""
        self._followers.cancel(client, req_id)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._followers.leave(client)
        self._outbox.leave(client)

    def step(self, now_ns: int) -> None:
        """Tell every tick that has come."""
        self._outbox.open(now_ns)
        for client, req_id, follower in self._followers:
            symbol = follower.feed.listing.symbol
            objection = self._faults.objection_to_quotes(client.client_id, symbol)
            if objection is None and self._faults.quotes_flow(symbol) and self._outbox.takes(client):
                messages = self._news(req_id, follower, now_ns)
                if messages:
                    client.outlet.send(messages)
            else:
                follower.seen = self._market.quote(symbol, now_ns)

    def _news(self, req_id: int, follower: Follower, now_ns: int) -> list[Message]:
        feed, before = follower.feed, follower.seen
        came = self._market.quotes(feed.listing.symbol, before.time_ns + 1, now_ns + 1)
        quotes = list(islice(came, TICKS_PER_STEP_MAX))
        if quotes:
            follower.seen = quotes[-1]
        return [feed.message(req_id, quote) for quote in feed.news(quotes, before)]
