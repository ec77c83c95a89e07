"""Quotes of the simulated market, without a Gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quality, Quote
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream_feed.ports import OnQuote, OnSubscription

_log = structlog.get_logger(__name__)

TICK_INTERVAL_S = 0.25
"""As often as IBKR aggregates the quotes of stocks."""


class SimulatedFeed:
    """A source that is always there; its prices are those that the emulator and the simulated broker see."""

    def __init__(self, market: Market, instruments: InstrumentMaster, *, clock: Clock) -> None:
        self._market = market
        self._instruments = instruments
        self._clock = clock
        self._ended = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None
        self._on_quote: OnQuote = lambda _: None
        self._on_subscription: OnSubscription = lambda *_: None
        self.gateway = ""
        self.account = "SIMULATED"

    def listen(self, on_quote: OnQuote, on_subscription: OnSubscription) -> None:
        """Tell where rows and outcomes go."""
        self._on_quote, self._on_subscription = on_quote, on_subscription

    async def connect(self, client_id: int) -> None:  # noqa: ARG002 - it has one client
        """Nothing to connect to."""
        self._ended.clear()

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it before `close`."""
        await self._ended.wait()
        return ConnectionEvent(Trigger.LOST, "closed")

    async def close(self) -> None:
        """Stop ticking."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        self._ended.set()

    async def subscribe(self, instruments: Sequence[Instrument], *, afresh: bool) -> None:  # noqa: ARG002 - nothing is ever lost
        """Begin to tick for all that the simulated market has."""
        known = []
        for instrument in instruments:
            if self._instruments.stock(instrument.symbol) is None:
                text = f"the simulated market has no {instrument.symbol}"
                self._on_subscription(instrument.symbol, SubscriptionOutcome.UNKNOWN_INSTRUMENT, text, 200)
            else:
                known.append(instrument.symbol)
                self._on_subscription(instrument.symbol, SubscriptionOutcome.ACTIVE, "", 0)
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.create_task(self._tick_for_ever(known), name="simulated-ticks")
        self._ticking.add_done_callback(self._on_ticking_ended)

    def _on_ticking_ended(self, ticking: asyncio.Task[None]) -> None:
        """Ticks that failed must not pass for a quiet market: the session ends, and another one begins."""
        if not ticking.cancelled():
            _log.error("feed.simulation_failed", exc_info=ticking.exception())
            self._ended.set()

    async def _tick_for_ever(self, symbols: Sequence[str]) -> None:
        while True:
            now_ns = self._clock.time_ns()
            for symbol in symbols:
                self._on_quote(self._row(symbol, now_ns))
            await self._clock.sleep(TICK_INTERVAL_S)

    def _row(self, symbol: str, now_ns: int) -> Quote:
        quote = self._market.quote(symbol, now_ns)
        return Quote(
            symbol=symbol,
            bid=quote.bid,
            ask=quote.ask,
            last=quote.last,
            bid_size=quote.bid_size,
            ask_size=quote.ask_size,
            last_size=quote.last_size,
            volume=quote.volume,
            time_ns=now_ns,
            quality=Quality.LIVE,
        )
