"""Who lives and who holds which shard, in Redis: a lease per shard, a key per member, each asked for in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable
from ibstream.bus.lease import COUNTER_KEY
from ibstream.contracts.registry import FEED_MEMBERS_KEY, feed_member_key, shard_lease

TTL_S = 3.0
"""A member that says nothing for so long is dead, and its shards are free."""

_SETTLED_S = 4
"""The age in whole seconds, as the server counts its own, from which on it gives shards away.

A server that came back may have lost leases, all or the newest, that their holders still trust. After `TTL_S` none does; its
count of its seconds may be one too many."""

_log = structlog.get_logger(__name__)

_KEEP = """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[1], ARGV[1])
local members = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local record = redis.call('GET', ARGV[4] .. name)
  if record then
    members[#members + 1] = name
    members[#members + 1] = record
  else
    redis.call('SREM', KEYS[1], name)
  end
end
local leases = {}
for number = 3, #KEYS do
  local lease = redis.call('GET', KEYS[number]) or ''
  if lease ~= '' and lease == ARGV[number + 2] then redis.call('PEXPIRE', KEYS[number], ARGV[3]) end
  leases[#leases + 1] = lease
end
return {members, leases}
"""
"""Keys: the index of members, our own key, every lease. Arguments: our name, record, TTL, what member keys begin with, and
what stands in each lease if it is ours."""

_ACQUIRE = """
local tokens = {}
local age = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
for number = 2, #KEYS do
  local token = 0
  if age >= tonumber(ARGV[3]) and not redis.call('GET', KEYS[number]) then
    local time = redis.call('TIME')
    token = math.max(redis.call('INCR', KEYS[1]), time[1] * 1000000 + time[2])
    local digits = string.format('%d', token)
    redis.call('SET', KEYS[1], digits)
    redis.call('SET', KEYS[number], ARGV[1] .. '|' .. digits, 'PX', ARGV[2])
  end
  tokens[#tokens + 1] = token
end
return tokens
"""
"""Keys: the counter that all leases share, and the leases wanted. Arguments: our name, TTL, `_SETTLED_S`."""

_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

_LEAVE = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SREM', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2])
"""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed process says of itself."""

    gateway: str
    """Host and port; empty where there is none."""
    lines: int
    """Market data lines of the Gateway's user, which all processes on this Gateway share."""
    pid: int


@dataclass(frozen=True)
class Report:
    """What Redis knew when it was asked."""

    members: Mapping[str, Member]
    """Who lives, by name; whoever asked is one of them."""
    kept: frozenset[int]
    """The shards whose leases are the asker's, and last for `TTL_S` from when it was asked."""
    free: frozenset[int]
    """The shards that nobody holds."""


class ShardLeases:
    """The leases and the member key of one process. Every call raises `BusUnavailable` and `BusRefused` as the bus does."""

    def __init__(self, bus: Bus, name: str, member: Member, *, shards: int) -> None:
        """`name` must be of this process alone among all that live."""
        self._bus = bus
        self._name = name
        self._record = msgspec.json.encode(member)
        self._leases = [shard_lease(shard) for shard in range(shards)]

    async def keep(self, tokens: Mapping[int, int], *, deadline_s: float) -> Report:
        """Say that this process lives, renew the leases that it holds with these tokens, and tell how things stand."""
        ours = [self._value(tokens[shard]) if shard in tokens else "" for shard in range(len(self._leases))]
        members, leases = await self._run(
            _KEEP,
            [FEED_MEMBERS_KEY, feed_member_key(self._name), *self._leases],
            [self._name, self._record, _TTL_MS, feed_member_key(""), *ours],
            deadline_s,
        )
        held = [lease.decode() for lease in leases]
        return Report(
            members=_members(members),
            kept=frozenset(shard for shard in tokens if held[shard] == ours[shard]),
            free=frozenset(shard for shard, lease in enumerate(held) if not lease),
        )

    async def acquire(self, shards: Sequence[int], *, deadline_s: float) -> dict[int, int]:
        """Take those of the shards that are free; the fencing token of each that was, greater than that of every holder before.

        A lease taken lasts for `TTL_S` from when this was called. A server that has just started gives nothing away yet.
        """
        tokens = await self._run(
            _ACQUIRE,
            [COUNTER_KEY, *(self._leases[shard] for shard in shards)],
            [self._name, _TTL_MS, _SETTLED_S],
            deadline_s,
        )
        return {shard: token for shard, token in zip(shards, tokens, strict=True) if token}

    async def release(self, shard: int, token: int, *, deadline_s: float) -> None:
        """Give a shard back, if it is still ours."""
        await self._run(_RELEASE, [self._leases[shard]], [self._value(token)], deadline_s)

    async def leave(self, *, deadline_s: float) -> None:
        """Be no member any more. Leases stay until they are released or run out."""
        keys = [FEED_MEMBERS_KEY, feed_member_key(self._name)]
        await self._run(_LEAVE, keys, [self._name, self._record], deadline_s)

    def _value(self, token: int) -> str:
        return f"{self._name}|{token}"

    async def _run(
        self, script: str, keys: list[str], arguments: Sequence[str | bytes | int], deadline_s: float
    ) -> Any:
        try:
            async with asyncio.timeout(deadline_s):
                return await self._bus.run_script(script, keys, arguments)
        except TimeoutError as error:
            raise BusUnavailable(f"Redis at {self._bus.address}: no answer within {deadline_s:.2g} s") from error


_TTL_MS = round(TTL_S * 1000)


def _members(told: Sequence[bytes]) -> dict[str, Member]:
    """Names and records in turn. What cannot be read is no member that one could share with."""
    members: dict[str, Member] = {}
    for name, record in zip(told[::2], told[1::2], strict=True):
        try:
            members[name.decode()] = msgspec.json.decode(record, type=Member)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("feed.member_not_understood", member=name, error=str(error))
    return members
