"""The data service as a process: `python -m ibstream_data`."""

from __future__ import annotations

import asyncio
import sys

from ibstream.bus import Bus
from ibstream.runtime.backoff import gateway_retries
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.entry import run_service
from ibstream.runtime.service import ServiceHost, ServiceParts
from ibstream.runtime.settings import Settings
from ibstream_data.ports import BarsPort
from ibstream_data.service import JOBS_AT_ONCE, DataService

SLOTS = 10
"""Replicas share the jobs through the consumer group."""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    port = _port(settings)
    async with Bus(settings.redis.bus_url, client_name="data") as bus:
        service = DataService(bus, port, bars_per_chunk=settings.data.bars_per_chunk, clock=SYSTEM_CLOCK)
        parts = ServiceParts(
            name="data",
            connection=port,
            synchronise=service.synchronise,
            workers=lambda slot: tuple(
                service.worker(f"data-{slot.number}", number).run for number in range(JOBS_AT_ONCE)
            ),
            delays=gateway_retries,
            slots=SLOTS,
            details=service.details,
            on_state=service.on_state,
        )
        await ServiceHost(settings, bus, parts, clock=SYSTEM_CLOCK).run(stop)


def _port(settings: Settings) -> BarsPort:
    if settings.broker.provider == "ibkr":
        from ibstream_data.adapters.ibkr import IBKRDataAdapter

        return IBKRDataAdapter(settings, clock=SYSTEM_CLOCK)
    from ibstream.runtime.symbols import load_symbols
    from ibstream.simulation.instruments import InstrumentMaster
    from ibstream.simulation.market import Market
    from ibstream_data.adapters.simulated import SimulatedBars

    instruments = InstrumentMaster(load_symbols(settings.symbols_path))
    return SimulatedBars(Market(settings.simulation.seed), instruments, clock=SYSTEM_CLOCK)


def main() -> None:
    """Entry point of `ibstream-data`."""
    sys.exit(run_service("data", serve))


if __name__ == "__main__":
    main()
