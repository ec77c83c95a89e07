"""The watchdog as a process: `python -m ibstream_gateway_watchdog`."""

from __future__ import annotations

import asyncio
import sys

from ibstream.bus.connection import Bus
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.health import Health
from ibstream.runtime.logging import configure_logging
from ibstream.runtime.settings import LIVE_PORTS, PAPER_PORTS, Settings, load_settings
from ibstream.runtime.signals import run_until_signalled
from ibstream_gateway_watchdog.adapters.ibkr import HandshakeProbe
from ibstream_gateway_watchdog.http import create_app
from ibstream_gateway_watchdog.server import listen, serve_http
from ibstream_gateway_watchdog.service import Watchdog

NAME = "gateway-watchdog"


async def watch(stop: asyncio.Event) -> None:
    """Build the watchdog from the settings and run it until `stop` is set."""
    settings = load_settings()
    configure_logging(NAME, level=settings.logging.level, format=settings.logging.format)
    health = Health(NAME, SYSTEM_CLOCK)
    with listen(settings.watchdog.http_host, settings.watchdog.http_port) as listener:
        async with Bus(settings.redis.bus_url, client_name=NAME) as bus, asyncio.TaskGroup() as group:
            watchdog = Watchdog(
                bus,
                _probe(settings),
                probe_interval_s=settings.watchdog.probe_interval_s,
                has_resets=_has_resets(settings),
                health=health,
                clock=SYSTEM_CLOCK,
            )
            group.create_task(serve_http(create_app(watchdog, health), listener, watchdog.hub, stop=stop))
            group.create_task(watchdog.run(stop))


def _probe(settings: Settings) -> HandshakeProbe | None:
    if settings.broker.provider != "ibkr":
        return None
    ibkr, timeout_s = settings.broker.ibkr, settings.watchdog.probe_timeout_s
    return HandshakeProbe(ibkr.host, ibkr.port, timeout_s=timeout_s, clock=SYSTEM_CLOCK)


def _has_resets(settings: Settings) -> bool:
    """A stand-in listens on another port than any Gateway of IBKR's, and is never reset."""
    return settings.broker.provider == "ibkr" and settings.broker.ibkr.port in {*LIVE_PORTS, *PAPER_PORTS}


def main() -> int:
    """Run until SIGINT or SIGTERM; the exit statuses are those of `run_until_signalled`."""
    configure_logging(NAME)  # for what goes wrong before the settings are read
    return run_until_signalled(watch)


if __name__ == "__main__":
    sys.exit(main())
