"""The journal of orders in Redis: what was promised is written here before anything is sent.

A record and the events that tell of it are written in one script, so neither can exist without the other, and a write whose
reply was lost can be repeated: the revision says whether it happened. The fencing token keeps out a broker that lost its
lease and does not know it yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ibstream.bus import Bus
from ibstream.contracts.base import encode, type_of
from ibstream.contracts.orders import OrderEvent
from ibstream.contracts.registry import (
    OPEN_ORDERS_KEY,
    ORDER_EVENTS,
    ORDER_FENCE_KEY,
    ORDER_ID_KEY,
    ORDER_REQUESTS,
    order_journal_key,
)
from ibstream.runtime.errors import FatalError, RecoverableError
from ibstream_broker.domain.records import OrderRecord

FINAL_KEPT_S = 2 * ORDER_REQUESTS.keep_s
"""How long a finished order answers for a repeated `client_order_id`: well beyond the time for which requests are kept, so
that a stream read again from its beginning (its group was deleted) finds every one of them answered."""

_COMMIT = """
local journal, events, open, fence_key, order_id_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, revision, record, id, final = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local order_id, keep_entries, keep_s = tonumber(ARGV[6]), ARGV[7], ARGV[8]
local fence = tonumber(redis.call('GET', fence_key) or '0')
if token < fence then return -1 end
if token > fence then redis.call('SET', fence_key, token) end
local have = tonumber(redis.call('HGET', journal, 'revision') or '0')
if have == revision and redis.call('HGET', journal, 'record') == record then return revision end
if have ~= revision - 1 then return -2 end
redis.call('HSET', journal, 'revision', revision, 'record', record)
if final == '1' then
  redis.call('SREM', open, id)
  redis.call('EXPIRE', journal, keep_s)
else
  redis.call('SADD', open, id)
end
if order_id > tonumber(redis.call('GET', order_id_key) or '0') then redis.call('SET', order_id_key, order_id) end
for i = 9, #ARGV, 2 do
  redis.call('XADD', events, 'MAXLEN', '~', keep_entries, '*', 'type', ARGV[i], 'data', ARGV[i + 1])
end
return revision
"""
_FENCED, _CONFLICT = -1, -2

_TAKE_OVER = """
local fence = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) < fence then return -1 end
redis.call('SET', KEYS[1], ARGV[1])
return 0
"""


class Fenced(RecoverableError):  # noqa: N818 - a state of the world
    """Another broker has written under a newer lease: this one must not act any more."""


class JournalConflict(FatalError):  # noqa: N818
    """The journal is not where this broker left it. Someone else wrote to it; nothing may be guessed."""


class OrderJournal:
    """Reads and writes order records under one fencing token."""

    def __init__(self, bus: Bus, fencing_token: int) -> None:
        self._bus = bus
        self._token = fencing_token
        self._decoder = msgspec.json.Decoder(OrderRecord)

    async def commit(self, record: OrderRecord, events: Sequence[OrderEvent]) -> None:
        """Write the record's new revision and its events, both or neither. May be repeated until it is known to be done.

        Raises `BusUnavailable` when it is not known, `Fenced` when the lease has passed on.
        """
        key = order_journal_key(record.client_order_id)
        head: list[str | bytes | int] = [
            self._token,
            record.revision,
            msgspec.json.encode(record),
            record.client_order_id,
            int(record.is_final),
            record.order_id,
            ORDER_EVENTS.keep_entries,
            FINAL_KEPT_S,
        ]
        told: list[str | bytes | int] = [part for event in events for part in (type_of(event), encode(event))]
        keys = [key, ORDER_EVENTS.name, OPEN_ORDERS_KEY, ORDER_FENCE_KEY, ORDER_ID_KEY]
        done = await self._bus.run_script(_COMMIT, keys, [*head, *told])
        if done == _FENCED:
            raise Fenced("another broker holds the lease now")
        if done == _CONFLICT:
            raise JournalConflict(f"order {record.client_order_id}: the journal moved on without this broker")

    async def load(self, client_order_id: str) -> OrderRecord | None:
        """The record of an order, finished ones of the last two weeks included."""
        fields = await self._bus.hash(order_journal_key(client_order_id))
        return self._decoder.decode(fields[b"record"]) if b"record" in fields else None

    async def load_open(self) -> list[OrderRecord]:
        """Every order without an outcome. From here on nobody with an older token writes: what is read stays true.

        Raises as `commit`.
        """
        if await self._bus.run_script(_TAKE_OVER, [ORDER_FENCE_KEY], [self._token]) == _FENCED:
            raise Fenced("another broker holds the lease now")
        ids = sorted(await self._bus.members(OPEN_ORDERS_KEY))
        found = [await self.load(client_order_id.decode()) for client_order_id in ids]
        return [record for record in found if record is not None]

    async def order_id_high_water(self) -> int:
        """The greatest order id ever journalled; the Gateway's own counter can go back."""
        return int(await self._bus.get(ORDER_ID_KEY) or 0)
