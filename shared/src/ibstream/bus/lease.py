"""Giving a thing to one process at a time, with a token that grows each time it changes hands."""

from __future__ import annotations

from typing import NamedTuple, cast

import structlog

from ibstream.bus.connection import Bus, BusUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError

TTL_S = 4.0
"""A lease not renewed for this long is free. How soon a standby asks again, and so the length of a take-over: `SLOT_RETRY_S` in
`ibstream.runtime.service`."""

RENEW_INTERVAL_S = 1.0

COUNTER_KEY = "lease:counter"
"""The token given last, of all leases: what a token guards outlives a lease's name, which changes with the Gateway's address.

The next token is one more, and no less than the server's time in microseconds (exact in a script's numbers until the year
2255): so tokens grow, too, when the server has lost the counter or came back with an old one. Only where it lost that and
its clock went back as well can a token repeat.
"""

_log = structlog.get_logger(__name__)

_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder then return 0 end
local time = redis.call('TIME')
local token = math.max(redis.call('INCR', KEYS[2]), time[1] * 1000000 + time[2])
local digits = string.format('%d', token)
redis.call('SET', KEYS[2], digits)
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. digits, 'PX', ARGV[2])
return token
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class LeaseLost(RecoverableError):  # noqa: N818 - a state of the world
    """The lease ran out or belongs to another. What it guarded must be let go at once."""


class Trust(NamedTuple):
    """Until when a lease is trusted, by both of this process's clocks.

    The monotonic clock stands still while the machine sleeps, and the time of day can be set back: whichever says that the
    lease has run out is believed.
    """

    monotonic_s: float
    time_ns: int

    @classmethod
    def lasting(cls, lasts_s: float, clock: Clock) -> Trust:
        """Of what is asked for now; to be called before it is sent."""
        return cls(clock.monotonic() + lasts_s, clock.time_ns() + round(lasts_s * 1e9))

    def left_s(self, clock: Clock) -> float:
        """How long it lasts yet; 0 when it is over."""
        return max(0.0, min(self.monotonic_s - clock.monotonic(), (self.time_ns - clock.time_ns()) / 1e9))


_NONE = Trust(0.0, 0)


class Lease:
    """The right to `name`, for one holder at a time.

    `token` is the fencing token: it is greater than that of every holder before (see `COUNTER_KEY`), so whoever keeps the
    greatest token seen can refuse one that woke up late. The lease is only trusted by this process's own clocks: it counts as
    lost `ttl_s` after the last renewal was *sent*, whatever Redis would say.
    """

    def __init__(
        self,
        bus: Bus,
        name: str,
        *,
        holder: str,
        clock: Clock,
        ttl_s: float = TTL_S,
        renew_interval_s: float = RENEW_INTERVAL_S,
    ) -> None:
        self._bus = bus
        self.name = name
        self._holder = holder
        self._clock = clock
        self._ttl_s = ttl_s
        self._renew_interval_s = renew_interval_s
        self._trust = _NONE
        self.token = 0
        """The fencing token; 0 while not held."""

    @property
    def held(self) -> bool:
        """Whether this process may act on it now."""
        return self.token > 0 and self._left_s > 0

    async def try_acquire(self) -> bool:
        """Take it if it is free; raise as `Bus.call` does."""
        trust = Trust.lasting(self._ttl_s, self._clock)
        token = await self._bus.run_script(_ACQUIRE, [self.name, COUNTER_KEY], [self._holder, self._ttl_ms])
        if not token:
            return False
        self.token = cast("int", token)
        self._trust = trust
        return self.held  # an answer that took longer than the lease lasts is worth nothing

    async def keep(self) -> None:
        """Renew for ever; raise `LeaseLost` as soon as it cannot be trusted any more."""
        while self.held:
            await self._clock.sleep(min(self._renew_interval_s, self._left_s))
            if self.held and not await self._renewed():
                break
        self.token = 0
        raise LeaseLost(f"{self.name} is no longer ours")

    async def release(self) -> None:
        """Give it back, if it is still ours."""
        if self.token:
            value, self.token = self._value, 0
            await self._bus.run_script(_RELEASE, [self.name], [value])

    @property
    def _value(self) -> str:
        return f"{self._holder}|{self.token}"

    @property
    def _ttl_ms(self) -> int:
        return round(self._ttl_s * 1000)

    @property
    def _left_s(self) -> float:
        return self._trust.left_s(self._clock)

    async def _renewed(self) -> bool:
        """False if it belongs to another; True if it was renewed, or if nobody knows and time is left."""
        trust = Trust.lasting(self._ttl_s, self._clock)
        command = self._bus.redis.eval(_RENEW, 1, self.name, self._value, str(self._ttl_ms))  # in one message
        try:
            renewed = await self._bus.call(command, deadline_s=min(self._left_s, self._renew_interval_s))
        except BusUnavailable as error:
            _log.warning("lease.not_renewed", lease=self.name, error=str(error))
            return True
        if renewed:
            self._trust = trust
        return bool(renewed)
