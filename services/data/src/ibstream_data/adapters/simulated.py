"""Bars from the simulated market: the same that its quotes show, without a Gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from ibstream.contracts.data import Bar, BarsRequest, FailureReason
from ibstream.runtime.clock import Clock
from ibstream.runtime.service import ConnectionEvent
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.market import Market
from ibstream_data.ports import BarsRefused

_DAYS = {"D": 1, "W": 7, "M": 31, "Y": 366}


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
        if self._instruments.by_symbol(symbol) is None:
            raise BarsRefused(FailureReason.UNKNOWN_INSTRUMENT, f"the simulated market has no {symbol}")
        end = request.end or self._clock.now()
        count, unit = request.duration.split()
        period = timedelta(seconds=int(count)) if unit == "S" else timedelta(days=int(count) * _DAYS[unit])
        found = await asyncio.to_thread(
            self._market.bars,
            symbol,
            end - period,
            end,
            request.bar_size,
            request.what_to_show,
            regular_hours=request.regular_hours_only,
        )
        return [
            Bar(bar.start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.average, bar.trades) for bar in found
        ]
