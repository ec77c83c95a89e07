"""The journal of orders in Redis: what was promised is written here before anything is sent.

Records, the events that tell of them and the positions that follow from them are written in one script, so none can exist
without the others, and a write whose reply was lost can be repeated: the revisions say whether it happened. The fencing token
keeps out a broker that lost its lease and does not know it yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ibstream.bus import Bus
from ibstream.contracts.base import Message, encode, type_of
from ibstream.contracts.registry import (
    ACKNOWLEDGED_ID_KEY,
    OPEN_ORDERS_KEY,
    ORDER_EPOCHS_KEY,
    ORDER_EVENTS,
    ORDER_FENCE_KEY,
    ORDER_ID_KEY,
    ORDER_REQUESTS,
    STRATEGY_POSITIONS_KEY,
    order_journal_key,
    order_positions_key,
)
from ibstream_broker.domain.position_lines import PositionChange
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ports import AlreadyJournalled, Fenced, JournalConflict

FINAL_KEPT_S = 2 * ORDER_REQUESTS.keep_s
"""How long a finished order answers for a repeated `client_order_id`: well beyond the time for which requests are kept, so
that a stream read again from its beginning (its group was deleted) finds every one of them answered."""

NOTHING = PositionChange()

EPOCHS_KEPT = 1000
"""Sessions of which the Gateway's next order id is remembered; an order of an older one is not sent again."""

LOADED_AT_ONCE = 500
"""Records read in one round trip."""

_COMMIT = """
local events, open, fence_key, positions, strategies = KEYS[1], KEYS[2], KEYS[3], KEYS[6], KEYS[7]
local order_id_key, acknowledged_key = KEYS[4], KEYS[5]
local token, keep_entries, keep_s = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local records, fields, removed, clear = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local held, write = tonumber(ARGV[8]), ARGV[9]
local fence = tonumber(redis.call('GET', fence_key) or '0')
if token < fence then return {-1} end
local at, done, conflicts = 10, 0, {}
for i = 1, records do
  local have = redis.call('HMGET', KEYS[7 + i], 'revision', 'record', 'write')
  local revision = tonumber(have[1] or '0')
  if revision == tonumber(ARGV[at]) and have[2] == ARGV[at + 1] and (have[3] or '') == write then
    done = done + 1
  elseif revision ~= tonumber(ARGV[at]) - 1 then
    conflicts[#conflicts + 1] = ARGV[at + 2]
  end
  at = at + 6
end
if records > 0 and done == records then
  -- WAITAOF waits for what its own connection wrote: this write, and with it the earlier one of a connection that is gone
  redis.call('SET', fence_key, string.format('%d', token))
  return {0}
end
if #conflicts > 0 or done > 0 then return {-2, unpack(conflicts)} end
if token > fence then redis.call('SET', fence_key, string.format('%d', token)) end
local order_id, acknowledged = 0, 0
at = 10
for i = 1, records do
  local journal, id = KEYS[7 + i], ARGV[at + 2]
  redis.call('HSET', journal, 'revision', ARGV[at], 'record', ARGV[at + 1], 'write', write)
  if ARGV[at + 3] == '1' then
    redis.call('SREM', open, id)
    redis.call('EXPIRE', journal, keep_s)
  else
    redis.call('SADD', open, id)
  end
  order_id = math.max(order_id, tonumber(ARGV[at + 4]))
  acknowledged = math.max(acknowledged, tonumber(ARGV[at + 5]))
  at = at + 6
end
local function raise(key, value)
  if value > tonumber(redis.call('GET', key) or '0') then redis.call('SET', key, string.format('%d', value)) end
end
if order_id > 0 then raise(order_id_key, order_id) end
if acknowledged > 0 then raise(acknowledged_key, acknowledged) end
if clear == '1' then redis.call('DEL', positions) end
for i = 1, removed do
  redis.call('HDEL', positions, ARGV[at])
  at = at + 1
end
for i = 1, fields do
  redis.call('HSET', positions, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = 1, held do
  redis.call('HSET', strategies, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, #ARGV, 2 do
  redis.call('XADD', events, 'MAXLEN', '~', keep_entries, '*', 'type', ARGV[i], 'data', ARGV[i + 1])
end
return {0}
"""
_FENCED, _CONFLICT = -1, -2

_TAKE_OVER = """
local fence = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) < fence then return -1 end
redis.call('SET', KEYS[1], ARGV[1])
return 0
"""

_BEGIN_SESSION = """
local fence = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) < fence then return -1 end
local epoch = redis.call('HINCRBY', KEYS[2], 'last', 1)
redis.call('HSET', KEYS[2], epoch, ARGV[2])
redis.call('HDEL', KEYS[2], epoch - tonumber(ARGV[3]))
return epoch
"""


class OrderJournal:
    """Reads and writes order records under one fencing token."""

    def __init__(self, bus: Bus, fencing_token: int) -> None:
        self._bus = bus
        self._token = fencing_token
        self._decoder = msgspec.json.Decoder(OrderRecord)
        self._writes = 0

    def next_write(self) -> str:
        """A name for one write, unlike any other's, of whatever broker."""
        self._writes += 1
        return f"{self._token}-{self._writes}"

    async def commit(
        self,
        records: Sequence[OrderRecord],
        events: Sequence[Message],
        *,
        account: str = "",
        positions: PositionChange = NOTHING,
        strategies: Mapping[str, bytes] = {},
        durable: bool = False,
        write: str = "",
    ) -> None:
        """Write the next revision of each record, the events, the positions of `account` and of strategies: all or nothing.

        `write` tells this write from every other one (`next_write`): a repetition of it is known by that, where a broker before
        this one may have written the very same. `durable`: return only when it is on the server's disk. May be repeated until it
        is known to be done, but for a commit without records, whose events a repetition would tell twice. Raises
        `BusUnavailable` when it is not known,
        `Fenced` when the lease has passed on, `AlreadyJournalled` for first revisions of known orders.
        """
        keys = [ORDER_EVENTS.name, OPEN_ORDERS_KEY, ORDER_FENCE_KEY, ORDER_ID_KEY, ACKNOWLEDGED_ID_KEY]
        keys += [order_positions_key(account), STRATEGY_POSITIONS_KEY]
        keys += [order_journal_key(record.client_order_id) for record in records]
        head: list[str | bytes | int] = [
            *(self._token, ORDER_EVENTS.keep_entries, FINAL_KEPT_S),
            *(len(records), len(positions.fields), len(positions.removed), int(positions.clear), len(strategies)),
            write,
            *(part for record in records for part in _written(record)),
            *positions.removed,
            *(part for field in positions.fields.items() for part in field),
            *(part for field in strategies.items() for part in field),
            *(part for event in events for part in (type_of(event), encode(event))),
        ]
        run = self._bus.run_script_durably if durable else self._bus.run_script
        done, *conflicts = await run(_COMMIT, keys, head)
        if done == _FENCED:
            raise Fenced("another broker holds the lease now")
        if done == _CONFLICT:
            _raise_conflict([one.decode() for one in conflicts], records)

    async def load(self, client_order_id: str) -> OrderRecord | None:
        """The record of an order, finished ones of the last two weeks included."""
        return next(iter(await self.load_all([client_order_id])), None)

    async def load_all(self, client_order_ids: Sequence[str]) -> list[OrderRecord]:
        """The records of those orders that are known."""
        found: list[OrderRecord] = []
        for start in range(0, len(client_order_ids), LOADED_AT_ONCE):
            keys = [order_journal_key(one) for one in client_order_ids[start : start + LOADED_AT_ONCE]]
            values = await self._bus.field_of_each(keys, "record")
            found += [self._decoder.decode(value) for value in values if value is not None]
        return found

    async def load_open(self) -> list[OrderRecord]:
        """Every order without an outcome. From here on nobody with an older token writes: what is read stays true.

        Raises as `commit`.
        """
        if await self._bus.run_script(_TAKE_OVER, [ORDER_FENCE_KEY], [self._token]) == _FENCED:
            raise Fenced("another broker holds the lease now")
        ids = sorted(one.decode() for one in await self._bus.members(OPEN_ORDERS_KEY))
        return await self.load_all(ids)

    async def load_positions(self, account: str) -> dict[bytes, bytes]:
        """What the fills of an account add up to, for `PositionBook.load`."""
        return await self._bus.hash(order_positions_key(account))

    async def load_strategies(self) -> dict[bytes, bytes]:
        """What each strategy's fills add up to, for `OpenInterest.load`."""
        return await self._bus.hash(STRATEGY_POSITIONS_KEY)

    async def begin_session(self, next_order_id: int) -> int:
        """Count a new session with the Gateway, and remember the next order id that it began with; returns its epoch."""
        keys, arguments = [ORDER_FENCE_KEY, ORDER_EPOCHS_KEY], [self._token, next_order_id, EPOCHS_KEPT]
        epoch: int = await self._bus.run_script(_BEGIN_SESSION, keys, arguments)
        if epoch == _FENCED:
            raise Fenced("another broker holds the lease now")
        return epoch

    async def floors(self) -> dict[int, int]:
        """By epoch: the Gateway's next order id when that session began; 0 where it did not say."""
        fields = await self._bus.hash(ORDER_EPOCHS_KEY)
        return {int(epoch): int(floor) for epoch, floor in fields.items() if epoch != b"last"}

    async def order_id_high_water(self) -> int:
        """The greatest order id ever journalled; the Gateway's own counter can go back."""
        return int(await self._bus.get(ORDER_ID_KEY) or 0)

    async def acknowledged_high_water(self) -> int:
        """The greatest order id of an order that IBKR has shown as its own, those that have ended included."""
        return int(await self._bus.get(ACKNOWLEDGED_ID_KEY) or 0)


def _written(record: OrderRecord) -> tuple[int | bytes | str, ...]:
    encoded = msgspec.json.encode(record)
    acknowledged_id = record.order_id if record.acknowledged else 0
    return record.revision, encoded, record.client_order_id, int(record.is_final), record.order_id, acknowledged_id


def _raise_conflict(ids: list[str], records: Sequence[OrderRecord]) -> None:
    new = {record.client_order_id for record in records if record.revision == 1}
    if ids and set(ids) <= new:
        raise AlreadyJournalled(ids)
    raise JournalConflict(f"orders {', '.join(ids) or '(part of a write)'}: the journal moved on without this broker")
