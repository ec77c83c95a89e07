"""The life that broker, data and feed share: a slot, a session, workers, a heartbeat, edges, a health endpoint.

    health endpoint ─ answers from the first moment to the last
    heartbeat, edges ─ written whenever Redis is there
    slot (a lease in Redis) ─ without it nothing below runs, so no two processes use one client id
      session with the Gateway ─ made again for ever
      workers ─ consume requests whether or not there is a session, so that work is refused with a reason

A clean stop goes: not ready → workers finish what they hold → session closed → slot given back → Redis → health endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from ibstream.bus import Bus, BusUnavailable, Lease
from ibstream.contracts.registry import SERVICES, client_id_lease
from ibstream.contracts.system import ConnectionState, Heartbeat
from ibstream.runtime import metrics
from ibstream.runtime.backoff import Delays, exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import Connection, ConnectionEvent, SessionLost, Trigger, advance
from ibstream.runtime.health import Health, HealthServer
from ibstream.runtime.presence import Presence
from ibstream.runtime.settings import Settings
from ibstream.runtime.supervise import cancelled, supervise

SLOT_RETRY_S = 0.1
"""How often a standby asks for the slot. With a lease of 4 s, and half a second to load and connect, it takes over in under
5 s."""
SLOT_STEP = 10
"""A replica in slot n uses client id base + role + 10 n."""

DRAIN_S = 6.0
"""How long workers may take to finish what they hold when the process is told to stop."""

_log = structlog.get_logger(__name__)

Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set, then finishes what it holds and returns."""


@dataclass(frozen=True)
class Slot:
    """What a replica holds while it is active."""

    number: int
    fencing_token: int
    """Greater than that of every holder before: what this replica writes under it, an earlier one can no longer undo."""
    held: Callable[[], bool] = lambda: True
    """Whether the slot is still this replica's, by its own clock: to be asked right before anything is done that no fencing
    token guards, such as sending an order. A process that was frozen must not act on what it was about to do."""


@dataclass(frozen=True)
class ServiceParts:
    """What makes a service this one and not another."""

    name: str
    connection: Connection
    synchronise: Callable[[ConnectionEvent], Coroutine[Any, Any, None]]
    """Called after each connect and each restored link, with what happened: fetch and reconcile what work needs. The
    service is ready when it returns. It is cancelled when something else happens to the session meanwhile, and called
    again once the link is back."""
    workers: Callable[[Slot], tuple[Worker, ...]]
    """Makes the workers for a slot; consumers are named after it, so that a restarted replica finds its pending entries."""
    delays: Delays
    """The waits between two sessions."""
    slots: int
    """How many replicas may be active at once; more wait as standbys."""
    details: Callable[[], Mapping[str, int | float | str]] = dict
    """The service's own figures for its heartbeat."""
    on_state: Callable[[ConnectionState, str], None] = lambda _state, _reason: None
    """Told of every change of the connection's state, synchronously."""


class ServiceHost:
    """Runs one service until it is told to stop."""

    def __init__(self, settings: Settings, bus: Bus, parts: ServiceParts, *, clock: Clock) -> None:
        self._settings = settings
        self._bus = bus
        self._parts = parts
        self._clock = clock
        self._role = SERVICES.index(parts.name)
        self._health = Health(parts.name, clock)
        self._started_at = clock.now()
        self._slot: int | None = None
        self._state = ConnectionState.IDLE
        self._reason = "waiting for Redis"
        self._presence = Presence(bus, parts.name, self._beat, clock=clock)

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    @property
    def instance(self) -> str:
        """This replica's name: its slot."""
        return str(self._slot if self._slot is not None else f"standby-{os.getpid()}")

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises only what no retry can mend."""
        metrics_port = getattr(self._settings.metrics, f"port_{self._parts.name}")
        server = HealthServer(self._health, host=self._settings.metrics.host, port=metrics_port)
        server.start()
        _log.info(
            "service.started", health_port=server.port, redis=self._bus.address, gateway=self._parts.connection.gateway
        )
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._health.beat_for_ever())
                ending = asyncio.Event()
                presence = group.create_task(self._presence.show(ending))
                await self._hold_slots(stop)
                ending.set()
                await presence
                beat.cancel()
        finally:
            server.close()
            _log.info("service.stopped")

    async def _hold_slots(self, stop: asyncio.Event) -> None:
        await supervise(
            self._take_slot,
            self._serve_slot(stop),
            delays=exponential(0.5, 2.0),
            on_state=self._on_slot,
            stop=stop,
            clock=self._clock,
            drain_s=DRAIN_S,
        )

    def _on_slot(self, trigger: Trigger, reason: str) -> None:
        if trigger is not Trigger.LOST:
            return
        if self._slot is None:
            _log.info("service.no_slot_yet", reason=reason)
        else:
            _log.warning("service.slot_lost", slot=self._slot, reason=reason)
        self._slot = None
        self._reason = reason
        self._health.set_not_ready(reason)
        self._presence.refresh()

    async def _take_slot(self) -> Lease:
        """Wait for a free slot and take it."""
        said = False
        while True:
            for slot in range(self._parts.slots):
                lease = Lease(
                    self._bus, self._lease_name(slot), holder=f"{self._parts.name}-{os.getpid()}", clock=self._clock
                )
                if await lease.try_acquire():
                    self._slot = slot
                    _log.info("service.slot_taken", slot=slot, client_id=self.client_id, fencing_token=lease.token)
                    return lease
            self._reason = "standby"
            self._health.set_not_ready("standby: every slot is taken")
            if not said:
                _log.info("service.standby", slots=self._parts.slots)
                said = True
            await self._clock.sleep(SLOT_RETRY_S)

    def _lease_name(self, slot: int) -> str:
        gateway = self._parts.connection.gateway
        host, _, port = gateway.rpartition(":")
        return client_id_lease(host or self._settings.broker.provider, int(port or 0), self._client_id_of(slot))

    def _client_id_of(self, slot: int) -> int:
        return self._settings.broker.ibkr.client_id + self._role + SLOT_STEP * slot

    @property
    def client_id(self) -> int:
        """The client id of the slot held; 0 without one."""
        return self._client_id_of(self._slot) if self._slot is not None else 0

    def _serve_slot(self, stop: asyncio.Event) -> Callable[[Lease], Coroutine[Any, Any, None]]:
        async def serve(lease: Lease) -> None:
            try:
                await self._work(lease, stop)
            finally:
                if self._state is not ConnectionState.IDLE:
                    self._on_session(Trigger.STOP, "the slot is given up")
                await self._parts.connection.close()  # one made in the moment in which the slot was lost
                with contextlib.suppress(BusUnavailable):
                    await lease.release()

        return serve

    async def _work(self, lease: Lease, stop: asyncio.Event) -> None:
        slot = Slot(self._slot or 0, lease.token, lambda: lease.held)
        close_session = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(lease.keep(), name="lease")
            session = group.create_task(self._hold_session(close_session), name="session")
            workers = [group.create_task(worker(stop)) for worker in self._parts.workers(slot)]
            await stop.wait()
            self._health.set_not_ready("stopping")
            await asyncio.gather(*workers)
            close_session.set()
            await session
            keeper.cancel()

    async def _hold_session(self, stop: asyncio.Event) -> None:
        await supervise(
            self._connect,
            self._serve_session,
            delays=self._parts.delays,
            on_state=self._on_session,
            stop=stop,
            clock=self._clock,
        )

    async def _connect(self) -> Connection:
        await self._parts.connection.connect(self.client_id)
        return self._parts.connection

    async def _serve_session(self, connection: Connection) -> None:
        try:
            self._on_session(Trigger.CONNECTED, "")
            await self._follow(connection)
        finally:
            await connection.close()

    async def _follow(self, connection: Connection) -> None:
        """Hear what happens to the session while synchronising, too: a link lost meanwhile must not pass for ready."""
        hearing = asyncio.ensure_future(connection.next_event())
        synchronising: asyncio.Task[None] | None = self._begin(ConnectionEvent(Trigger.CONNECTED))
        try:
            while True:
                waiting: set[asyncio.Future[Any]] = {hearing} if synchronising is None else {hearing, synchronising}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    event = hearing.result()
                    hearing = asyncio.ensure_future(connection.next_event())
                    await cancelled(synchronising)
                    synchronising = self._on_event(event)
                elif synchronising is not None:
                    synchronising.result()
                    synchronising = None
                    self._on_session(Trigger.SYNCHRONISED, "")
        finally:
            hearing.cancel()
            await cancelled(synchronising)

    def _on_event(self, event: ConnectionEvent) -> asyncio.Task[None] | None:
        """Take note of what happened; a restored link begins another synchronisation."""
        if event.trigger is Trigger.LOST:
            raise SessionLost(event.reason)
        self._on_session(event.trigger, event.reason)
        return self._begin(event) if event.trigger is Trigger.LINK_RESTORED else None

    def _begin(self, event: ConnectionEvent) -> asyncio.Task[None]:
        return asyncio.create_task(self._parts.synchronise(event), name="synchronise")

    def _on_session(self, trigger: Trigger, reason: str) -> None:
        """Move the state, and tell everyone at once: health, metrics, log, edges, the service itself."""
        before, self._state = self._state, advance(self._state, trigger)
        self._reason = reason
        if trigger is Trigger.LOST:
            metrics.RECONNECTS.labels(self._parts.name).inc()
        for state in ConnectionState:
            metrics.CONNECTION_STATE.labels(self._parts.name, state).set(state is self._state)
        if self._state is ConnectionState.READY:
            self._on_ready()
        else:
            self._health.set_not_ready(reason or self._state)
            if trigger in (Trigger.LOST, Trigger.LINK_LOST, Trigger.STOP):
                self._on_not_connected(reason, quiet=trigger is Trigger.STOP or before is self._state)
        self._parts.on_state(self._state, reason)
        self._presence.refresh()

    def _on_ready(self) -> None:
        self._health.set_ready()
        _log.info("ibkr_gateway.connected", gateway=self._parts.connection.gateway, client_id=self.client_id)
        self._presence.connected(self.instance)

    def _on_not_connected(self, reason: str, *, quiet: bool) -> None:
        if not quiet:
            _log.error("ibkr_gateway.not_connected", gateway=self._parts.connection.gateway, reason=reason)
        self._presence.disconnected(self.instance, reason)

    def _beat(self) -> Heartbeat:
        broker, connection = self._settings.broker, self._parts.connection
        return Heartbeat(
            service=self._parts.name,
            instance=self.instance,
            state=self._state,
            reason="" if self._state is ConnectionState.READY else self._reason,
            provider=broker.provider,
            gateway=connection.gateway,
            client_id=self.client_id,
            account=connection.account,
            paper_trading=broker.paper_trading,
            link_up=self._state in (ConnectionState.READY, ConnectionState.SYNCHRONISING),
            details=dict(self._parts.details()),
            version=_version(),
            pid=os.getpid(),
            started_at=self._started_at,
            at=self._clock.now(),
        )


def _version() -> str:
    try:
        return version("ibstream")
    except PackageNotFoundError:  # run from the source tree
        return "0"
