"""`Publisher`: what it writes, and how long it stays."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from bus_helpers import cancel, raw
from support import run

from ibstream.bus import Bus, BusRefused, Publisher
from ibstream.contracts.base import encode
from ibstream.contracts.registry import DATA_JOBS, ORDER_EVENTS, ORDER_REQUESTS, QUOTES, Stream


def test_an_entry_has_two_fields(redis_url: str) -> None:
    """`type` is the tag and `data` the message as JSON; the id returned is the entry's."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            entry_id = await Publisher(bus).publish(ORDER_REQUESTS, cancel("a"))
            entries = await raw(bus).xrange(ORDER_REQUESTS.name)
            assert entries == [(entry_id.encode(), {b"type": b"orders.cancel.v1", b"data": encode(cancel("a"))})]
            assert msgspec.json.decode(entries[0][1][b"data"])["client_order_id"] == "a"

    run(scenario())


def test_a_stream_is_trimmed_to_about_what_it_keeps(redis_url: str) -> None:
    """Never fewer than `keep_entries`, and no more than a few nodes above."""
    stream = replace(ORDER_EVENTS, keep_entries=200)

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(700):
                await Publisher(bus).publish(stream, cancel(number))
            assert 200 <= await raw(bus).xlen(stream.name) <= 400
            newest = await raw(bus).xrevrange(stream.name, count=1)
            assert b'"699"' in newest[0][1][b"data"]

    run(scenario())


def test_a_stream_that_a_group_works_off_is_not_trimmed_by_writing(redis_url: str) -> None:
    """Requests pile up as long as nobody handles them; none is dropped."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            for number in range(300):
                await Publisher(bus).publish(ORDER_REQUESTS, cancel(number))
            assert await raw(bus).xlen(ORDER_REQUESTS.name) == 300

    run(scenario())


def test_a_job_stream_expires_with_its_first_entry(redis_url: str) -> None:
    """The expiry is set in the same transaction as the entry, and again with each; other streams never expire."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            publisher, stream = Publisher(bus), DATA_JOBS.named("j-1")
            entry_id = await publisher.publish(stream, cancel("a"))
            assert [entry_id.encode()] == [found for found, _ in await raw(bus).xrange(stream.name)]
            assert 3590 <= await raw(bus).ttl("data:jobs:j-1") <= 3600
            await raw(bus).expire(stream.name, 10)
            await publisher.publish(stream, cancel("b"))
            assert await raw(bus).ttl("data:jobs:j-1") > 3590
            await publisher.publish(QUOTES.named(0), cancel("c"))
            assert await raw(bus).ttl("quotes:0") == -1

    run(scenario())


@pytest.mark.parametrize("stream", [ORDER_REQUESTS, DATA_JOBS.named("1")], ids=lambda stream: stream.name)
def test_a_key_of_another_kind_is_refused(redis_url: str, stream: Stream) -> None:
    """It is certain that nothing was written, and said so."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put(stream.name, b"no stream")
            with pytest.raises(BusRefused, match="WRONGTYPE"):
                await Publisher(bus).publish(stream, cancel("a"))
            assert await bus.get(stream.name) == b"no stream"

    run(scenario())
