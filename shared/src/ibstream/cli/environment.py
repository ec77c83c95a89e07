"""The surroundings of child processes: variables, ports, and what must never be reached by the demo. Pure but for the ports."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

from ibstream.runtime.errors import IbstreamError
from ibstream.runtime.settings import LIVE_PORTS, PAPER_PORTS

LOOPBACK = "127.0.0.1"

REAL_GATEWAY_PORTS = frozenset(LIVE_PORTS) | frozenset(PAPER_PORTS)
"""Where a real Gateway or TWS may listen; the demo refuses them."""

DEMO_CLIENT_ID = 1
DEMO_LINES = 120
"""The stand-in Gateway sells as many market data lines as one likes; 120 shows more than the usual 100."""

DEMO_REQUESTS_PER_S = 45
"""IBKR's 50 a second, with a margin: all subscriptions are out in about three seconds."""

DEMO_REQUESTS_PER_S_IN_ALL = 75
"""With the broker's and the bars'. A real Gateway takes 50; the stand-in counts them for each connection."""

_NOT_INHERITED = (
    "SA_BROKER__",
    "SA_DATA__",
    "SA_FEED__",
    "SA_METRICS__",
    "SA_RISK__",
    "SA_SIMULATION__",
    "SA_WATCHDOG__",
)


class PortTakenError(IbstreamError):
    """Something listens where the demo wants to."""


def demo_environment(inherited: Mapping[str, str], *, gateway_port: int, http_port: int, seed: int) -> dict[str, str]:
    """The environment of the demo's processes: whatever was configured, they can reach the stand-in Gateway alone.

    Variables override the settings file and secrets, so everything that says where orders go is set here. `SA_REDIS__*`,
    `SA_LOGGING__LEVEL` and `SA_CONFIG` are kept.
    """
    kept = {name: value for name, value in inherited.items() if not name.upper().startswith(_NOT_INHERITED)}
    return with_variables(
        kept,
        {
            "SA_BROKER__PROVIDER": "ibkr",
            "SA_BROKER__PAPER_TRADING": "true",
            "SA_BROKER__CONFIRM_LIVE": "",
            "SA_BROKER__IBKR__HOST": LOOPBACK,
            "SA_BROKER__IBKR__PORT": str(gateway_port),
            "SA_BROKER__IBKR__CLIENT_ID": str(DEMO_CLIENT_ID),
            "SA_BROKER__IBKR__ACCOUNT_ID": "",
            "SA_BROKER__IBKR__REQUESTS_PER_S": str(DEMO_REQUESTS_PER_S_IN_ALL),
            "SA_FEED__MARKET_DATA_LINES": str(DEMO_LINES),
            "SA_FEED__REQUESTS_PER_S": str(DEMO_REQUESTS_PER_S),
            "SA_SIMULATION__SEED": str(seed),
            "SA_WATCHDOG__HTTP_HOST": LOOPBACK,
            "SA_WATCHDOG__HTTP_PORT": str(http_port),
            "SA_METRICS__HOST": LOOPBACK,
            "SA_METRICS__PORT_BROKER": "0",
            "SA_METRICS__PORT_DATA": "0",
            "SA_METRICS__PORT_FEED": "0",
            "SA_LOGGING__FORMAT": "json",
        },
    )


def with_variables(environment: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """`environment` with `variables` set. Settings ignore case, so other spellings of the same names are dropped."""
    names = {name.upper() for name in variables}
    return {**{name: value for name, value in environment.items() if name.upper() not in names}, **variables}


def refuse_taken_ports(ports: Mapping[str, int]) -> None:
    """Raise `PortTakenError`, naming option and port of every one that is not free on 127.0.0.1 or named twice."""
    taken = [f"{port} ({option})" for option, port in ports.items() if not _is_free(port)]
    if taken:
        raise PortTakenError(
            f"another program listens on 127.0.0.1 port {', '.join(taken)}; stop it, or give another port with that option"
        )
    if len(set(ports.values())) < len(ports):
        raise PortTakenError(f"{', '.join(ports)} must be different ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        return True
    return False
