"""The historical queries that are open: still being computed, kept up to date, or a head timestamp not yet cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ibstream.simulation.market import Market
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes, history, history_ticks
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.history import Query
from ibstream_gateway_emulator.domain.history_ticks import TickQuery
from ibstream_gateway_emulator.domain.limits import Limits
from ibstream_gateway_emulator.domain.live_bars import LiveBars
from ibstream_gateway_emulator.domain.pacing import Asked, HistoricalPacing
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message

BARS_INLINE = 100
"""Answers with more bars are computed in a thread, so that quotes and orders do not wait for them."""
SUMMED_KIND = "BID_ASK"
"""Bars of averages are always computed in a thread: every tick of an hour is looked at."""

_Open = dict[int, LiveBars | None]
"""What one client has open, by request id; bars that are kept up to date, None for all else."""


class HistoryDesk:
    """All open historical queries of all clients, and the rationing of small bars for all of them together.

    `limits` is asked anew each time, as they may be changed while the Gateway runs.
    """

    def __init__(self, market: Market, limits: Callable[[], Limits], faults: Faults) -> None:
        self._market = market
        self._limits = limits
        self._faults = faults
        self._open: dict[Client, _Open] = {}
        self._pacing = HistoricalPacing()

    def is_used(self, client: Client, req_id: int) -> bool:
        """Whether the client has an open query under this request id."""
        return req_id in self._open.get(client, {})

    def admit(self, client: Client, req_id: int, symbol: str, asked: Asked | None, now_ns: int) -> None:
        """Open a query. Raises `RequestError`: 322 for an id in use and for one query too many, 162 for one too soon.

        `asked` is for the rationing of small bars; None for what is not rationed.
        """
        queries = self._open.setdefault(client, {})
        if req_id in queries:
            raise RequestError(codes.duplicate_ticker(req_id))
        allowed = self._limits().historical_requests
        if allowed is not None and len(queries) >= allowed:
            raise RequestError(codes.too_many_queries(allowed))
        objection = self._faults.objection_to_history(client.client_id, symbol)
        if objection is not None:
            raise RequestError(objection)
        if asked is not None and self._limits().historical_pacing and not self._pacing.grants(asked, now_ns):
            raise RequestError(codes.pacing_violation())
        queries[req_id] = None

    def close(self, client: Client, req_id: int) -> None:
        """A query has been answered, or is not wanted any more."""
        self._open.get(client, {}).pop(req_id, None)

    def answer_bars(self, client: Client, query: Query) -> Iterator[Message]:
        """The bars of an admitted query: few at once, many or averages from a thread; kept up to date if so asked."""
        live = LiveBars(query, query.end_ns)

        def work() -> Message:
            try:
                bars = history.all_bars(query, self._market)
            except RequestError as error:
                live.failed = True
                return error.code.about(query.req_id)
            live.last = bars[-1]
            return history.answer(query, bars)

        def wanted() -> bool:
            was_open = self.is_used(client, query.req_id)
            if was_open and query.keep_up_to_date and not live.failed:
                self._open[client][query.req_id] = live
            else:
                self.close(client, query.req_id)
            return was_open

        if query.bars_estimate > BARS_INLINE or query.what == SUMMED_KIND:
            client.outlet.send_apart(work, wanted)
        else:
            message = work()
            wanted()
            yield message

    def answer_ticks(self, client: Client, query: TickQuery) -> None:
        """Send the ticks of an admitted query from a thread: where prices rarely move, many have to be looked through."""

        def wanted() -> bool:
            was_open = self.is_used(client, query.req_id)
            self.close(client, query.req_id)
            return was_open

        client.outlet.send_apart(lambda: history_ticks.answer(query, self._market), wanted)

    def cancel(self, client: Client, req_id: int) -> None:
        """End a query. Raises `RequestError` with what a Gateway says to that: 162 of one that was open, 366 of none."""
        if not self.is_used(client, req_id):
            raise RequestError(codes.no_such_query(req_id))
        self.close(client, req_id)
        raise RequestError(codes.query_cancelled(req_id))

    def fail_live_updates(self, _now_ns: int, client_id: int | None = None) -> None:
        """All bars that are kept up to date no longer are, or those of one client.

        Each is told 10182 and then stays silent until it is cancelled.
        """
        for client, queries in list(self._open.items()):
            if client_id not in (None, client.client_id):
                continue
            failing = {req_id: live for req_id, live in queries.items() if live is not None and not live.failed}
            for live in failing.values():
                live.failed = True
            if failing:
                client.outlet.send([codes.LIVE_UPDATES_FAILED.about(req_id) for req_id in failing])

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._open.pop(client, None)

    def step(self, now_ns: int) -> None:
        """Tell what has changed in bars that are kept up to date. Like quotes, updates pass over a client that lags."""
        for client, queries in list(self._open.items()):
            if client.outlet.is_congested:
                continue
            messages = [
                message
                for live in list(queries.values())
                if live is not None and self._faults.quotes_flow(live.query.listing.symbol)
                for message in live.update(self._market, now_ns)
            ]
            if messages:
                client.outlet.send(messages)
