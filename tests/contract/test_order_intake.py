"""The intake on a real Redis: read ahead, in order, acknowledged when done and not before, whatever becomes of Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from bus_helpers import HastyClock, add, add_raw, dead_letters, deliver, order_id, pending, raw
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, Entry
from ibstream.bus.group import DEAD_LETTER_BYTES_MAX, MAX_DELIVERIES
from ibstream.contracts.orders import SubmitOrder
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream_broker import intake as intake_module
from ibstream_broker.intake import Intake

CONSUMER = "broker-0"


@pytest.fixture(autouse=True)
def _short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for the read that is under way."""
    monkeypatch.setattr(intake_module, "BLOCK_S", 0.05)


@dataclass
class Taker:
    """Takes what it is handed, as the desk does, and says what is done when the test tells it to."""

    taken: list[str] = field(default_factory=list)
    """What the entries ask for, in the order in which they came."""
    batches: list[int] = field(default_factory=list)
    """How many came at once."""
    open: dict[str, str] = field(default_factory=dict)
    """What is not done yet: entry ids by what was asked for."""
    intake: Intake | None = None
    at_once: bool = False
    """Whether everything is done as soon as it is taken."""

    async def take(self, entries: Sequence[Entry]) -> None:
        self.batches.append(len(entries))
        for entry in entries:
            self.taken.append(order_id(entry))
            self.open[order_id(entry)] = entry.id
        if self.at_once:
            self.done(*[order_id(entry) for entry in entries])

    def done(self, *names: str) -> None:
        """Their effect is durable."""
        assert self.intake is not None
        for name in names:
            self.intake.done(self.open.pop(name))


@contextlib.asynccontextmanager
async def taking(bus: Bus, *, at_once: bool = False) -> AsyncIterator[Taker]:
    """An intake at work, until the context ends."""
    taker, stop = Taker(at_once=at_once), asyncio.Event()
    taker.intake = Intake(bus, taker.take, consumer=CONSUMER, clock=HastyClock())
    running = asyncio.create_task(taker.intake.run(stop))
    try:
        yield taker
        assert not running.done(), f"the intake ended by itself: {running}"
    finally:
        stop.set()
        await running


async def unacknowledged(bus: Bus) -> int:
    """How many entries were given out and not acknowledged."""
    return len(await pending(bus, ORDER_REQUESTS))


def test_requests_are_read_ahead_and_acknowledged_when_they_are_done(redis_url: str) -> None:
    """All are taken in their order while none is done; each is acknowledged for itself, in any order."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, taking(bus) as taker:
            names = [str(number) for number in range(600)]
            await add(bus, ORDER_REQUESTS, *names)
            await eventually(lambda: len(taker.taken) == 600, what="all of them")
            assert taker.taken == names
            assert max(taker.batches) <= intake_module.READ_AT_ONCE
            assert await unacknowledged(bus) == 600
            taker.done("599", "3")
            await eventually(lambda: _left(bus, 598), what="two acknowledgements")
            taker.done(*taker.open)
            await eventually(lambda: _left(bus, 0), what="the rest")

    run(scenario())


async def _left(bus: Bus, count: int) -> bool:
    return await unacknowledged(bus) == count


def test_a_second_life_takes_what_is_pending_first(redis_url: str) -> None:
    """What was taken and not done comes again, oldest first and before anything new; what was done does not."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            async with taking(bus) as taker:
                await add(bus, ORDER_REQUESTS, "a", "b", "c")
                await eventually(lambda: len(taker.taken) == 3, what="three")
                taker.done("b")
                await eventually(lambda: _left(bus, 2), what="one acknowledgement")
            await add(bus, ORDER_REQUESTS, "d")
            async with taking(bus) as taker:
                await eventually(lambda: len(taker.taken) == 3, what="all that is left")
                assert taker.taken == ["a", "c", "d"]

    run(scenario())


def test_what_is_under_suspicion_is_handled_alone(redis_url: str) -> None:
    """Delivered before and not done, it may kill whoever takes it: nothing else is on its way then, before it or after it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, ORDER_REQUESTS, "a", "b", "c")
            await deliver(bus, ORDER_REQUESTS, CONSUMER, 3)
            await raw(bus).xreadgroup(ORDER_REQUESTS.group, CONSUMER, {ORDER_REQUESTS.name: "0"})
            await add(bus, ORDER_REQUESTS, "new")
            async with taking(bus) as taker:
                for name in ("a", "b", "c"):
                    await eventually(lambda n=name: list(taker.open) == [n], what=name)  # type: ignore[misc]
                    assert (await deliveries(bus))[:2] in ([3, 2], [3])
                    taker.done(name)
                await eventually(lambda: taker.taken == ["a", "b", "c", "new"], what="the new one")
                assert taker.batches == [1, 1, 1, 1]

    run(scenario())


def test_nothing_trusted_is_on_its_way_while_a_suspect_is_handled(redis_url: str) -> None:
    """Those before it are done first, so that its next crash counts against it alone."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            [_, suspect] = await add(bus, ORDER_REQUESTS, "trusted", "suspect")
            await deliver(bus, ORDER_REQUESTS, CONSUMER, 2)
            await raw(bus).xclaim(ORDER_REQUESTS.name, ORDER_REQUESTS.group, CONSUMER, 0, [suspect], retrycount=3)
            async with taking(bus) as taker:
                await eventually(lambda: taker.taken, what="the first")
                assert taker.taken == ["trusted"]
                taker.done("trusted")
                await eventually(lambda: taker.taken == ["trusted", "suspect"], what="the second")
                assert await unacknowledged(bus) == 1

    run(scenario())


async def deliveries(bus: Bus) -> list[int]:
    """How often each pending entry was delivered, oldest first."""
    found = await raw(bus).xpending_range(ORDER_REQUESTS.name, ORDER_REQUESTS.group, min="-", max="+", count=100)
    return [one["times_delivered"] for one in found]


def test_what_kills_its_consumer_each_time_is_buried_and_its_neighbours_are_not(redis_url: str) -> None:
    """Five lives end with it in hand; the sixth buries it, and takes what came with it and after it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, ORDER_REQUESTS, "before", "poison", "after")
            lives, taken = 0, list[str]()
            while not await dead_letters(bus, ORDER_REQUESTS):
                lives += 1
                assert lives <= MAX_DELIVERIES + 1, "it is taken for ever"
                async with taking(bus) as taker:
                    await eventually(lambda t=taker: _dies_or_goes_on(bus, t), what="a death or a funeral")  # type: ignore[misc]
                    taken += taker.taken
            assert taken.count("poison") == MAX_DELIVERIES
            [letter] = await dead_letters(bus, ORDER_REQUESTS)
            assert (letter[b"error"], letter[b"group"]) == (b"not handled in 5 deliveries", b"broker")
            async with taking(bus, at_once=True) as taker:
                await eventually(lambda: _left(bus, 0), what="everything else")
                assert "poison" not in taker.taken

    run(scenario())


async def _dies_or_goes_on(bus: Bus, taker: Taker) -> bool:
    """A life ends with the poison in hand; what is in hand alone, and is none, is done."""
    if "poison" in taker.open or await dead_letters(bus, ORDER_REQUESTS):
        return True
    taker.done(*taker.open)
    return False


SUBMIT = (
    b'{"client_order_id":"%s","strategy":"%s","instrument":{"symbol":"AAPL"},"side":"BUY","quantity":"10",'
    b'"order_type":"MKT","requested_at":"2026-11-23T14:30:00Z"}'
)
"""An order by its id and its strategy."""


def test_the_orders_below_are_bad_for_what_they_name_alone() -> None:
    """With an id and a strategy of ordinary size the same bytes are an order."""
    assert isinstance(ORDER_REQUESTS.codec().decode(b"orders.submit.v1", SUBMIT % (b"a-1", b"test")), SubmitOrder)


BAD = {
    "undecodable": {"type": "orders.cancel.v1", "data": b"{"},
    "no id": {"type": "orders.cancel.v1", "data": b'{"requested_at":"2026-11-23T14:30:00Z"}'},
    "long id": {
        "type": "orders.cancel.v1",
        "data": b'{"client_order_id":"%s","requested_at":"2026-11-23T14:30:00Z"}' % (b"x" * 33),
    },
    "not ascii": {
        "type": "orders.cancel.v1",
        "data": '{"client_order_id":"é","requested_at":"2026-11-23T14:30:00Z"}'.encode(),
    },
    "not text": {"type": "orders.cancel.v1", "data": b"\xff\xfe"},
    "no data": {"type": "orders.cancel.v1", "other": b"x"},
    "10 MB": {"type": "orders.cancel.v1", "data": b'{"client_order_id":"' + b"x" * 10_000_000 + b'"}'},
    "order with a long id": {"type": "orders.submit.v1", "data": SUBMIT % (b"x" * 33, b"test")},
    "order whose id is not ascii": {"type": "orders.submit.v1", "data": SUBMIT % ("é".encode(), b"test")},
    "order of 10 MB": {"type": "orders.submit.v1", "data": SUBMIT % (b"a-1", b"x" * 10_000_000)},
    "deep": {"type": "orders.cancel.v1", "data": b"[" * 100_000},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_what_cannot_be_read_goes_to_the_dead_letters_and_the_next_is_done(
    redis_url: str, fields: dict[str, bytes | str]
) -> None:
    """With its fields, a huge one's beginning, and the error; acknowledged, so that it never comes again."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, taking(bus, at_once=True) as taker:
            entry_id = await add_raw(bus, ORDER_REQUESTS, **fields)
            await add(bus, ORDER_REQUESTS, "good")
            await eventually(lambda: taker.taken == ["good"], what="the next")
            await eventually(lambda: _left(bus, 0), what="both acknowledged")
            [letter] = await dead_letters(bus, ORDER_REQUESTS)
            assert letter[b"source_id"] == entry_id.encode()
            assert letter[b"error"]
            assert len(letter[b"error"]) < 5_000
            for name, value in fields.items():
                whole = value.encode() if isinstance(value, str) else value
                assert letter[name.encode()] == whole[:DEAD_LETTER_BYTES_MAX]

    run(scenario())


def test_an_entry_of_unknown_type_is_passed_over(redis_url: str) -> None:
    """It may be of a later version: it is acknowledged, and no dead letter."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, taking(bus, at_once=True) as taker:
            await add_raw(bus, ORDER_REQUESTS, type="orders.cancel.v9", data=b"{}")
            await add_raw(bus, ORDER_REQUESTS, nonsense=b"x")
            await add(bus, ORDER_REQUESTS, "good")
            await eventually(lambda: _left(bus, 0), what="all acknowledged")
            await eventually(lambda: taker.taken == ["good"], what="the next")
            assert await dead_letters(bus, ORDER_REQUESTS) == []

    run(scenario())


def test_redis_killed_and_back_brings_nothing_twice(private_server: Callable[[], KillableServer]) -> None:
    """What is on its way stays on its way; what was done meanwhile is acknowledged; what is new comes once."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus, taking(bus) as taker:
            await add(bus, ORDER_REQUESTS, "a", "b", "c")
            await eventually(lambda: len(taker.taken) == 3, what="three")
            await server.kill()
            taker.done("b")
            await server.start()
            await eventually(lambda: _left(bus, 2), what="the acknowledgement that was owed")
            assert await deliveries(bus) == [1, 1]
            await add(bus, ORDER_REQUESTS, "d")
            await eventually(lambda: "d" in taker.taken, what="the new one")
            assert taker.taken == ["a", "b", "c", "d"]
            taker.done(*taker.open)
            await eventually(lambda: _left(bus, 0), what="the rest")

    run(scenario())


def test_a_group_that_is_deleted_is_made_again_and_tells_everything_anew(redis_url: str) -> None:
    """From the stream's beginning: what is on its way is not taken twice, and what was done before is for the journal to know."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus, taking(bus) as taker:
            await add(bus, ORDER_REQUESTS, "done", "open")
            await eventually(lambda: len(taker.taken) == 2, what="two")
            taker.done("done")
            await eventually(lambda: _left(bus, 1), what="an acknowledgement")
            await raw(bus).xgroup_destroy(ORDER_REQUESTS.name, ORDER_REQUESTS.group)
            await add(bus, ORDER_REQUESTS, "new")
            await eventually(lambda: "new" in taker.taken, what="the new one")
            assert taker.taken == ["done", "open", "done", "new"]
            taker.done(*taker.open)
            await eventually(lambda: _left(bus, 0), what="all acknowledged")

    run(scenario())


def test_a_stop_leaves_what_is_not_done_pending_and_flushes_what_is(redis_url: str) -> None:
    """The last acknowledgements of a life are made on demand."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            async with taking(bus) as taker:
                await add(bus, ORDER_REQUESTS, "a", "b")
                await eventually(lambda: len(taker.taken) == 2, what="two")
            assert taker.intake is not None
            taker.done("a")
            await taker.intake.flush()
            await taker.intake.flush()
            assert list((await pending(bus, ORDER_REQUESTS)).keys()) == [taker.open["b"]]

    run(scenario())
