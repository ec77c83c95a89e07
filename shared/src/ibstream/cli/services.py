"""Which modules are run as processes. They are named, never imported."""

from __future__ import annotations

SERVICE_MODULES = {
    "broker": "ibstream_broker",
    "data": "ibstream_data",
    "feed": "ibstream_feed",
    "gateway-watchdog": "ibstream_gateway_watchdog",
}
"""Name of each service and the module that `python -m` runs."""

EMULATOR_MODULE = "ibstream_gateway_emulator"
EMULATOR_NAME = "gateway-emulator"
