"""A stand-in Gateway in this process, and the settings that lead an adapter to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.settings import BrokerSettings, DataSettings, FeedSettings, IbkrSettings, Settings
from ibstream_gateway_emulator.server import running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

SYMBOLS = ("AAPL", "MSFT", "BRK.B", "NVDA", "TSLA", "AMZN")


def settings_for(port: int, *, request_timeout_s: float = 20.0) -> Settings:
    """Settings whose Gateway listens on `port` of 127.0.0.1, with quick deadlines."""
    ibkr = IbkrSettings(port=port, connect_timeout_s=5.0, probe_interval_s=1.1, probe_timeout_s=1.0)
    return Settings.model_construct(
        broker=BrokerSettings(ibkr=ibkr),
        data=DataSettings(request_timeout_s=request_timeout_s),
        feed=FeedSettings(requests_per_s=45),
    )


@contextlib.asynccontextmanager
async def standing_in() -> AsyncIterator[Settings]:
    """Settings that lead to a stand-in Gateway with a few symbols."""
    emulator = EmulatorSettings(symbols=SYMBOLS, port=0, tick_interval_ms=50)
    async with running_gateway(emulator, clock=SYSTEM_CLOCK) as gateway:
        yield settings_for(gateway.port)
