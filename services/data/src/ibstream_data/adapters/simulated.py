"""Bars from the simulated market: the same that its quotes show, without a Gateway."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time
from typing import cast

from ibstream.contracts.data import Bar, BarSize, BarsRequest, FailureReason
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.simulation.bars import Bar as MarketBar
from ibstream.simulation.bars import seconds_of
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream.simulation.periods import Unit, period_start
from ibstream.simulation.sessions import NEW_YORK, from_ns, to_ns
from ibstream_data.ports import BarsRefused

_SECONDS_PER_DAY = 86_400


class SimulatedBars:
    """A source that is always there."""

    def __init__(self, market: Market, instruments: InstrumentMaster, *, clock: Clock) -> None:
        self._market = market
        self._instruments = instruments
        self._clock = clock
        self._never: asyncio.Event = asyncio.Event()
        self.gateway = ""
        self.account = "SIMULATED"

    async def connect(self, client_id: int) -> None:
        """Nothing to connect to."""

    async def next_event(self) -> ConnectionEvent:
        """Nothing ever happens to it."""
        await self._never.wait()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Nothing to close."""

    async def bars(self, request: BarsRequest) -> list[Bar]:
        """The bars of the period, computed in a thread so that the event loop goes on."""
        symbol = request.instrument.symbol
        if self._instruments.stock(symbol) is None:
            raise BarsRefused(FailureReason.UNKNOWN_INSTRUMENT, f"the simulated market has no {symbol}")
        end = request.end or self._clock.now()
        found = await asyncio.to_thread(
            self._market.bars,
            symbol,
            _start(end, request),
            end,
            request.bar_size,
            request.what_to_show,
            regular_hours=request.regular_hours_only,
        )
        return [_bar(bar, request.bar_size) for bar in found]


def _start(end: datetime, request: BarsRequest) -> datetime:
    count, unit = request.duration.split()
    bar_s = seconds_of(request.bar_size) or _SECONDS_PER_DAY
    regular = request.regular_hours_only
    return from_ns(period_start(to_ns(end), int(count), cast("Unit", unit), bar_s, regular_hours=regular))


def _bar(bar: MarketBar, size: BarSize) -> Bar:
    """A bar of a day or longer stands for a date, New York's."""
    start = bar.start
    if seconds_of(size) is None:
        start = datetime.combine(start.astimezone(NEW_YORK).date(), time(), UTC)
    return Bar(start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.trades)
