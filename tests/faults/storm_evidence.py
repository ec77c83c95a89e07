"""Everything that can be known after a storm, gathered from Redis and from the stand-in Gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

from faults.storm_faults import BROKER
from faults.storm_truth import Evidence
from faults.storm_world import World

from ibstream.contracts.base import Message, UndecodableError
from ibstream.contracts.registry import (
    ORDER_EVENTS,
    ORDER_REQUESTS,
    STRATEGY_POSITIONS_KEY,
    Stream,
    order_positions_key,
)
from ibstream_broker.domain.position_lines import NOT_COMPARED, PositionLine, from_journal

READ_AT_ONCE = 1_000

ZERO = Decimal(0)


async def gathered(world: World, *, pending: int) -> Evidence:
    """Ask everybody. `pending`: what the requests' group has left."""
    requests = [(entry_id, message) async for entry_id, message, _ in _entries(world, ORDER_REQUESTS)]
    events = await messages(world, ORDER_EVENTS)
    letters = await world.bus.call(world.bus.redis.xrange(ORDER_REQUESTS.dead))
    executions = await world.control.executions()
    account = world.gateway.state.account
    lines = from_journal(await world.bus.hash(order_positions_key(account)))
    positions = world.gateway.state.engine.account.positions
    held = {_con_id(world, key): position.quantity for key, position in positions.items()}
    by_fills = {line.con_id: line.quantity for line in lines if isinstance(line, PositionLine)}
    return Evidence(
        requests=[(entry_id, message) for entry_id, message in requests if message is not None],
        garbage=sum(message is None for _, message in requests),
        events=events,
        orders=await world.control.orders(),
        executions=executions,
        pending=pending,
        dead=[fields[b"error"].decode() for _, fields in letters],
        dead_ids=[fields[b"source_id"].decode() for _, fields in letters],
        holdings=_provable(world, held),
        by_fills=_provable(world, by_fills),
        of_strategies=await _of_strategies(world),
        con_ids={row.symbol: _con_id(world, row.symbol) for row in executions if not row.is_combination},
        broker=BROKER,
    )


async def messages(world: World, stream: Stream) -> list[Message]:
    """Everything on a stream that can be read."""
    return [message async for _, message, _ in _entries(world, stream) if message is not None]


def _provable(world: World, held: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """Of an account that was never followed the fills of pairs prove nothing: their first seconds are never told apart.

    Whether the first listing held an execution of its own moment is found out by later listings; those of pairs are not
    believed.
    """
    if world.is_followed:
        return dict(held)
    master = world.gateway.state.master
    kinds = {con_id: found.security_type for con_id in held if (found := master.by_con_id(con_id)) is not None}
    return {con_id: quantity for con_id, quantity in held.items() if kinds[con_id] not in NOT_COMPARED}


def _con_id(world: World, key: str) -> int:
    found = world.gateway.state.master.by_symbol(key)
    assert found is not None, f"{key} is no instrument"
    return found.con_id


async def _entries(world: World, stream: Stream) -> AsyncIterator[tuple[str, Message | None, Any]]:
    """Every entry of a stream: id, message (None where it cannot be read), fields."""
    codec, position = stream.codec(), "-"
    while True:
        found = await world.bus.call(world.bus.redis.xrange(stream.name, position, count=READ_AT_ONCE))
        for entry_id, fields in found:
            try:
                message: Message | None = codec.decode(fields[b"type"], fields[b"data"])
            except UndecodableError:
                message = None
            yield entry_id.decode(), message, fields
        if not found:
            return
        position = f"({found[-1][0].decode()}"


async def _of_strategies(world: World) -> dict[tuple[str, int], Decimal]:
    found = {}
    for name, value in (await world.bus.hash(STRATEGY_POSITIONS_KEY)).items():
        strategy, _, con_id = name.decode().partition("|")[2].rpartition("|")
        found[strategy, int(con_id)] = Decimal(value.decode())
    return found
