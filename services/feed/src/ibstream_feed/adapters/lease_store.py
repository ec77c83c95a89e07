"""Leases in Redis, where every feed process sees them. All times are those of Redis' own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec
import structlog

from ibstream.bus import Bus
from ibstream.bus.reader import entry_order
from ibstream.contracts.feed import Subscribe, Unsubscribe
from ibstream.contracts.instrument import quote_symbol
from ibstream.contracts.registry import FEED_LEASES_KEY, FEED_LEASES_VERSION_KEY, ended_lease_key
from ibstream.runtime import metrics
from ibstream_feed.domain.leases import Lease

LEASES_MAX = 10_000
"""How many leases there may be; another one is refused."""

SETTLE_MAX = 500
"""How many leases one script looks at, so that Redis is never held up for long."""

ENDED_KEPT_S = 600
"""How long it is remembered that a lease was given back. A request that its feed process died over is handled again by another
one after half a minute or so; if it is older than the giving back, it must not bring the lease to life."""

_PRELUDE = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function is_later(id, other)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(number) > tonumber(other_number)
end
local function lease_of(text)
  if not text then return nil end
  local is_json, lease = pcall(cjson.decode, text)
  if is_json and type(lease) == 'table' and lease.request_id and lease.since_ms and lease.expires_ms then return lease end
end
local function count_up(key)
  local version = math.max(tonumber(redis.call('GET', key) or '0') + 1, now_ms())
  redis.call('SET', key, string.format('%.0f', version))
end
"""
"""A version is no less than the time in ms: so it differs, too, from one that was known before the server lost its data. What
lies in the hash and is no lease counts as none, and makes way for one."""

_TAKE = (
    _PRELUDE
    + """
local leases, version, ended, field = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local id, since, expires, rest, most = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local given_back = redis.call('GET', ended)
if given_back and not is_later(id, given_back) then return 4 end
local text = redis.call('HGET', leases, field)
local known, is_renewal = lease_of(text), false
if known then
  if not is_later(id, known.request_id) then return 4 end
  if known.expires_ms >= tonumber(since) then
    since = string.format('%.0f', known.since_ms)
    is_renewal = string.sub(text, -#rest) == rest
  end
end
if expires <= now_ms() then return 3 end
if not text and redis.call('HLEN', leases) >= most then return 2 end
local times = string.format('{"since_ms":%s,"expires_ms":%.0f,"request_id":"%s",', since, expires, id)
redis.call('HSET', leases, field, times .. rest)
if is_renewal then return 1 end
count_up(version)
return 0
"""
)

_GIVE_BACK = (
    _PRELUDE
    + """
local leases, version, ended, field, id = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local given_back = redis.call('GET', ended)
if not given_back or is_later(id, given_back) then redis.call('SET', ended, id, 'EX', ARGV[3]) end
local known = lease_of(redis.call('HGET', leases, field))
if not known or not is_later(id, known.request_id) then return 0 end
redis.call('HDEL', leases, field)
count_up(version)
return 1
"""
)

_SETTLE = (
    _PRELUDE
    + """
local leases, version, now, ended, left = KEYS[1], KEYS[2], now_ms(), 0, {}
for i = 1, #ARGV do
  local text = redis.call('HGET', leases, ARGV[i])
  local known = lease_of(text)
  if known and known.expires_ms <= now then
    redis.call('HDEL', leases, ARGV[i])
    ended = ended + 1
  elseif known then
    table.insert(left, text)
  end
end
if ended > 0 then count_up(version) end
return left
"""
)

_READ = (
    _PRELUDE
    + """
local version = redis.call('GET', KEYS[2]) or ''
local now = string.format('%.0f', now_ms())
if version == ARGV[1] then return {now, version} end
return {now, version, redis.call('HVALS', KEYS[1])}
"""
)

_ENDED = "return redis.call('MGET', unpack(KEYS))"

_KEYS = [FEED_LEASES_KEY, FEED_LEASES_VERSION_KEY]
_lease = msgspec.json.Decoder(Lease)
_log = structlog.get_logger(__name__)


class Taken(IntEnum):
    """What became of a request for a lease."""

    CHANGED = 0
    """It is new, or taken anew after an earlier one had ended, or on other terms than before."""
    RENEWED = 1
    FULL = 2
    """There are `LEASES_MAX` already. Nothing was written."""
    OVER = 3
    """Its time is over already. Nothing was written."""
    OUTDATED = 4
    """A later request of the same consumer has been handled, or this one itself. Nothing was written."""


@dataclass(frozen=True, slots=True)
class LeasesRead:
    """What Redis says of the leases at one moment."""

    now_ms: int
    """The moment, by Redis' clock."""
    version: str
    leases: list[Lease] | None
    """None where nothing but renewals came since the version that was asked with."""


class LeaseStore:
    """Atomic steps on the hash of leases. Every method raises as `Bus.call` does."""

    def __init__(self, bus: Bus, *, leases_max: int = LEASES_MAX) -> None:
        self._bus = bus
        self._leases_max = leases_max
        self._known: dict[bytes, Lease] = {}

    async def take(self, asked: Subscribe, request_id: str) -> Taken:
        """Take or renew a lease, as the entry `request_id` asks. Its time counts from when the entry was written."""
        lease = _asked_for(asked, request_id)
        _, _, _, rest = msgspec.json.encode(lease).split(b",", 3)  # behind the times, of which the script knows best
        arguments = (_field(asked), request_id, lease.since_ms, lease.expires_ms, rest, self._leases_max)
        return Taken(await self._bus.run_script(_TAKE, _keys_of(asked), arguments))

    async def give_back(self, asked: Unsubscribe, request_id: str) -> bool:
        """End a lease early, as the entry `request_id` asks. Returns whether there was one."""
        return bool(await self._bus.run_script(_GIVE_BACK, _keys_of(asked), (_field(asked), request_id, ENDED_KEPT_S)))

    async def settle(self, doubtful: Sequence[Lease]) -> list[Lease]:
        """End those of some leases whose time is over; return those that were renewed, as they stand."""
        left: list[Lease] = []
        for first in range(0, len(doubtful), SETTLE_MAX):
            fields = [_name(*lease.key) for lease in doubtful[first : first + SETTLE_MAX]]
            left += _decoded(await self._bus.run_script(_SETTLE, _KEYS, fields), {}).values()
        return left

    async def given_back(self, doubtful: Sequence[Lease]) -> list[Lease]:
        """Those of some leases that were given back after they had been asked for last, as long as Redis remembers that."""
        found: list[Lease] = []
        for first in range(0, len(doubtful), SETTLE_MAX):
            some = doubtful[first : first + SETTLE_MAX]
            ended = await self._bus.run_script(_ENDED, [ended_lease_key(_name(*lease.key)) for lease in some], [])
            found += [
                lease
                for lease, entry in zip(some, ended, strict=True)
                if entry is not None and entry_order(entry.decode()) > lease.asked
            ]
        return found

    async def read(self, known_version: str | None) -> LeasesRead:
        """The time, and all leases if they have changed since `known_version`. None reads them whatever their version is."""
        asked = "none" if known_version is None else known_version
        now_ms, version, *leases = await self._bus.run_script(_READ, _KEYS, [asked])
        if not leases:
            return LeasesRead(int(now_ms), version.decode(), None)
        self._known = _decoded(leases[0], self._known)
        return LeasesRead(int(now_ms), version.decode(), list(self._known.values()))


def _asked_for(asked: Subscribe, request_id: str) -> Lease:
    written_ms, _ = entry_order(request_id)
    return Lease(
        since_ms=written_ms,
        expires_ms=written_ms + round(asked.ttl_s * 1000),
        request_id=request_id,
        consumer=asked.consumer,
        instrument=asked.instrument,
        data=asked.data,
        priority=asked.priority,
    )


def _field(asked: Subscribe | Unsubscribe) -> str:
    return _name(asked.data, quote_symbol(asked.instrument), asked.consumer)


def _name(data: str, symbol: str, consumer: str) -> str:
    """Neither the kind nor the consumer can have a bar in it, so no two leases share a name."""
    return f"{data}|{symbol}|{consumer}"


def _keys_of(asked: Subscribe | Unsubscribe) -> list[str]:
    return [*_KEYS, ended_lease_key(_field(asked))]


def _decoded(values: list[bytes], known: Mapping[bytes, Lease]) -> dict[bytes, Lease]:
    """Each lease by the bytes it is written in, decoded where it is not `known`.

    One that another version wrote in a way that this one cannot read is left alone, and left out.
    """
    leases: dict[bytes, Lease] = {}
    for value in values:
        try:
            leases[value] = known.get(value) or _lease.decode(value)
        except msgspec.DecodeError as error:
            metrics.ENTRIES_SKIPPED.labels(FEED_LEASES_KEY).inc()
            _log.warning("feed.undecodable_lease", error=str(error))
    return leases
