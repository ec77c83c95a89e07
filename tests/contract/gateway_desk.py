"""A desk at a stand-in Gateway that the test holds in its hands."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from contract.brokers import Desk, trading
from contract.gateways import SYMBOLS, settings_for

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings


@contextlib.asynccontextmanager
async def at_a_gateway(**settings: Any) -> AsyncIterator[tuple[GatewayServer, Desk]]:
    """A stand-in Gateway, and a desk in a session with it."""
    told: dict[str, Any] = {"symbols": SYMBOLS, "port": 0, "tick_interval_ms": 50, **settings}
    async with (
        running_gateway(EmulatorSettings(**told), clock=SYSTEM_CLOCK) as gateway,
        trading(IBKRBrokerAdapter(settings_for(gateway.port), clock=SYSTEM_CLOCK)) as desk,
    ):
        yield gateway, desk
