"""The historical queries that are still being answered."""

from __future__ import annotations

from ibstream.simulation.market import Market
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, history
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.history import Query
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings


class HistoryDesk:
    """All open historical queries of all clients."""

    def __init__(self, market: Market, settings: EmulatorSettings, faults: Faults) -> None:
        self._market = market
        self._settings = settings
        self._faults = faults
        self._open: dict[Client, set[int]] = {}

    def is_used(self, client: Client, req_id: int) -> bool:
        """Whether the client has an open query under this request id."""
        return req_id in self._open.get(client, ())

    def answer_apart(self, client: Client, query: Query) -> None:
        """Compute many bars in a thread, so that quotes and orders do not wait for them."""
        queries = self._open.setdefault(client, set())
        queries.add(query.req_id)

        def work() -> Message:
            try:
                return history.answer(query, self._market)
            except RequestError as error:
                return error.code.about(query.req_id)

        def wanted() -> bool:
            was_open = query.req_id in queries
            queries.discard(query.req_id)
            return was_open

        client.outlet.send_apart(work, wanted)

    def cancel(self, client: Client, req_id: int) -> None:
        """Forget a query whose answer is not out yet. Raises `RequestError` with what a Gateway says to that."""
        if not self.is_used(client, req_id):
            raise RequestError(codes.no_such_query(req_id))
        self._open[client].discard(req_id)
        raise RequestError(codes.query_cancelled(req_id))

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._open.pop(client, None)

    def step(self, now_ns: int) -> None:
        """Nothing yet: queries are answered once."""
