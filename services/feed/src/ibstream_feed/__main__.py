"""The feed as a process: `python -m ibstream_feed`."""

from __future__ import annotations

import asyncio
import gc
import sys

import structlog

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.runtime.backoff import constant
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.entry import run_service
from ibstream.runtime.service import ServiceHost, ServiceParts
from ibstream.runtime.settings import Settings
from ibstream.runtime.symbols import load_symbols
from ibstream_feed.ports import MarketDataPort
from ibstream_feed.service import FeedService

GC_THRESHOLDS = (50_000, 20, 20)
"""Ticks make no cycles: the collector, left alone, would go through thousands of lasting objects again and again."""

_log = structlog.get_logger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    port, feed = _port(settings), settings.feed
    listed = [Instrument(symbol=symbol) for symbol in load_symbols(settings.symbols_path)]
    _log.info("feed.symbols", listed=len(listed), market_data_lines=feed.market_data_lines, decoder=feed.decoder)
    _tune_gc()
    async with (
        Bus(settings.redis.bus_url, client_name="feed") as bus,
        Bus(settings.redis.quotes_bus_url, client_name="feed-quotes") as quotes_bus,
    ):
        service = FeedService(bus, quotes_bus, port, listed, settings=feed, clock=SYSTEM_CLOCK)
        parts = ServiceParts(
            name="feed",
            connection=port,
            synchronise=service.synchronise,
            workers=service.workers,
            delays=constant(feed.reconnect_interval_s),
            slots=feed.instances_max,
            details=service.details,
            on_state=service.on_state,
        )
        await ServiceHost(settings, bus, parts, clock=SYSTEM_CLOCK).run(stop)


def _tune_gc() -> None:
    """What was made at the start lasts, and is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _port(settings: Settings) -> MarketDataPort:
    if settings.broker.provider == "ibkr":
        from ibstream_feed.adapters.ibkr import IBKRMarketFeed

        return IBKRMarketFeed(settings, clock=SYSTEM_CLOCK)
    from ibstream.simulation.instruments import InstrumentMaster
    from ibstream.simulation.market import Market
    from ibstream_feed.adapters.simulated import SimulatedFeed

    instruments = InstrumentMaster(load_symbols(settings.symbols_path))
    return SimulatedFeed(Market(settings.simulation.seed), instruments, clock=SYSTEM_CLOCK)


def main() -> None:
    """Entry point of `ibstream-feed`."""
    sys.exit(run_service("feed", serve))


if __name__ == "__main__":
    main()
