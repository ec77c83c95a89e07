"""The portfolio's events and hashes in Redis, written together, and by the active broker only."""

from __future__ import annotations

from ibstream.bus import Bus
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.registry import ORDER_FENCE_KEY, PORTFOLIO_EVENTS
from ibstream.runtime import metrics
from ibstream_broker.domain.telling import HashWrite, Telling
from ibstream_broker.ports import Fenced

_TELL = """
local events, token, keep_entries, hashes = KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
if token ~= '' and tonumber(token) < tonumber(redis.call('GET', KEYS[1]) or '0') then return -1 end
local at = 4
for i = 1, hashes do
  local key, removed, fields = KEYS[2 + i], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if ARGV[at] == '1' then redis.call('DEL', key) end
  at = at + 3
  for _ = 1, removed do
    redis.call('HDEL', key, ARGV[at])
    at = at + 1
  end
  for _ = 1, fields do
    redis.call('HSET', key, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
for i = at, #ARGV, 2 do
  redis.call('XADD', events, 'MAXLEN', '~', keep_entries, '*', 'type', ARGV[i], 'data', ARGV[i + 1])
end
return 0
"""
_FENCED = -1


class PortfolioStore:
    """Writes under one fencing token; without one, whoever else writes."""

    def __init__(self, bus: Bus, fencing_token: int | None = None) -> None:
        self._bus = bus
        self._token = fencing_token

    async def write(self, telling: Telling) -> None:
        """Write a whole telling in one round trip, all of it or nothing.

        Raises `BusUnavailable` when it is not known to be written; again, it only repeats events. Raises `Fenced` when
        another broker holds the lease.
        """
        token = "" if self._token is None else self._token
        told = [part for event in telling.events for part in (type_of(event), encode(event))]
        arguments: list[str | bytes | int] = [
            *(token, PORTFOLIO_EVENTS.keep_entries, len(telling.hashes)),
            *(part for write in telling.hashes.values() for part in _written(write)),
            *told,
        ]
        keys = [ORDER_FENCE_KEY, PORTFOLIO_EVENTS.name, *telling.hashes]
        if await self._bus.run_script(_TELL, keys, arguments) == _FENCED:
            raise Fenced("another broker holds the lease now")
        metrics.ENTRIES_PUBLISHED.labels(PORTFOLIO_EVENTS.name).inc(len(telling.events))


def _written(write: HashWrite) -> list[str | bytes | int]:
    fields = [part for name, message in write.fields.items() for part in (name, encode(message))]
    return [int(write.replaced), len(write.removed), len(write.fields), *write.removed, *fields]
