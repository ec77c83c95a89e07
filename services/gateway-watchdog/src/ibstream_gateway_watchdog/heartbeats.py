"""Reading every heartbeat there is, without walking through all keys of a large Redis twice a second."""

from __future__ import annotations

import msgspec
import structlog

from ibstream.bus.connection import Bus
from ibstream.contracts.registry import HEARTBEAT_PATTERN, SERVICES, heartbeat_key
from ibstream.contracts.system import Heartbeat
from ibstream.runtime.clock import Clock

DISCOVERY_INTERVAL_S = 5.0
"""How often all keys are searched for instances not known yet. Most are known sooner: first slots by their name, others by
their first edge."""

INSTANCES_MAX = 256
"""More heartbeats than this are not read; client ids run out at 32 per Gateway."""

_log = structlog.get_logger(__name__)


class HeartbeatReader:
    """Reads heartbeats by name, and looks for new names now and then."""

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._decoder = msgspec.json.Decoder(Heartbeat)
        self._first = {heartbeat_key(service, "0"): None for service in SERVICES}
        self._keys = dict(self._first)
        self._learned: dict[str, None] = {}
        self._next_discovery_s = clock.monotonic()
        self._undecodable: set[str] = set()

    def learn(self, service: str, instance: str) -> None:
        """Read this instance's heartbeat from now on, even if its first one is not written yet."""
        if len(self._keys) < INSTANCES_MAX:
            self._learned[heartbeat_key(service, instance)] = None
            self._keys |= self._learned

    async def read(self) -> list[Heartbeat]:
        """The heartbeats of all living instances; raises `BusUnavailable`."""
        if self._clock.monotonic() >= self._next_discovery_s:
            values = await self._bus.values_matching(HEARTBEAT_PATTERN)
            self._keys = self._first | self._learned | dict.fromkeys(sorted(values)[:INSTANCES_MAX])
            self._learned = {}
            self._next_discovery_s = self._clock.monotonic() + DISCOVERY_INTERVAL_S
        else:
            found = {key: await self._bus.get(key) for key in list(self._keys)}
            values = {key: value for key, value in found.items() if value is not None}
        beats = [self._decoded(key, value) for key, value in values.items()]
        return [beat for beat in beats if beat is not None]

    def _decoded(self, key: str, value: bytes) -> Heartbeat | None:
        """None for what this version cannot read, which is said once."""
        try:
            return self._decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if key not in self._undecodable and len(self._undecodable) < INSTANCES_MAX:
                self._undecodable.add(key)
                _log.error("watchdog.undecodable_heartbeat", key=key, error=str(error))
            return None
