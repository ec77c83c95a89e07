"""The HTTP server, run on the event loop of the process and stopped by it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from ibstream.runtime.errors import ConfigurationError
from ibstream_gateway_watchdog.hub import Hub

BACKLOG = 128
CONNECTIONS_MAX = 256
STOP_GRACE_S = 0.5
"""How long answers under way may take once the process is told to stop."""

CLIENT_MESSAGE_BYTES_MAX = 4096
"""WebSocket clients have nothing to say."""

PEER_TIMEOUT_MS = 15_000
"""A peer that takes no data for this long is gone, and its socket with it."""

_log = structlog.get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `ConfigurationError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot serve HTTP on {host}:{port} ({error.strerror}); set SA_WATCHDOG__HTTP_PORT to a free port, "
            "or to 0 for any, and SA_WATCHDOG__HTTP_HOST to an address of this machine"
        ) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_TIMEOUT_MS)
    return listener


async def serve_http(app: FastAPI, listener: socket.socket, hub: Hub, *, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then send WebSocket clients away (1001), finish what is under way, and close `listener`."""
    server = _Server(_config(app))
    host, port = listener.getsockname()[:2]
    serving = asyncio.create_task(server.serve([listener]), name="http")
    stopped = asyncio.create_task(stop.wait())
    _log.info("http.listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    try:
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        hub.close()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=STOP_GRACE_S)
        server.force_exit = True
        await serving
    finally:
        stopped.cancel()
        serving.cancel()
        listener.close()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",  # `auto` takes the legacy one, which websockets deprecates
        ws_max_size=CLIENT_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
    )


class _Server(uvicorn.Server):
    """Leaves signals to `run_until_signalled`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
