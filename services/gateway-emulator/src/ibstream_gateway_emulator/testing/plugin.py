"""The pytest plugin: a `gateway` fixture. Installing `ibstream-gateway-emulator` is all it takes.

    from ib_async import IB, MarketOrder, Stock

    def test_it_buys(gateway):
        ib = IB()
        ib.connect(gateway.host, gateway.port, clientId=1)
        trade = ib.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder("BUY", 10, tif="DAY"))
        ...

Other symbols, another seed, lifted limits: override the fixture `gateway_settings` in a conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ibstream_gateway_emulator.settings import EmulatorSettings
    from ibstream_gateway_emulator.testing.beside import GatewayBeside

# The emulator is imported by the fixtures alone: every pytest run of the environment loads this module.


@pytest.fixture
def gateway_settings() -> EmulatorSettings:
    """How the `gateway` fixture's stand-in is set up: a free port, some well-known stocks, a quick tick. Override at will."""
    from ibstream_gateway_emulator.settings import EmulatorSettings
    from ibstream_gateway_emulator.testing import WELL_KNOWN

    return EmulatorSettings(symbols=WELL_KNOWN, port=0, tick_interval_ms=50)


@pytest.fixture
def gateway(gateway_settings: EmulatorSettings) -> Iterator[GatewayBeside]:
    """A stand-in Gateway that listens on `gateway.host` and `gateway.port` while the test runs."""
    from ibstream_gateway_emulator.testing.beside import GatewayBeside

    with GatewayBeside(gateway_settings) as beside:
        yield beside
