"""One connection to a Gateway with one client id, made so that it cannot hang, lie or be lost unnoticed.

ib_async's traps that this module closes: a client id in use shows only as a timeout (the error event tells, so it is
watched during the connect); a synchronisation that timed out passes for done (`raiseSyncErrors`); a half-open socket is
never found (keepalive, and a probe with a deadline); requests in flight wait for ever after a disconnect (each of ours races
with the end of the session); a failed request looks like an empty answer (`RaiseRequestErrors`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from ibstream.ibkr import ClientIdInUse, GatewayUnavailable, RequestFailed
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.pacing import Window
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.settings import Settings, refuse_wrong_account

if TYPE_CHECKING:
    from ib_async import IB

T = TypeVar("T")

EVENTS_MAX = 100
"""Events of a session that may wait to be heard; 1100 can repeat every minute for hours."""

VALIDATION_CODE = 321

_WORTH_A_LINE = {CodeClass.UNLISTED, CodeClass.COMPETING_SESSION, CodeClass.FARM_BROKEN, CodeClass.PACING}
"""Codes that a person should see in the log; the others are counted."""

REQUEST_TIMEOUT_S = 30.0
"""How long one request may take where its caller does not say; the Gateway can leave any unanswered."""

TIME_REST_S = 1.05
"""A Gateway ignores a session that asks for the time within a second of the last answer; the rest is for what is on its way."""

CONNECT_MESSAGES = 3
"""What a connect sends past `room`: the start, and the requests for positions and for account values."""

_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
"""A dead peer is found after about 20 s even while nothing is sent."""

_log = structlog.get_logger(__name__)

_CLOSED = (
    "connected, but closed before the API handshake was done (is our address trusted, and a Gateway behind the port?)"
)

OnError = Callable[[int, int, str], None]
"""Called with (request or order id, code, text) of every code that is not about the connection itself."""

OnFarm = Callable[[str, int], None]
"""Called with the name of a data farm (`usfarm`) and the code that IBKR sent about it."""


@dataclass(frozen=True)
class SessionOptions:
    """What a service wants of its connection."""

    service: str
    """For logs and metrics."""
    requests_per_s: int
    """Messages a second that `room` lets through; IBKR allows 50 for all connections of a user together."""
    account_updates: bool = False
    """Subscribe the account's values and portfolio at connect. One connection per Gateway only: the broker's."""


class IbkrSession:
    """A session that is made, lost and made again on one ib_async object.

    `events` carries what happens to it, in order: link lost, link restored, lost. `ib` is for the adapters, while connected.
    """

    def __init__(
        self,
        settings: Settings,
        options: SessionOptions,
        *,
        clock: Clock,
        on_error: OnError,
        on_farm: OnFarm = lambda *_: None,
    ) -> None:
        _require_ib_async()
        self._settings = settings
        self._ibkr = settings.broker.ibkr
        self._options = options
        self._clock = clock
        self._on_error = on_error
        self._on_farm = on_farm
        self._ib: IB | None = None
        self._events: asyncio.Queue[ConnectionEvent] = asyncio.Queue(EVENTS_MAX)
        self._lost: asyncio.Future[str] | None = None
        self._client_id_refused: asyncio.Event = asyncio.Event()
        self._probe: asyncio.Task[None] | None = None
        self._single_flight: dict[str, asyncio.Lock] = {}
        self._window = Window(options.requests_per_s, clock)
        self._time_told_at = -math.inf
        self.count = 0
        """Counts the sessions; 0 before the first."""
        self.account = ""
        """The account of this session; empty before the first connect."""
        self.farms: dict[str, str] = {}
        """Data farms by name, and the class of the last code about each."""

    @property
    def address(self) -> str:
        """`host:port` of the Gateway."""
        return f"{self._ibkr.host}:{self._ibkr.port}"

    @property
    def connected(self) -> bool:
        """Whether the API session is up; says nothing about the Gateway's link to IBKR."""
        return self._lost is not None and not self._lost.done()

    @property
    def ib(self) -> IB:
        """The ib_async object; raises `GatewayUnavailable` while there is no session."""
        if self._ib is None or not self.connected:
            raise GatewayUnavailable(f"no session with the Gateway at {self.address}")
        return self._ib

    async def connect(self, client_id: int, prepare: Callable[[IB], None] = lambda _: None) -> None:
        """Make the session. `prepare` is called once with the ib_async object, before anything arrives on it.

        Raises `ClientIdInUse` on 326, `GatewayUnavailable` when it cannot be made, and `ConfigurationError` when the account
        behind it does not fit the mode.
        """
        if self._ib is None:
            self._ib = self._make_ib(prepare)
        self._events = asyncio.Queue(EVENTS_MAX)
        self._client_id_refused.clear()
        self._time_told_at = -math.inf
        self.farms = {}
        try:
            await self._connect_or_refused(self._ib, client_id)
            await self._settle(self._ib)
        except BaseException:
            self._abort()
            raise
        self._lost = asyncio.get_running_loop().create_future()
        self.count += 1
        self._enable_keepalive()
        self._probe = asyncio.create_task(self._probe_for_ever(), name="gateway-probe")
        self._probe.add_done_callback(self._on_probe_ended)

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session; the last one is `LOST`."""
        return await self._events.get()

    async def close(self) -> None:
        """End the session; requests in flight fail with `GatewayUnavailable`."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._end("closed by us")
        self._abort()

    async def request(self, make: Callable[[IB], Awaitable[T]], *, timeout_s: float = REQUEST_TIMEOUT_S) -> T:
        """Await one request to the Gateway, which has `timeout_s` seconds for it once there is room to send it.

        Raises `RequestFailed` with IBKR's code, `GatewayUnavailable` when the session ends meanwhile, and `TimeoutError`.
        """
        from ib_async.wrapper import RequestError

        await self.room()
        ib, lost = self.ib, self._lost
        assert lost is not None  # noqa: S101 - `ib` has just checked it
        task: asyncio.Future[T] | None = None
        try:
            task = asyncio.ensure_future(make(ib))
            waiting: set[asyncio.Future[Any]] = {task, lost}
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if lost.done():
                raise GatewayUnavailable(f"the session ended while a request was under way: {lost.result()}")
            raise TimeoutError(f"the Gateway did not answer within {timeout_s:g} s")
        except RequestError as error:
            raise RequestFailed(error.code, error.message) from error
        except ConnectionError as error:
            raise error if isinstance(error, GatewayUnavailable) else GatewayUnavailable(str(error)) from error
        finally:
            if task is not None:
                task.cancel()

    def limit(self, requests_per_s: int) -> None:
        """Let so many messages a second through from now on."""
        self._window.limit(requests_per_s)

    def free(self) -> int:
        """How many messages may go out now without waiting."""
        return self._window.free()

    async def room(self) -> None:
        """Return when one more message may go out at once. What ib_async holds back in its queue it sends late, or never."""
        await self._window.take()

    async def request_alone(
        self, key: str, make: Callable[[IB], Awaitable[T]], *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> T:
        """As `request`, one at a time per `key`: ib_async loses the first of two requests that have no id of their own."""
        async with self._single_flight.setdefault(key, asyncio.Lock()):
            return await self.request(make, timeout_s=timeout_s)

    async def answers(self) -> bool:
        """Whether the session is live: the Gateway tells the time within the deadline."""
        try:
            async with self._single_flight.setdefault("currentTime", asyncio.Lock()):
                rest_s = self._time_told_at + TIME_REST_S - self._clock.monotonic()
                if rest_s > 0:
                    await self._clock.sleep(rest_s)
                await self.request(lambda ib: ib.reqCurrentTimeAsync(), timeout_s=self._ibkr.probe_timeout_s)
                self._time_told_at = self._clock.monotonic()
        except (GatewayUnavailable, RequestFailed, TimeoutError):
            return False
        return True

    def _make_ib(self, prepare: Callable[[IB], None]) -> IB:
        from ib_async import IB

        ib = IB()
        ib.RaiseRequestErrors = True
        prepare(ib)
        ib.client.MaxRequests = 0  # no limit of its own, so no queue: `room` keeps to ours, before anything is sent
        ib.errorEvent += self._on_code
        ib.disconnectedEvent += self._on_disconnected
        return ib

    async def _connect_or_refused(self, ib: IB, client_id: int) -> None:
        from ib_async import StartupFetchNONE

        await _former_socket_gone(ib)
        attempt = asyncio.ensure_future(
            ib.connectAsync(
                self._ibkr.host,
                self._ibkr.port,
                clientId=client_id,
                timeout=self._ibkr.connect_timeout_s,
                readonly=True,
                raiseSyncErrors=True,
                fetchFields=StartupFetchNONE,
            )
        )
        refused = asyncio.ensure_future(self._client_id_refused.wait())
        closed = asyncio.get_running_loop().create_future()
        on_closed = _setter_of(closed)
        ib.client.conn.disconnected += on_closed
        try:
            await asyncio.wait({attempt, refused, closed}, return_when=asyncio.FIRST_COMPLETED)
            if self._client_id_refused.is_set():
                raise ClientIdInUse(f"client id {client_id} is in use at {self.address} (326)")
            if closed.done() and not attempt.done():
                raise GatewayUnavailable(f"{self.address}: {_CLOSED}")
            attempt.result()
        except (TimeoutError, OSError) as error:
            if isinstance(error, GatewayUnavailable):
                raise
            raise GatewayUnavailable(f"{self.address}: {_explain(error)}") from error
        finally:
            ib.client.conn.disconnected -= on_closed
            refused.cancel()
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await attempt

    async def _settle(self, ib: IB) -> None:
        """What remains to be done before the session counts as one."""
        self.account = self._choose_account(ib.managedAccounts())
        await self._follow_account(ib)
        for _ in range(CONNECT_MESSAGES):
            await self.room()
        if not ib.isConnected():  # nobody has listened for its end yet
            raise GatewayUnavailable(f"{self.address}: closed the connection as soon as it was made")

    def _choose_account(self, accounts: list[str]) -> str:
        wanted = self._ibkr.account_id
        if wanted and wanted not in accounts:
            raise ConfigurationError(
                f"account {wanted} is not of this login ({', '.join(accounts)}): set SA_BROKER__IBKR__ACCOUNT_ID to one that is"
            )
        if not accounts:
            raise GatewayUnavailable(f"{self.address} named no account")
        account = wanted or accounts[0]
        refuse_wrong_account(self._settings, account)
        return account

    async def _follow_account(self, ib: IB) -> None:
        """Subscribe the values of the account chosen. Asked for an account of another login, a Gateway never ends its answer."""
        if not self._options.account_updates:
            return
        try:
            async with asyncio.timeout(self._ibkr.connect_timeout_s):
                await ib.reqAccountUpdatesAsync(self.account)
        except (TimeoutError, ConnectionError) as error:
            why = str(error) or "no answer"
            raise GatewayUnavailable(f"{self.address}: no values of account {self.account}: {why}") from error

    def _enable_keepalive(self) -> None:
        transport = self.ib.client.conn.transport
        raw = transport.get_extra_info("socket") if transport is not None else None
        if raw is None:
            return
        with contextlib.suppress(OSError):  # a socket that is closed already ends the session by itself
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def _probe_for_ever(self) -> None:
        """A peer that is gone without a word is found here: keepalive alone is answered by a frozen process's kernel."""
        while self.connected:
            await self._clock.sleep(self._ibkr.probe_interval_s)
            if self.connected and not await self.answers():
                self._end(f"the Gateway does not answer within {self._ibkr.probe_timeout_s:g} s")

    def _on_probe_ended(self, probe: asyncio.Task[None]) -> None:
        """A probe that failed would leave a half-open connection undiscovered: better no session."""
        if not probe.cancelled() and probe.exception() is not None:
            _log.error("ibkr.probe_failed", exc_info=probe.exception())
            self._end("the probe failed")

    def _on_code(self, request_id: int, code: int, text: str, _contract: object) -> None:
        kind = classify(code, text)
        metrics.IBKR_CODES.labels(self._options.service, code, kind).inc()
        level = "warning" if kind in _WORTH_A_LINE else "debug"
        getattr(_log, level)("ibkr.code", code=code, text=text, kind=kind, request_id=request_id)
        if kind is CodeClass.CLIENT_ID_IN_USE:
            self._client_id_refused.set()
        elif kind is CodeClass.LINK_LOST:
            self._tell(ConnectionEvent(Trigger.LINK_LOST, f"{text} ({code})"))
        elif kind in (CodeClass.LINK_RESTORED, CodeClass.LINK_RESTORED_DATA_LOST):
            self._tell(ConnectionEvent(Trigger.LINK_RESTORED, f"{text} ({code})", code))
        elif kind in (CodeClass.FARM_BROKEN, CodeClass.FARM_OK, CodeClass.FARM_IDLE):
            farm = text.rpartition(":")[2]
            self.farms[farm] = kind
            self._on_farm(farm, code)
        else:
            self._fail_request(request_id, code, text)
            self._on_error(request_id, code, text)

    def _fail_request(self, request_id: int, code: int, text: str) -> None:
        """End a request that IBKR has refused with 321: ib_async takes that for a warning, and would wait for ever."""
        from ib_async.wrapper import RequestError

        if self._ib is not None and code == VALIDATION_CODE:
            self._ib.wrapper._endReq(request_id, RequestError(request_id, code, text), success=False)  # noqa: SLF001

    def _on_disconnected(self) -> None:
        self._end("the Gateway closed the connection")

    def _end(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)
            self._tell(ConnectionEvent(Trigger.LOST, reason))

    def _tell(self, event: ConnectionEvent) -> None:
        if self._events.full():  # nobody listens any more; the newest is the one that counts
            self._events.get_nowait()
        self._events.put_nowait(event)

    def _abort(self) -> None:
        """Close without waiting for a peer that may never read what is still to be sent."""
        if self._ib is None:
            return
        transport = self._ib.client.conn.transport
        if transport is not None:
            transport.abort()
        if self._ib.client.connState != self._ib.client.DISCONNECTED:
            self._ib.disconnect()


async def _former_socket_gone(ib: IB) -> None:
    """Its end must not be taken for that of the next one."""
    connection = ib.client.conn
    if connection.transport is not None:
        connection.transport.abort()
        await connection.disconnected


def _setter_of(future: asyncio.Future[None]) -> Callable[[str], None]:
    def set_once(_: str) -> None:
        if not future.done():
            future.set_result(None)

    return set_once


def _require_ib_async() -> None:
    """Import it now: later, on the event loop, its half second would stall everything else."""
    try:
        import ib_async  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "the provider ibkr needs ib_async: pip install 'ibstream[ibkr]', or set SA_BROKER__PROVIDER=simulated"
        ) from error


def _explain(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer to the API handshake in time (is somebody to confirm the login, or is it another program's port?)"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused (is the Gateway running, and its API port right?)"
    return str(error) or type(error).__name__
