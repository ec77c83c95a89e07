"""`StreamReader`: each reader for itself, from where it says, without a loss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from bus_helpers import add, add_raw, cancel, order_id, raw
from prometheus_client import REGISTRY
from redis_for_tests import KillableServer
from support import run

from ibstream.bus import Bus, BusRefused, BusUnavailable, Entry, StreamReader
from ibstream.bus.reader import BEGINNING, BLOCK_S_MAX, LATEST, last_message
from ibstream.contracts.registry import DATA_JOBS, ORDER_REQUESTS, Stream
from ibstream.runtime.clock import SYSTEM_CLOCK


def ids(entries: Sequence[Entry]) -> list[str]:
    """The order ids of entries, in order."""
    return [order_id(entry) for entry in entries]


def test_from_the_beginning(redis_url: str) -> None:
    """All that is kept, oldest first, each once, then what is new; an entry says where it stood."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            written = await add(bus, ORDER_REQUESTS, "a", "b")
            async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
                entries = await reader.read()
                assert ids(entries) == ["a", "b"]
                assert [entry.id for entry in entries] == written
                assert {entry.stream for entry in entries} == {ORDER_REQUESTS.name}
                await add(bus, ORDER_REQUESTS, "c")
                assert ids(await reader.read()) == ["c"]
                assert await reader.read(block_s=0.01) == []

    run(scenario())


def test_from_an_id(redis_url: str) -> None:
    """After the id given, which a consumer kept from its last life."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            first, *_ = await add(bus, ORDER_REQUESTS, "a", "b", "c")
            async with StreamReader(bus, {ORDER_REQUESTS: first}) as reader:
                assert ids(await reader.read()) == ["b", "c"]

    run(scenario())


def test_latest_begins_where_start_was_called(redis_url: str) -> None:
    """Not before, and nothing written between `start` and the first read is lost; an empty or missing stream included."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, ORDER_REQUESTS, "before")
            missing = DATA_JOBS.named("none-yet")
            async with StreamReader(bus, {ORDER_REQUESTS: LATEST, missing: LATEST}) as reader:
                await reader.start()
                await add(bus, ORDER_REQUESTS, "after")
                await raw(bus).xadd(missing.name, {"type": "data.done.v1", "data": _DONE})
                entries = await reader.read()
                assert [entry.stream for entry in entries] == [ORDER_REQUESTS.name, missing.name]
                assert ids(entries[:1]) == ["after"]

    run(scenario())


_DONE = b'{"type":"data.done.v1","job_id":"none-yet","bars":0,"chunks":0,"at":"2026-11-23T14:30:00Z"}'


def test_latest_is_fixed_by_the_first_read_at_the_latest(redis_url: str) -> None:
    """A reader that was not started starts with its first read; what is written after that, read or not, is read."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {ORDER_REQUESTS: LATEST}) as reader:
            await add(bus, ORDER_REQUESTS, "before")
            assert await reader.read(block_s=0.01) == []
            await add(bus, ORDER_REQUESTS, "after")
            assert ids(await reader.read()) == ["after"]

    run(scenario())


def test_latest_loses_nothing_across_many_streams(redis_url: str) -> None:
    """16 streams written to at once while one reader follows them all: it sees every entry, once, in order per stream.

    Redis would resolve `$` anew with every read, and most entries of the other streams would be lost.
    """
    streams = [Stream(f"s:{number}", "t", "w", "r", ORDER_REQUESTS.messages) for number in range(16)]

    async def write(bus: Bus, stream: Stream) -> None:
        for number in range(100):
            await add(bus, stream, number)

    async def scenario() -> None:
        async with (
            Bus(redis_url, client_name="test") as bus,
            StreamReader(bus, dict.fromkeys(streams, LATEST)) as reader,
        ):
            await reader.start()
            writing = asyncio.gather(*(write(bus, stream) for stream in streams))
            seen: dict[str, list[str]] = {stream.name: [] for stream in streams}
            while sum(map(len, seen.values())) < 1600:
                entries = await reader.read(count=7)
                assert entries, f"lost {1600 - sum(map(len, seen.values()))} entries"
                for entry in entries:
                    seen[entry.stream].append(order_id(entry))
            await writing
            assert all(found == [str(number) for number in range(100)] for found in seen.values())

    run(scenario())


def test_readers_do_not_disturb_each_other(redis_url: str) -> None:
    """Every reader gets everything."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, ORDER_REQUESTS, "a")
            for _ in range(2):
                async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
                    assert ids(await reader.read()) == ["a"]

    run(scenario())


def test_what_cannot_be_read_is_skipped_and_counted(redis_url: str) -> None:
    """Unknown types, undecodable data and entries that are none of ours; what comes after them is read."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            before = _skipped(ORDER_REQUESTS.name)
            await add_raw(bus, ORDER_REQUESTS, type="orders.submit.v2", data="{}")
            await add_raw(bus, ORDER_REQUESTS, type="orders.cancel.v1", data=b"\xff{")
            await add_raw(bus, ORDER_REQUESTS, something="else")
            await add(bus, ORDER_REQUESTS, "a")
            async with StreamReader(bus, {ORDER_REQUESTS: BEGINNING}) as reader:
                assert ids(await reader.read()) == ["a"]
            assert _skipped(ORDER_REQUESTS.name) - before == 3
            assert await raw(bus).xlen(ORDER_REQUESTS.name) == 4
            assert not await raw(bus).exists(ORDER_REQUESTS.dead)

    run(scenario())


def test_skipped_entries_of_job_streams_share_a_label(redis_url: str) -> None:
    """A metric never has a label per job."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            before = _skipped("data:jobs:*")
            await add(bus, DATA_JOBS.named("j-1"), "a")
            async with StreamReader(bus, {DATA_JOBS.named("j-1"): BEGINNING}) as reader:
                assert await reader.read(block_s=0.01) == []
            assert _skipped("data:jobs:*") - before == 1

    run(scenario())


def _skipped(stream: str) -> float:
    return REGISTRY.get_sample_value("ibstream_bus_entries_skipped_total", {"stream": stream}) or 0.0


def test_blocking_is_bounded(redis_url: str) -> None:
    """A read without entries ends after the time asked for, and after `BLOCK_S_MAX` at the latest."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {ORDER_REQUESTS: LATEST}) as reader:
            for asked_s, least_s in ((0.2, 0.15), (3600.0, BLOCK_S_MAX - 0.1)):
                started = SYSTEM_CLOCK.monotonic()
                assert await reader.read(block_s=asked_s) == []
                assert least_s <= SYSTEM_CLOCK.monotonic() - started < least_s + 1.5

    run(scenario())


def test_a_waiting_read_wakes_with_the_entry(redis_url: str) -> None:
    """An entry written while a read blocks comes at once."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {ORDER_REQUESTS: LATEST}) as reader:
            await reader.start()
            read = asyncio.create_task(reader.read())
            await SYSTEM_CLOCK.sleep(0)
            await add(bus, ORDER_REQUESTS, "a")
            async with asyncio.timeout(1):
                assert ids(await read) == ["a"]

    run(scenario())


def test_a_cancelled_read_loses_nothing(redis_url: str) -> None:
    """The position moves only with entries that were handed out."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, StreamReader(bus, {ORDER_REQUESTS: LATEST}) as reader:
            await reader.start()
            seen: list[str] = []
            for number in range(50):
                read = asyncio.create_task(reader.read())
                for _ in range(number % 13):
                    await SYSTEM_CLOCK.sleep(0)
                await add(bus, ORDER_REQUESTS, number)
                read.cancel()
                (outcome,) = await asyncio.gather(read, return_exceptions=True)
                seen += ids(outcome) if isinstance(outcome, list) else []
            while len(seen) < 50:
                seen += ids(await reader.read())
            assert seen == [str(number) for number in range(50)]

    run(scenario())


def test_a_reader_goes_on_where_it_was_after_an_outage(private_server: Callable[[], KillableServer]) -> None:
    """While the server is away a read is `BusUnavailable`; when it is back the next entry is the next one."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            reader = StreamReader(bus, {ORDER_REQUESTS: BEGINNING})
            await add(bus, ORDER_REQUESTS, "a")
            assert ids(await reader.read()) == ["a"]
            await server.kill()
            with pytest.raises(BusUnavailable):
                await reader.read()
            await server.start()
            await add(bus, ORDER_REQUESTS, "b")
            assert ids(await reader.read()) == ["b"]
            await reader.close()

    run(scenario())


def test_a_key_of_another_kind_is_refused(redis_url: str) -> None:
    """It is not taken for a stream that does not exist yet."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put(ORDER_REQUESTS.name, b"no stream")
            async with StreamReader(bus, {ORDER_REQUESTS: LATEST}) as reader:
                with pytest.raises(BusRefused, match="WRONGTYPE"):
                    await reader.start()

    run(scenario())


def test_last_message(redis_url: str) -> None:
    """The newest message of a stream, or None where there is none or it cannot be read."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            assert await last_message(bus, ORDER_REQUESTS) is None
            await add(bus, ORDER_REQUESTS, "a", "b")
            assert await last_message(bus, ORDER_REQUESTS) == cancel("b")
            await add_raw(bus, ORDER_REQUESTS, type="orders.cancel.v9", data="{}")
            assert await last_message(bus, ORDER_REQUESTS) is None

    run(scenario())
