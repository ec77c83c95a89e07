"""Serving the control API on the event loop of the Gateway."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn

from ibstream_gateway_emulator.control.app import create_app
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.listener import CannotListenError, reason_of

BACKLOG = 64
CONNECTIONS_MAX = 64
STOP_GRACE_S = 0.5
"""How long answers under way may take once it is told to stop."""

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def serving_control(gateway: Gateway, host: str, port: int) -> AsyncIterator[int]:
    """The control API while the context lasts; its port, which is free to choose with 0. Raises `CannotListenError`."""
    listener = _listen(host, port)
    bound = int(listener.getsockname()[1])
    server = _Server(_config(gateway))
    serving = asyncio.create_task(server.serve([listener]), name="gateway-emulator-control")
    _log.info("gateway_emulator.control_listening", url=f"http://{host}:{bound}")
    try:
        yield bound
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=STOP_GRACE_S)
        server.force_exit = True
        await serving
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListenError(f"cannot serve the control API on {host}:{port}: {reason_of(error)}") from error


def _config(gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(gateway),
        http="h11",
        ws="none",
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
