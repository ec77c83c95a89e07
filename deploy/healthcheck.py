"""Whether the service of this image is alive: exit status 0 or 1. The image's HEALTHCHECK runs it every ten seconds.

It needs the standard library alone, because importing more each time would cost more than the service's own idling.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys

TIMEOUT_S = 3.0
HEALTH_PORTS = {
    "broker": ("SA_METRICS__PORT_BROKER", 9101),
    "data": ("SA_METRICS__PORT_DATA", 9102),
    "feed": ("SA_METRICS__PORT_FEED", 9103),
    "gateway-watchdog": ("SA_WATCHDOG__HTTP_PORT", 8000),
}
HANDSHAKE_PORTS = {"gateway-emulator": ("EMULATOR_PORT", 14002)}
HELLO = b"API\0\0\0\0\x09v157..178"
"""The first bytes of a client; the answer, version and time, comes before a client id is taken."""


def is_live(port: int) -> bool:
    """Whether `/livez` answers 200 on `port` of this container."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    finally:
        connection.close()


def shakes_hands(port: int) -> bool:
    """Whether a Gateway answers the handshake on `port` of this container."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(HELLO)
        return len(connection.recv(64)) >= len(b"\0\0\0\0178\0")


def check(service: str) -> bool:
    """Whether `service` answers; a refused or silent connection is a no."""
    try:
        if service in HEALTH_PORTS:
            return is_live(_port(*HEALTH_PORTS[service]))
        return shakes_hands(_port(*HANDSHAKE_PORTS[service]))
    except (OSError, http.client.HTTPException):
        return False


def _port(variable: str, default: int) -> int:
    return int(os.environ.get(variable, default))


if __name__ == "__main__":
    sys.exit(0 if check(os.environ["IBSTREAM_SERVICE"]) else 1)
