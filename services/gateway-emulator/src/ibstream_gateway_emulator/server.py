"""The Gateway's front: a listening socket, its connections, and the tick that drives quotes and resting orders."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator

import structlog

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.errors import FatalError
from ibstream_gateway_emulator.connection import Connection
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

_STOP_S = 0.5
"""How long clients may take to read what is still on its way to them when the server stops."""

_log = structlog.get_logger(__name__)


class CannotListenError(FatalError):
    """The address cannot be listened on. The message says which and why."""

    exit_status = 1


class GatewayServer:
    """Serves one `Gateway`. It may be stopped, and another server started on the same `state`."""

    def __init__(self, state: Gateway, *, host: str, port: int) -> None:
        self.state = state
        """What lasts: orders, account, clients."""
        self.host = host
        self.port = port
        """Once started the port listened on, even where 0 was asked for."""
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises `CannotListenError` if the address is not to be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self.state, self._connections), self.host, self.port
            )
        except OSError as error:
            raise CannotListenError(_why(error, self.host, self.port)) from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._ticking = loop.create_task(self._tick(), name="gateway-emulator-tick")
        settings = self.state.settings
        _log.info(
            "gateway_emulator.listening",
            host=self.host,
            port=self.port,
            seed=settings.seed,
            account=settings.account,
            symbols=len(self.state.master),
        )

    async def stop(self) -> None:
        """Close every connection and free the port. A second call does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
        leaving = list(self._connections)
        for connection in leaving:
            connection.close("the emulator stops")
        if leaving:
            await asyncio.wait({connection.gone for connection in leaving}, timeout=_STOP_S)
        for connection in list(self._connections):
            connection.abort()
        _log.info("gateway_emulator.stopped", port=self.port)

    async def wait_failed(self) -> None:
        """Return only by raising the error that ended the ticks: then quotes and orders stand still."""
        if self._ticking is not None:
            await asyncio.wait({self._ticking})
            await self._ticking

    async def _tick(self) -> None:
        interval_s = self.state.settings.tick_interval_ms / 1000
        while True:
            await self.state.clock.sleep(interval_s)
            try:
                self.state.step()
            except Exception:
                # A Gateway whose quotes stand still must not look alive.
                _log.critical("gateway_emulator.failed", exc_info=True)
                for connection in list(self._connections):
                    connection.abort()
                raise


@contextlib.asynccontextmanager
async def running_gateway(
    settings: EmulatorSettings, *, state: Gateway | None = None, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[GatewayServer]:
    """A Gateway that listens while the context lasts.

    `state` continues a former one: of `settings` only host and port count then.

        async with running_gateway(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
            await ib.connectAsync("127.0.0.1", gateway.port, clientId=1)
    """
    lasting = state if state is not None else Gateway(settings, clock)
    gateway = GatewayServer(lasting, host=settings.host, port=settings.port)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def _why(error: OSError, host: str, port: int) -> str:
    reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return f"cannot listen on {host}:{port}: {reason}"
