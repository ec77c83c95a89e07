"""A connection on which commands go out at once, many under way, and whose answers come back in order to callbacks.

For writes that cannot wait for a task to be scheduled. A command is packed and written in its caller's own callback, an
answer is handed over in the callback in which its bytes were read; there is nothing else between caller and socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import structlog
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.exceptions import ResponseError

from ibstream.bus.connection import DEADLINE_S, Bus, BusUnavailable
from ibstream.bus.line import Command, packed
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import Trigger
from ibstream.runtime.supervise import supervise, unless

OnAnswer = Callable[[Any], None]
"""Called once with what the server answers, or with the `BusUnavailable` or `BusRefused` that there is instead."""

UNDER_WAY_MAX = 10_000
"""Commands whose answers are awaited; more are not taken."""
BYTES_UNDER_WAY_MAX = 64 * 2**20
"""What those commands may hold together; more is not taken."""

LOOK_S = 1.0
"""Between two looks at how long the oldest command has waited."""

ANSWERS_BYTES = 65_536
"""What is read from the socket at once."""

_RETRY = exponential(0.1, 1.0)

_log = structlog.get_logger(__name__)


class Pipe:
    """Keeps one connection, and writes commands to it without waiting. It is of one event loop and its callbacks.

    Nothing is ever sent twice. When the connection is lost, or the oldest command has waited `deadline_s` (a frozen server
    must be found), every command under way ends with `BusUnavailable`: whether it was done is not known. It is not done
    later, though: before anything is sent on a new connection the server is told to close the old one, so that a command
    of the old can never follow one of the new (where the server's ACL lets us: CLIENT ID, CLIENT KILL and INFO).
    """

    def __init__(
        self,
        bus: Bus,
        *,
        clock: Clock,
        on_connected: Callable[[], None] = lambda: None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`on_connected` is called whenever commands can be sent (again)."""
        self._bus = bus
        self._clock = clock
        self._on_connected = on_connected
        self._deadline_s = deadline_s
        self._wire: _Wire | None = None
        self._session: _Session | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a command can be sent now."""
        return self._wire is not None and self._wire.is_open

    @property
    def is_congested(self) -> bool:
        """Whether what was sent waits here because the server, or the network, does not take it."""
        return self._wire is not None and self._wire.is_paused

    def send(self, command: Command, on_answer: OnAnswer) -> None:
        """Write a command at once; `on_answer` is called when its answer comes, never before this returns.

        Raises `BusUnavailable` where nothing was sent: there is no connection, or too much is under way.
        """
        wire = self._wire
        if wire is None or not wire.is_open:
            raise BusUnavailable(f"Redis at {self._bus.address}: not connected")
        wire.send(packed(command), on_answer)

    def cork(self) -> None:
        """From now on commands are held back, until as many `uncork` as `cork`, and then go out together: one write to the
        socket, one read of the server's and one answer for all of them. Nothing may be awaited in between."""
        if self._wire is not None:
            self._wire.cork()

    def uncork(self) -> None:
        """Let what was held back go out."""
        if self._wire is not None:
            self._wire.uncork()

    def cut(self, reason: str) -> None:
        """End the connection with every command that is under way, as if it were lost, and connect anew."""
        if self._wire is not None:
            self._wire.cut(reason)

    async def ask(self, *command: str | bytes | int) -> Any:
        """Send a command and return its answer; it keeps its place among those that were sent. Raises as `Bus.call`."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(command, partial(_settle, answered))
        answer = await answered
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run(self, stop: asyncio.Event) -> None:
        """Keep it connected until `stop` is set; then end what is under way and close it.

        Raises `ConfigurationError` where the password is wrong.
        """
        await supervise(
            self._connect, self._serve, delays=_RETRY, on_state=self._on_state, stop=stop, clock=self._clock
        )

    async def _connect(self) -> _Wire:
        connection: Any = self._bus.redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            session = await self._bus.call(_greet(connection, self._session))
            wire = _Wire(connection, self._bus, self._clock, self._deadline_s)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._session = session
        return wire

    async def _serve(self, wire: _Wire) -> None:
        self._wire = wire
        try:
            self._on_connected()
            await wire.watch()
        finally:
            self._wire = None
            await wire.close()

    def _on_state(self, trigger: Trigger, reason: str) -> None:
        if trigger is Trigger.LOST:
            _log.warning("bus.pipe_lost", reason=reason)


class _Session(NamedTuple):
    """A connection as the server knows it. Client ids begin anew with every start of the server, its run id tells."""

    run_id: bytes
    client_id: int


class _UnderWay(NamedTuple):
    on_answer: OnAnswer
    size: int
    since: float


class _Wire(asyncio.BufferedProtocol):
    """One connection that redis-py has made; from then on its streams are only in the way, and bytes come here."""

    def __init__(self, connection: Any, bus: Bus, clock: Clock, deadline_s: float) -> None:
        self._connection = connection
        self._bus = bus
        self._clock = clock
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[_UnderWay] = deque()
        self._bytes_under_way = 0
        self._corks = 0
        self._held: list[bytes] = []
        self._buffer = bytearray(ANSWERS_BYTES)
        self._view = memoryview(self._buffer)
        self._lost = asyncio.Event()
        self._failure = BusUnavailable(f"Redis at {bus.address}: the connection was closed")
        self.is_open = True
        self.is_paused = False
        # redis-py offers neither; a version that names them otherwise fails here, with the first connection
        self._reader = connection._parser._reader  # noqa: SLF001
        self._transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001
        self._transport.set_protocol(self)

    def send(self, data: bytes, on_answer: OnAnswer) -> None:
        if len(self._under_way) >= UNDER_WAY_MAX or self._bytes_under_way >= BYTES_UNDER_WAY_MAX:
            raise BusUnavailable(
                f"Redis at {self._bus.address}: {len(self._under_way)} commands wait for their answers"
            )
        self._under_way.append(_UnderWay(on_answer, len(data), self._clock.monotonic()))
        self._bytes_under_way += len(data)
        if self._corks:
            self._held.append(data)
        else:
            self._transport.write(data)

    def cork(self) -> None:
        self._corks += 1

    def uncork(self) -> None:
        self._corks -= 1
        if not self._corks and self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._transport.write(data)

    async def watch(self) -> None:
        """Raise `BusUnavailable` once the connection is lost, or the oldest command has waited too long."""
        while self.is_open:
            await unless(self._lost, self._clock.sleep(min(LOOK_S, self._left_s())))
            if self._left_s() <= 0:
                self.cut(f"no answer within {self._deadline_s:g} s")
        raise self._failure

    def _left_s(self) -> float:
        """How long the oldest command may still wait."""
        oldest = self._under_way[0].since if self._under_way else self._clock.monotonic()
        return oldest + self._deadline_s - self._clock.monotonic()

    async def close(self) -> None:
        self.cut("the connection was closed")
        await self._connection.disconnect(nowait=True)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is large enough for any
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.feed(self._buffer, 0, nbytes)
        self.cork()  # what these answers set off
        try:
            while (answer := self._reader.gets()) is not NOT_ENOUGH_DATA and self.is_open:
                self._on_answer(answer)
        finally:
            self.uncork()

    def _on_answer(self, answer: Any) -> None:
        if not self._under_way:
            self.cut("it said what nobody had asked for")
            return
        oldest = self._under_way.popleft()
        self._bytes_under_way -= oldest.size
        oldest.on_answer(self._bus.failure(answer) if isinstance(answer, Exception) else answer)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut(str(exc or "the server closed the connection"))

    def cut(self, reason: str) -> None:
        """Nothing is sent or heard from here on. What was under way hears of it in callbacks of its own: nobody is in the
        middle of a `send`, and one that fails does not keep it from the others."""
        if not self.is_open:
            return
        self.is_open = False
        self._failure = BusUnavailable(f"Redis at {self._bus.address}: {reason}")
        for command in self._under_way:
            self._loop.call_soon(command.on_answer, self._failure)
        self._under_way.clear()
        self._held.clear()
        self._transport.abort()
        self._lost.set()


async def _greet(connection: Any, before: _Session | None) -> _Session | None:
    """Connect, and have the connection before closed if the server still holds it; None where the server does not tell."""
    await connection.connect()
    try:
        information = await _answer(connection, "INFO", "server")
        client_id = await _answer(connection, "CLIENT", "ID")
    except ResponseError:
        return None
    session = _Session(information.partition(b"run_id:")[2].partition(b"\r\n")[0], client_id)
    if before is not None and before.run_id == session.run_id:
        with contextlib.suppress(ResponseError):  # it may not
            await _answer(connection, "CLIENT", "KILL", "ID", before.client_id)
    return session


async def _answer(connection: Any, *command: str | int) -> Any:
    await connection.send_packed_command(packed(command), check_health=False)
    return await connection.read_response()


def _settle(answered: asyncio.Future[Any], answer: Any) -> None:
    if not answered.done():
        answered.set_result(answer)
