"""The Gateway's front: a listening socket, its connections, and the tick that drives quotes and resting orders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable

import structlog

from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.connection import Connection
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.listener import CannotListenError, Listener
from ibstream_gateway_emulator.lobby import overdue
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import EmulatorSettings

__all__ = ["CannotListenError", "GatewayServer", "running_gateway"]

_STOP_S = 0.5
"""How long clients may take to read what is still on its way to them when the server stops."""

_log = structlog.get_logger(__name__)


class GatewayServer:
    """Serves one `Gateway`, as its `Front`. It may be stopped, and another server started on the same `state`."""

    def __init__(self, state: Gateway, *, host: str, port: int) -> None:
        self.state = state
        """What lasts: orders, account, clients."""
        self.host = host
        self._connections: set[Connection] = set()
        self._listener = Listener(self._accept, host, port)
        self._ticking: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._doing: set[asyncio.Task[None]] = set()
        self._ghosts: list[Client] = []

    @property
    def port(self) -> int:
        """Once started the port listened on, even where 0 was asked for."""
        return self._listener.port

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect; not while connects are refused or the Gateway restarts."""
        return self._listener.is_open

    async def start(self) -> None:
        """Listen. Raises `CannotListenError` if the address is not to be had."""
        await self._listener.open()
        self.state.front = self
        self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="gateway-emulator-tick")
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
        if self.state.front is not self:
            return
        self.state.front = None
        await _end(task for task in (self._ticking, self._restarting, *self._doing) if task is not None)
        self._listener.close(keeps_port=False)
        await self._send_away("the emulator stops")
        _log.info("gateway_emulator.stopped", port=self.port)

    async def wait_failed(self) -> None:
        """Return only by raising the error that ended the ticks: then quotes and orders stand still."""
        if self._ticking is not None:
            await asyncio.wait({self._ticking})
            await self._ticking

    def command(self, verb: verbs.Verb) -> None:
        """Do what a verb says. Raises `CommandError` where that cannot be done, and says why."""
        acts.command(self.state, verb)

    # What a verb may ask for: `Front`.

    def faults_changed(self) -> None:
        """Look anew at what is in force: whether to listen, and what is wrong with the wires."""
        for connection in list(self._connections):
            connection.faults_changed()
        if self._restarting is not None:
            return
        if self.state.faults.refuses_connects():
            self._listener.close(keeps_port=True)
        elif not self._listener.is_open:
            self._do(self._listener.open())

    def drop(self, client_id: int | None, *, abortive: bool) -> bool:
        """Close this client's connection, or all with None. False if there is none."""
        dropped = self._of(client_id)
        for connection in dropped:
            if abortive:
                connection.abort()
            else:
                connection.close("dropped by command")
        return bool(dropped)

    def fall_silent(self, client_id: int | None, *, keeps_client_id: bool) -> bool:
        """Let this client's socket stay, or all with None, and look at nothing that comes nor write any more.

        False if there is none.
        """
        silenced = self._of(client_id)
        for connection in silenced:
            ghost = connection.fall_silent(keeps_client_id=keeps_client_id)
            if ghost is not None:
                self._ghosts.append(ghost)
        return bool(silenced)

    def cut_silent(self) -> None:
        """End the connections that fell silent, and forget the clients that only they kept."""
        for connection in list(self._connections):
            if connection.is_half_open:
                connection.abort()
        ghosts, self._ghosts = self._ghosts, []
        for ghost in ghosts:
            self.state.leave(ghost)

    def restart(self, *, deaf_s: float, down_s: float, roll_back_order_ids: int) -> bool:
        """Begin a restart. False while another one is under way; then nothing happens."""
        if self._restarting is not None:
            return False
        self._restarting = self._do(self._restart(deaf_s, down_s, roll_back_order_ids))
        return True

    def move(self, port: int | None) -> None:
        """Leave for another port, 0 for any free one, None for the same, and cut off all clients when they have been told."""
        if port not in (None, self.port):
            self._listener.move(port or 0)
            self.faults_changed()
        acts.broadcast(self.state, codes.port_reset(self.port))
        self.drop(None, abortive=False)
        _log.info("gateway_emulator.moved", port=self.port)

    # Inside.

    def _accept(self) -> Connection:
        self._cut_overdue()
        return Connection(self.state, self._connections)

    def _cut_overdue(self) -> None:
        for connection in overdue(self._connections, self.state.clock.monotonic()):
            _log.warning("gateway_emulator.connection_without_client_cut", age_s=connection.age_s)
            connection.abort()

    def _of(self, client_id: int | None) -> list[Connection]:
        return [one for one in self._connections if client_id is None or one.client_id == client_id]

    def _do(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("gateway_emulator.command_failed", error=str(error))

    async def _restart(self, deaf_s: float, down_s: float, roll_back_order_ids: int) -> None:
        state, clock = self.state, self.state.clock
        state.faults.is_deaf = deaf_s > 0
        try:
            await clock.sleep(deaf_s)
            self._listener.close(keeps_port=True)
            await self._send_away("the Gateway restarts")
            # A Gateway that has just started knows of no sessions.
            self.cut_silent()
        finally:
            state.faults.is_deaf = False
        self._lose_kept()
        state.orders.forget_untransmitted(state.now_ns())
        state.orders.roll_back_ids(roll_back_order_ids)
        await clock.sleep(down_s)
        self._restarting = None
        if not state.faults.refuses_connects():
            await self._listener.open()
        _log.info("gateway_emulator.restarted", port=self.port)

    def _lose_kept(self) -> None:
        """Orders that waited for the link to IBKR do not survive the Gateway."""
        state = self.state
        while state.gap.kept:
            waiting = state.gap.kept.popleft()
            if isinstance(waiting.request, PlaceOrder):
                state.lose(waiting.client.client_id, waiting.request, "restart")

    async def _send_away(self, reason: str) -> None:
        leaving = list(self._connections)
        for connection in leaving:
            connection.close(reason)
        if leaving:
            await asyncio.wait({connection.gone for connection in leaving}, timeout=_STOP_S)
        for connection in list(self._connections):
            connection.abort()

    async def _tick(self) -> None:
        interval_s = self.state.settings.tick_interval_ms / 1000
        while True:
            await self.state.clock.sleep(interval_s)
            try:
                acts.step(self.state)
                self.state.step()
                self._cut_overdue()
            except Exception:
                # A Gateway whose quotes stand still must not look alive.
                _log.critical("gateway_emulator.failed", exc_info=True)
                for connection in list(self._connections):
                    connection.abort()
                raise


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = set(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)


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
