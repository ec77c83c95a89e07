"""Who is quoted what: subscriptions to the top of the book."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream.simulation.market import Market
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.ticks import Subscription
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings


class QuoteDesk:
    """All streaming quotes of all clients."""

    def __init__(self, market: Market, settings: EmulatorSettings, faults: Faults) -> None:
        self._market = market
        self._settings = settings
        self._faults = faults
        self._streams: dict[Client, dict[int, Subscription]] = {}

    def subscribe(self, client: Client, subscription: Subscription, now_ns: int) -> Iterator[Message]:
        """Quotes from now on."""
        yield from subscription.update(self._market, now_ns)
        self._streams.setdefault(client, {})[subscription.req_id] = subscription

    def is_used(self, client: Client, req_id: int) -> bool:
        """Whether the client has a subscription under this request id."""
        return req_id in self._streams.get(client, {})

    def cancel(self, client: Client, req_id: int) -> None:
        """No more quotes under that id. Raises `RequestError` with 300 if there are none."""
        if self._streams.get(client, {}).pop(req_id, None) is None:
            raise RequestError(codes.no_such_ticker(req_id))

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._streams.pop(client, None)

    def step(self, now_ns: int) -> None:
        """Send every client what it has not seen yet."""
        for client, streams in list(self._streams.items()):
            if streams and not client.outlet.is_congested:
                client.outlet.send(message for one in streams.values() for message in one.update(self._market, now_ns))
