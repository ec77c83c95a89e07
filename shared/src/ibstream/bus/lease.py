"""Giving a thing to one process at a time, with a token that grows each time it changes hands."""

from __future__ import annotations

from typing import Self, cast

import structlog

from ibstream.bus.connection import Bus, BusUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import RecoverableError

TTL_S = 4.0
"""A lease not renewed for this long is free. With the retry below, a take-over takes at most 5 s."""

RENEW_INTERVAL_S = 1.0
RETRY_INTERVAL_S = 0.5

_log = structlog.get_logger(__name__)

_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder then return 0 end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. token, 'PX', ARGV[2])
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


class Lease:
    """The right to `name`, for one holder at a time.

    `token` is the fencing token: it is greater than that of every holder before, so whoever keeps the greatest token seen
    can refuse one that woke up late. The lease is only trusted by this process's own clock: it counts as lost `TTL_S` after
    the last renewal was *sent*, whatever Redis would say.
    """

    def __init__(self, bus: Bus, name: str, *, holder: str, clock: Clock) -> None:
        self._bus = bus
        self.name = name
        self._holder = holder
        self._clock = clock
        self._trusted_until = 0.0
        self.token = 0
        """The fencing token; 0 while not held."""

    @property
    def held(self) -> bool:
        """Whether this process may act on it now."""
        return self.token > 0 and self._clock.monotonic() < self._trusted_until

    async def try_acquire(self) -> bool:
        """Take it if it is free."""
        asked_at = self._clock.monotonic()
        token = await self._bus.run_script(
            _ACQUIRE, [self.name, f"{self.name}:token"], [self._holder, round(TTL_S * 1000)]
        )
        if not token:
            return False
        self.token = cast("int", token)
        self._trusted_until = asked_at + TTL_S
        return True

    async def acquire(self) -> Self:
        """Wait until it is free, and take it."""
        while not await self.try_acquire():
            await self._clock.sleep(RETRY_INTERVAL_S)
        return self

    async def keep(self) -> None:
        """Renew for ever; raise `LeaseLost` once it cannot be trusted any more."""
        while True:
            await self._clock.sleep(RENEW_INTERVAL_S)
            asked_at = self._clock.monotonic()
            try:
                renewed = await self._renew()
            except BusUnavailable as error:
                _log.warning("lease.not_renewed", lease=self.name, error=str(error))
                renewed = None
            if renewed:
                self._trusted_until = asked_at + TTL_S
            elif renewed is False or not self.held:
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

    async def _renew(self) -> bool:
        left_s = max(0.1, self._trusted_until - self._clock.monotonic())
        command = self._bus.redis.eval(_RENEW, 1, self.name, self._value, str(round(TTL_S * 1000)))
        return bool(await self._bus.call(command, deadline_s=min(left_s, RENEW_INTERVAL_S)))
