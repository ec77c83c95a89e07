"""A stand-in Gateway on a thread and an event loop of its own, so that programs of any kind can be tested against it.

The program under test may block, run its own loop, or run none: the Gateway goes on beside it. A plain test commands it
with `do` and asks with `orders`, `executions`, `messages`, `clients` and `faults`; an async one awaits the methods of `control`.

    with GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
        gateway.do(verbs.RejectOrders(count=1))
        ...
        assert [order.status for order in gateway.orders()] == ["rejected"]
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from ibstream_gateway_emulator.control import views
from ibstream_gateway_emulator.control.handle import Control, GatewayControl
from ibstream_gateway_emulator.control.journal import Direction
from ibstream_gateway_emulator.control.transcript import MESSAGES_AT_ONCE
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.server import GatewayServer, running_gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

T = TypeVar("T")
Submit = Callable[[Coroutine[Any, Any, Any]], Future[Any]]

START_S = 10.0
"""How long the Gateway may take to listen."""
STOP_S = 10.0
"""How long it may take to end."""
CALL_S = 30.0
"""How long one call over to the Gateway may take."""


class GatewayBeside:
    """A context manager that runs a stand-in Gateway on a thread of its own, once.

    Entering raises `CannotListenError` where the port is not to be had, `TimeoutError` after `START_S`. Outside of the context
    every question and verb raises `RuntimeError`, and so does leaving it if the Gateway does not end.
    """

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.host = settings.host
        self.port = 0
        """The port that is listened on, once started."""
        self._listening: Future[GatewayServer] = Future()
        self._server: GatewayServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="gateway-emulator", daemon=True)

    def __enter__(self) -> Self:
        if self._thread.ident is not None:
            raise RuntimeError("this stand-in Gateway has run already; make another GatewayBeside")
        self._thread.start()
        if wait((self._listening,), START_S).not_done:
            self._end()
            raise TimeoutError(f"the stand-in Gateway does not listen after {START_S:g} s")
        self._server = self._listening.result()
        self.port = self._server.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def control(self) -> Control:
        """The verbs and the questions, to be awaited on any event loop."""
        return _ControlBeside(self._inner, self.submit)

    def do(self, *commanded: verbs.Verb) -> None:
        """Do these verbs, in order. Raises `CommandError` at the first that cannot be done."""
        self._wait(self._inner.command(*commanded))

    def clients(self) -> list[views.ClientRow]:
        """The connected clients."""
        return self._wait(self._inner.clients())

    def orders(self) -> list[views.OrderRow]:
        """Every order, as it stands at IBKR; rejected and lost ones, too."""
        return self._wait(self._inner.orders())

    def executions(self) -> list[views.ExecutionRow]:
        """Every execution, by time, whoever was told of it."""
        return self._wait(self._inner.executions())

    def messages(
        self,
        *,
        client_id: int | None = None,
        direction: Direction | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int = MESSAGES_AT_ONCE,
    ) -> views.Messages:
        """What was said, as `Control.messages` describes it."""
        return self._wait(
            self._inner.messages(client_id=client_id, direction=direction, name=name, after=after, limit=limit)
        )

    def faults(self) -> views.FaultsView:
        """What is in force, and what was commanded so far."""
        return self._wait(self._inner.faults())

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the Gateway's own loop. Raises `RuntimeError` where it does not run."""
        try:
            if self._loop is not None:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop has been closed
            self._loop = None
        work.close()
        raise _not_running()

    @property
    def _inner(self) -> GatewayControl:
        if self._server is None:
            raise _not_running()
        return GatewayControl(self._server.state)

    def _end(self) -> None:
        """Let the Gateway end, and wait for it."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(stop.set)
        self._server = self._loop = None
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise RuntimeError(
                f"the stand-in Gateway has not ended within {STOP_S:g} s: something blocks its event loop"
            )

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result(CALL_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._listening.done():
                self._listening.set_exception(error)
                return
            raise

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with running_gateway(self.settings) as server:
            self._listening.set_result(server)
            await self._stop.wait()


def _not_running() -> RuntimeError:
    return RuntimeError("the stand-in Gateway does not run; it does inside `with GatewayBeside(settings) as gateway:`")


class _ControlBeside(Control):
    """Hands every call over to the Gateway's loop and waits for it on the caller's."""

    def __init__(self, inner: GatewayControl, submit: Submit) -> None:
        self._inner = inner
        self._submit = submit

    async def command(self, *commanded: verbs.Verb) -> None:
        await asyncio.wrap_future(self._submit(self._inner.command(*commanded)))

    async def clients(self) -> list[views.ClientRow]:
        return await asyncio.wrap_future(self._submit(self._inner.clients()))

    async def orders(self) -> list[views.OrderRow]:
        return await asyncio.wrap_future(self._submit(self._inner.orders()))

    async def executions(self) -> list[views.ExecutionRow]:
        return await asyncio.wrap_future(self._submit(self._inner.executions()))

    async def messages(
        self,
        *,
        client_id: int | None = None,
        direction: Direction | None = None,
        name: str | None = None,
        after: int | None = None,
        limit: int = MESSAGES_AT_ONCE,
    ) -> views.Messages:
        asked = self._inner.messages(client_id=client_id, direction=direction, name=name, after=after, limit=limit)
        return await asyncio.wrap_future(self._submit(asked))

    async def faults(self) -> views.FaultsView:
        return await asyncio.wrap_future(self._submit(self._inner.faults()))
