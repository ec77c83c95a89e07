"""The broker as a process: `python -m ibstream_broker`."""

from __future__ import annotations

import asyncio
import sys

from ibstream.bus import Bus
from ibstream.runtime.backoff import gateway_retries
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.entry import run_service
from ibstream.runtime.faultpoints import arm
from ibstream.runtime.service import ServiceHost, ServiceParts
from ibstream.runtime.settings import Settings
from ibstream_broker.adapters.quotes import LastQuotes
from ibstream_broker.configured import options_of
from ibstream_broker.ports import BrokerPort
from ibstream_broker.service import BrokerService

SLOTS = 1
"""One broker is active; others stand by and take over when its lease ends."""


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Wire the service and run it until `stop` is set."""
    arm(live=settings.broker.provider == "ibkr" and not settings.broker.paper_trading)
    port = _port(settings)
    async with (
        Bus(settings.redis.bus_url, client_name="broker") as bus,
        Bus(settings.redis.quotes_bus_url, client_name="broker-quotes") as quotes_bus,
    ):
        quotes = LastQuotes(quotes_bus, settings.feed.shards)
        service = BrokerService(bus, port, options_of(settings), clock=SYSTEM_CLOCK, quotes=quotes)
        parts = ServiceParts(
            name="broker",
            connection=port,
            synchronise=service.synchronise,
            workers=service.workers,
            delays=gateway_retries,
            slots=SLOTS,
            details=service.details,
            on_state=service.on_state,
        )
        await ServiceHost(settings, bus, parts, clock=SYSTEM_CLOCK).run(stop)


def _port(settings: Settings) -> BrokerPort:
    match settings.broker.provider:
        case "ibkr":
            from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter

            return IBKRBrokerAdapter(settings, clock=SYSTEM_CLOCK)
        case "simulated":
            return _simulated(settings)
        case "stub":
            from ibstream_broker.adapters.stub import PaperStubBroker

            return PaperStubBroker(clock=SYSTEM_CLOCK)


def _simulated(settings: Settings) -> BrokerPort:
    from ibstream.runtime.symbols import load_symbols
    from ibstream.simulation.instruments import InstrumentMaster
    from ibstream.simulation.market import Market
    from ibstream.simulation.matching import MatchingEngine
    from ibstream_broker.adapters.simulated import SimulatedBroker

    instruments = InstrumentMaster(load_symbols(settings.symbols_path))
    return SimulatedBroker(MatchingEngine(Market(settings.simulation.seed)), instruments, clock=SYSTEM_CLOCK)


def main() -> None:
    """Entry point of `ibstream-broker`."""
    sys.exit(run_service("broker", serve))


if __name__ == "__main__":
    main()
