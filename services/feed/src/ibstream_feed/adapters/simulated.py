"""Market data of the simulated market, without a Gateway: product code, not a mock.

    simulated              the port
      simulated_contracts  what is looked up, as IBKR would say it
      simulated_quotes     lines and snapshots, written from the market
      simulated_streams    single ticks, bars and books

Its prices are those that the stand-in Gateway and the simulated broker show, and it tells of each instrument what a Gateway
tells: of an index no bid, of a currency pair no trades.
"""

from __future__ import annotations

import asyncio

import structlog

from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream_feed.adapters.simulated_contracts import ContractDesk
from ibstream_feed.adapters.simulated_quotes import QuoteDesk
from ibstream_feed.adapters.simulated_streams import StreamDesk
from ibstream_feed.domain.line import Line
from ibstream_feed.ports import OnCode, OnFarm, OnItem, OnStreamCode, OnTicks, Qualified

ACCOUNT = "SIMULATED"

TICK_INTERVAL_S = 0.25
"""As often as IBKR aggregates the quotes of stocks."""

CAPACITY = 1_000_000
"""Messages that may go out at once: there is no Gateway whose limit could be met."""

_log = structlog.get_logger(__name__)


class SimulatedFeed:
    """A source that is always there, has every line that is asked for, and all of it live."""

    def __init__(self, market: Market, instruments: InstrumentMaster, *, clock: Clock) -> None:
        self._clock = clock
        self._contracts = ContractDesk(instruments, clock)
        self._quotes = QuoteDesk(market, instruments)
        self._streams = StreamDesk(market, instruments)
        self._ticking: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[str] | None = None
        self.gateway = ""
        self.account = ACCOUNT

    def listen(self, on_ticks: OnTicks, on_code: OnCode, on_farm: OnFarm) -> None:  # noqa: ARG002 - it has no farms
        """Tell where ticks and codes go."""
        self._quotes.on_ticks, self._quotes.on_code = on_ticks, on_code

    async def connect(self, client_id: int) -> None:  # noqa: ARG002 - it has one client
        """Begin to tick."""
        await self.close()
        self._ended = asyncio.get_running_loop().create_future()
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="simulated-ticks")
        self._ticking.add_done_callback(self._on_ticking_ended)

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it but its end."""
        reason = "not connected" if self._ended is None else await asyncio.shield(self._ended)
        return ConnectionEvent(Trigger.LOST, reason)

    async def close(self) -> None:
        """Stop ticking, and forget what was asked for."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        self._end("closed")

    def limit(self, requests_per_s: int) -> None:
        """No messages go out that could be too many."""

    def free(self) -> int:
        """Always the same: `CAPACITY`."""
        return CAPACITY

    async def qualify(self, instrument: Instrument) -> Qualified:
        """Look an instrument up. Raises `UnknownInstrument`, `AmbiguousInstrument`."""
        self._require_session()
        return self._contracts.qualify(instrument)

    async def subscribe(self, line: Line, contract: Qualified) -> None:
        """Tick from the next step on; a contract that the market does not have is refused there, with 200."""
        self._require_session()
        self._quotes.subscribe(line, contract)

    async def unsubscribe(self, line: Line) -> None:
        """Tick no more."""
        self._quotes.unsubscribe(line)

    async def snapshot(self, line: Line, contract: Qualified) -> None:
        """One quote, with the next step. Raises `RequestFailed` for a contract that the market does not have."""
        self._require_session()
        await self._quotes.snapshot(line, contract)

    async def open_stream(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode) -> int:
        """Tell single ticks, bars or the book from the next step on."""
        self._require_session()
        return self._streams.open(kind, contract, on_item, on_code, self._clock.time_ns())

    async def close_stream(self, number: int) -> None:
        """Tell no more of it."""
        self._streams.close(number)

    def _require_session(self) -> None:
        if self._ended is None or self._ended.done():
            raise GatewayUnavailable("the simulated market is not connected")

    async def _tick_for_ever(self) -> None:
        while True:
            now_ns = self._clock.time_ns()
            self._quotes.step(now_ns)
            self._streams.step(now_ns)
            await self._clock.sleep(TICK_INTERVAL_S)

    def _on_ticking_ended(self, ticking: asyncio.Task[None]) -> None:
        """Ticks that failed must not pass for a quiet market: the session ends, and another one begins."""
        if ticking.cancelled():
            return
        _log.error("feed.simulation_failed", exc_info=ticking.exception())
        if ticking is self._ticking:
            self._end(f"the simulated market failed: {ticking.exception()!r}")

    def _end(self, reason: str) -> None:
        self._quotes.forget(reason)
        self._streams.forget()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)
