"""Trimming a stream that a group works off: old entries go, but none that somebody still needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bus_helpers import HastyClock, add, consuming, deliver, ensure_group, order_id, raw
from support import eventually, run

from ibstream.bus import Bus, BusRefused, Entry, GroupConsumer
from ibstream.bus.trimming import trim_handled
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock

STREAM = replace(ORDER_REQUESTS, keep_s=3600)
NODE = 100
"""Entries of one node of a stream (`stream-node-max-entries`): trimming is exact to that."""

OLD = "1000000"
"""Milliseconds since 1970: a quarter of an hour after."""


async def oldest(bus: Bus) -> int:
    """The order id of the oldest entry that is left."""
    entries = await raw(bus).xrange(STREAM.name, count=1)
    return int(order_id(Entry("", "", STREAM.codec().decode(entries[0][1][b"type"], entries[0][1][b"data"]))))


async def acknowledge(bus: Bus, entry_ids: list[str]) -> None:
    """These were handled."""
    await raw(bus).xack(STREAM.name, STREAM.group, *entry_ids)


def test_what_is_old_and_handled_goes(redis_url: str) -> None:
    """Up to the last entry handled, as long as that is older than the stream keeps."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *range(550), at=OLD)
            await acknowledge(bus, await deliver(bus, STREAM, "0", 550))
            await trim_handled(bus, STREAM, SYSTEM_CLOCK)
            assert 549 - NODE <= await oldest(bus) <= 549

    run(scenario())


def test_what_is_not_delivered_stays(redis_url: str) -> None:
    """However old it is: the services may have been down for a week."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *range(550), at=OLD)
            await ensure_group(bus, STREAM)
            await trim_handled(bus, STREAM, SYSTEM_CLOCK)
            assert await oldest(bus) == 0
            await acknowledge(bus, await deliver(bus, STREAM, "0", 350))
            await trim_handled(bus, STREAM, SYSTEM_CLOCK)
            assert 349 - NODE <= await oldest(bus) <= 349
            assert len(await deliver(bus, STREAM, "0", 550)) == 200

    run(scenario())


def test_what_is_pending_stays(redis_url: str) -> None:
    """One entry that a consumer still has keeps itself and everything after it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *range(550), at=OLD)
            delivered = await deliver(bus, STREAM, "0", 550)
            await acknowledge(bus, [*delivered[:230], *delivered[231:]])
            await trim_handled(bus, STREAM, SYSTEM_CLOCK)
            assert 230 - NODE <= await oldest(bus) <= 230
            assert await raw(bus).xrange(STREAM.name, delivered[230], delivered[230])

    run(scenario())


def test_what_is_young_stays(redis_url: str) -> None:
    """Handled entries are kept for `keep_s`, so that people can look at them."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *range(550), at=OLD)
            await acknowledge(bus, await deliver(bus, STREAM, "0", 550))
            # 3600 s after the 300th was written, of which there is one a millisecond.
            clock = ManualClock(datetime.fromtimestamp(int(OLD) / 1000 + 0.3 + 3600, UTC))
            await trim_handled(bus, STREAM, clock)
            assert 300 - NODE <= await oldest(bus) <= 300

    run(scenario())


def test_a_stream_that_keeps_everything_is_left_alone(redis_url: str) -> None:
    """Without `keep_s` there is nothing to trim, and nothing is asked of the server."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await trim_handled(bus, replace(STREAM, keep_s=0), SYSTEM_CLOCK)
            with pytest.raises(BusRefused, match="no such key"):
                await trim_handled(bus, STREAM, SYSTEM_CLOCK)

    run(scenario())


def test_a_consumer_trims_as_it_goes(redis_url: str) -> None:
    """Nobody has to do it by hand."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *range(250), at=OLD)
            handled: list[str] = []

            async def handle(entry: Entry) -> None:
                handled.append(order_id(entry))

            async def trimmed() -> bool:
                return len(handled) == 250 and await oldest(bus) >= 250 - 2 * NODE

            consumer = GroupConsumer(
                bus, STREAM, consumer="0", handler=handle, clock=HastyClock(), upkeep_interval_s=0.01, block_s=0.05
            )
            async with consuming(consumer):
                await eventually(trimmed, what="the old entries to go")
            assert handled == [str(number) for number in range(250)]

    run(scenario())
