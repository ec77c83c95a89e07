"""`GroupConsumer`: at least once, in order, one in hand; what kills its consumer or cannot be read goes to the dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bus_helpers import (
    HastyClock,
    add,
    add_raw,
    consuming,
    dead_letters,
    deliver,
    ensure_group,
    order_id,
    pending,
    raw,
)
from prometheus_client import REGISTRY
from redis_for_tests import KillableServer
from support import eventually, run

from ibstream.bus import Bus, BusRefused, BusUnavailable, Entry, GroupConsumer
from ibstream.bus.group import (
    BURIAL_TRIES,
    DATA_BYTES_MAX,
    DEAD_LETTER_BYTES_MAX,
    MAX_DELIVERIES,
    Group,
    OnBuried,
)
from ibstream.contracts.base import encode
from ibstream.contracts.registry import ORDER_REQUESTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.errors import RecoverableError

STREAM = ORDER_REQUESTS
Servers = Callable[[], KillableServer]


class Handled(list[str]):
    """A handler that notes the order ids it is given; `first` runs before that, and may fail or wait."""

    def __init__(self, first: Callable[[str], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._first = first

    async def __call__(self, entry: Entry) -> None:
        if self._first is not None:
            await self._first(order_id(entry))
        self.append(order_id(entry))

    async def reach(self, *expected: str, within_s: float = 10.0) -> None:
        """Wait until exactly these were handled, in this order."""
        await eventually(lambda: len(self) >= len(expected), within_s=within_s, what=f"{expected}, not {self}")
        assert self == list(expected)


def consumer(bus: Bus, handler: Handled, name: str = "0", **options: Any) -> GroupConsumer:
    """A consumer of order requests that does not wait long, neither for entries nor before it tries again."""
    return GroupConsumer(bus, STREAM, consumer=name, handler=handler, clock=HastyClock(), block_s=0.05, **options)


async def nothing_pending(bus: Bus) -> None:
    """Wait until every entry delivered is acknowledged."""

    async def none() -> bool:
        return not await pending(bus, STREAM)

    await eventually(none, what="all acknowledgements")


def test_entries_are_handled_in_order_and_acknowledged_after(redis_url: str) -> None:
    """While the handler runs its entry is pending, and it alone: the later ones are not even delivered."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            in_hand: list[list[str]] = []

            async def look(_: str) -> None:
                in_hand.append(list(await pending(bus, STREAM)))

            handled = Handled(look)
            written = await add(bus, STREAM, "a", "b")
            async with consuming(consumer(bus, handled)):
                written += await add(bus, STREAM, "c")
                await handled.reach("a", "b", "c")
                await nothing_pending(bus)
            assert in_hand == [[entry_id] for entry_id in written]

    run(scenario())


def test_own_pending_entries_come_first(redis_url: str) -> None:
    """What a consumer of the same name was given before a crash is handled before anything new, oldest first."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, "a", "b", "c", "d", "e")
            await deliver(bus, STREAM, "0", 3)
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await handled.reach("a", "b", "c", "d", "e")
                await nothing_pending(bus)

    run(scenario())


def test_a_crash_in_the_handler_leaves_the_entry_for_the_next_life(redis_url: str) -> None:
    """A cancelled consumer, like a killed process, acknowledges nothing; its successor begins with that entry."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            reached = asyncio.Event()

            async def hang(_: str) -> None:
                reached.set()
                await asyncio.Event().wait()

            first, *_ = await add(bus, STREAM, "a", "b")
            task = asyncio.create_task(consumer(bus, Handled(hang)).run(asyncio.Event()))
            await reached.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert list(await pending(bus, STREAM)) == [first]
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await handled.reach("a", "b")

    run(scenario())


def test_a_recoverable_error_is_tried_again_in_its_turn(redis_url: str) -> None:
    """However often it fails: nothing later overtakes it, and its tries do not make it a dead letter."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            tries: list[str] = []

            async def fail_often(name: str) -> None:
                tries.append(name)
                if name == "b" and tries.count("b") <= 3 * MAX_DELIVERIES:
                    raise RecoverableError("not now")

            handled = Handled(fail_often)
            await add(bus, STREAM, "a", "b", "c")
            async with consuming(consumer(bus, handled)):
                await handled.reach("a", "b", "c")
                await nothing_pending(bus)
            assert tries == ["a", *["b"] * (3 * MAX_DELIVERIES + 1), "c"]
            assert await dead_letters(bus, STREAM) == []

    run(scenario())


def test_stopping_does_not_wait_for_what_fails(redis_url: str) -> None:
    """An entry that keeps failing stays pending when the consumer stops, for its next life."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            failed = asyncio.Event()

            async def fail(_: str) -> None:
                failed.set()
                raise RecoverableError("not now")

            (entry_id,) = await add(bus, STREAM, "a")
            patient = GroupConsumer(bus, STREAM, consumer="0", handler=Handled(fail), clock=_Endless())
            stop = asyncio.Event()
            task = asyncio.create_task(patient.run(stop))
            await failed.wait()
            stop.set()
            async with asyncio.timeout(3):
                await task
            assert list(await pending(bus, STREAM)) == [entry_id]

    run(scenario())


class _Endless(HastyClock):
    async def sleep(self, delay_s: float) -> None:
        await asyncio.Event().wait()  # however short the wait was meant to be
        await super().sleep(delay_s)


def test_stopping_finishes_the_entry_in_hand(redis_url: str) -> None:
    """The handler is not disturbed, its entry is acknowledged, and no other one is begun."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            reached, finish = asyncio.Event(), asyncio.Event()

            async def wait(_: str) -> None:
                reached.set()
                await finish.wait()

            handled = Handled(wait)
            await add(bus, STREAM, "a", "b")
            stop = asyncio.Event()
            task = asyncio.create_task(consumer(bus, handled).run(stop))
            await reached.wait()
            stop.set()
            await SYSTEM_CLOCK.sleep(0)
            assert not task.done()
            finish.set()
            async with asyncio.timeout(3):
                await task
            assert handled == ["a"]
            assert await pending(bus, STREAM) == {}
            groups = await raw(bus).xinfo_groups(STREAM.name)
            assert groups[0]["lag"] == 1, "the second was not delivered to anyone"

    run(scenario())


@pytest.mark.parametrize("error", [ValueError("a bug"), BusRefused("OOM")], ids=repr)
def test_any_other_error_ends_the_consumer(redis_url: str, error: Exception) -> None:
    """The supervisor shall hear of it; the entry stays pending, and the same consumer can be run again."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            broken = True

            async def fail(_: str) -> None:
                if broken:
                    raise error

            handled = Handled(fail)
            (entry_id,) = await add(bus, STREAM, "a")
            same = consumer(bus, handled)
            with pytest.raises(type(error), match=str(error)):
                await same.run(asyncio.Event())
            assert list(await pending(bus, STREAM)) == [entry_id]
            broken = False
            async with consuming(same):
                await handled.reach("a")
                await nothing_pending(bus)

    run(scenario())


def test_what_kills_its_consumer_is_buried_and_its_neighbours_are_not(redis_url: str) -> None:
    """A request that ends the process each time goes to the dead letters after its deliveries; those behind it, which were
    never touched, are handled."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            deaths: list[str] = []

            async def die(name: str) -> None:
                if name == "poison":
                    deaths.append(name)
                    raise ValueError("a bug")

            await add(bus, STREAM, "poison", "b", "c")
            await deliver(bus, STREAM, "0", 3)
            handled = Handled(die)
            for _ in range(MAX_DELIVERIES - 1):
                with pytest.raises(ValueError, match="a bug"):
                    await consumer(bus, handled).run(asyncio.Event())
            async with consuming(consumer(bus, handled)):
                await handled.reach("b", "c")
                await nothing_pending(bus)
            assert len(deaths) == MAX_DELIVERIES - 1, "the first delivery is that of `deliver`"
            (letter,) = await dead_letters(bus, STREAM)
            assert b"poison" in letter[b"data"]
            assert letter[b"error"] == b"not handled in 5 deliveries"

    run(scenario())


@pytest.mark.parametrize(("before", "is_buried"), [(MAX_DELIVERIES - 1, False), (MAX_DELIVERIES, True)])
def test_the_limit_of_deliveries_is_exact(redis_url: str, before: int, is_buried: bool) -> None:
    """The last allowed delivery is handled, the next one is not."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, "a")
            (entry_id,) = await deliver(bus, STREAM, "0", 1)
            await raw(bus).xclaim(STREAM.name, STREAM.group, "0", 0, [entry_id], retrycount=before, justid=True)
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await nothing_pending(bus)
            assert handled == ([] if is_buried else ["a"])
            assert len(await dead_letters(bus, STREAM)) == is_buried

    run(scenario())


def test_a_dead_letter_has_all_that_was_written_and_why(redis_url: str) -> None:
    """Every field of the entry, the error, where it stood and whose it was; in one step with its acknowledgement."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            entry_id = await add_raw(bus, STREAM, type="orders.cancel.v1", data=b"\xff{", trace="t-1")
            handled = Handled()
            before = _counted("dead_letters")
            async with consuming(consumer(bus, handled)):
                await add(bus, STREAM, "after")
                await handled.reach("after")
                await nothing_pending(bus)
            (letter,) = await dead_letters(bus, STREAM)
            error = letter.pop(b"error")
            assert error
            assert letter == {
                b"type": b"orders.cancel.v1",
                b"data": b"\xff{",
                b"data_bytes": b"2",
                b"trace": b"t-1",
                b"source_id": entry_id.encode(),
                b"group": b"broker",
            }
            assert _counted("dead_letters") - before == 1
            assert await raw(bus).xlen(STREAM.name) == 2, "the stream itself keeps it too"

    run(scenario())


def test_a_dead_letter_of_something_huge_is_its_beginning(redis_url: str) -> None:
    """A hundred thousand whole ones would fill Redis. How long it was is told; so is that nobody has tried to read it."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            data = b'{"client_order_id":"a","requested_at":"' + b"x" * DATA_BYTES_MAX
            huge = b"y" * DEAD_LETTER_BYTES_MAX
            await add_raw(bus, STREAM, type="orders.cancel.v1", data=data, note=huge, trace="t-1")
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await add(bus, STREAM, "after")
                await handled.reach("after")
                await nothing_pending(bus)
            (letter,) = await dead_letters(bus, STREAM)
            assert letter[b"data"] == data[:DEAD_LETTER_BYTES_MAX]
            assert int(letter[b"data_bytes"]) == len(data)
            assert f"{DATA_BYTES_MAX:,}".encode() in letter[b"error"]
            assert (letter[b"trace"], b"note" in letter) == (b"t-1", False)

    run(scenario())


def test_the_longest_data_that_is_read_is_read(redis_url: str) -> None:
    """The bound is exact: filled up with blanks to it, a request is one; one blank more, and it is a dead letter."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            handled = Handled()
            [entry_id] = await add(bus, STREAM, "a")
            [(_, fields)] = await raw(bus).xrange(STREAM.name, entry_id, entry_id)
            for length in (DATA_BYTES_MAX, DATA_BYTES_MAX + 1):
                await add_raw(bus, STREAM, type=fields[b"type"], data=fields[b"data"].ljust(length))
            async with consuming(consumer(bus, handled)):
                await handled.reach("a", "a")
                await nothing_pending(bus)
            assert len(await dead_letters(bus, STREAM)) == 1

    run(scenario())


async def opened_at(bus: Bus, deliveries: int, *, on_buried: OnBuried) -> None:
    """Have the one pending entry opened, as if it had been delivered so often."""
    group = Group(bus, STREAM, consumer="0", on_buried=on_buried)
    try:
        [entry] = await group.read_pending("0-0")
        assert await group.open(entry, deliveries) is None
    finally:
        await group.close()


def test_who_asked_for_what_is_buried_can_be_told(redis_url: str) -> None:
    """A readable entry that was delivered too often is told of first and buried after; one that cannot be read is not told of."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            told: list[str] = []

            async def tell(entry: Entry, error: str) -> None:
                assert await dead_letters(bus, STREAM) == []
                told.append(f"{order_id(entry)}: {error}")

            await add(bus, STREAM, "a")
            await deliver(bus, STREAM, "0", 1)
            await opened_at(bus, MAX_DELIVERIES + 1, on_buried=tell)
            assert told == ["a: not handled in 5 deliveries"]
            assert len(await dead_letters(bus, STREAM)) == 1
            assert await pending(bus, STREAM) == {}
            await add_raw(bus, STREAM, type="orders.cancel.v1", data="{")
            await deliver(bus, STREAM, "0", 1)
            await raw(bus).delete(STREAM.dead)
            await opened_at(bus, MAX_DELIVERIES + 1, on_buried=tell)
            assert len(told) == len(await dead_letters(bus, STREAM)) == 1

    run(scenario())


def test_what_was_not_told_is_told_in_the_next_delivery_but_not_for_ever(redis_url: str) -> None:
    """Redis may have failed, or the process been killed, by the telling itself: after some more tries it is buried without."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            tries: list[str] = []

            async def fail(entry: Entry, _: str) -> None:
                tries.append(order_id(entry))
                raise RecoverableError("not now")

            await add(bus, STREAM, "a")
            await deliver(bus, STREAM, "0", 1)
            for number in range(1, BURIAL_TRIES + 1):
                with pytest.raises(RecoverableError):
                    await opened_at(bus, MAX_DELIVERIES + number, on_buried=fail)
                assert len(await pending(bus, STREAM)) == 1
            await opened_at(bus, MAX_DELIVERIES + BURIAL_TRIES + 1, on_buried=fail)
            assert tries == ["a"] * BURIAL_TRIES
            [letter] = await dead_letters(bus, STREAM)
            assert b"not told" in letter[b"error"]

    run(scenario())


def test_unknown_types_are_acknowledged_and_counted(redis_url: str) -> None:
    """A newer writer may be about: no dead letter, no handler, but a count. So is an entry that is none of ours."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            before = _counted("entries_skipped")
            await add_raw(bus, STREAM, type="orders.submit.v2", data="{}")
            await add_raw(bus, STREAM, something="else")
            await add(bus, STREAM, "a")
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await handled.reach("a")
                await nothing_pending(bus)
            assert await dead_letters(bus, STREAM) == []
            assert _counted("entries_skipped") - before == 2

    run(scenario())


def _counted(what: str) -> float:
    return REGISTRY.get_sample_value(f"ibstream_bus_{what}_total", {"stream": STREAM.name}) or 0.0


def test_what_a_dead_consumer_held_is_taken_over(redis_url: str) -> None:
    """By the cursor, past any number of entries that a live consumer holds, and none of those."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, *(f"live-{number}" for number in range(35)))
            live = await deliver(bus, STREAM, "live", 35)
            await add(bus, STREAM, "a", "b", "c")
            held = await deliver(bus, STREAM, "dead", 3)
            await raw(bus).xclaim(STREAM.name, STREAM.group, "dead", 0, held, idle=31_000, justid=True)
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await handled.reach("a", "b", "c")
                await eventually(lambda: _held(bus, live), what="only the live ones to be pending")

    async def _held(bus: Bus, expected: list[str]) -> bool:
        return await pending(bus, STREAM) == dict.fromkeys(expected, "live")

    run(scenario())


def test_what_was_taken_over_too_often_is_buried(redis_url: str) -> None:
    """A poison entry does not wander from replica to replica for ever."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, "poison")
            held = await deliver(bus, STREAM, "dead", 1)
            await raw(bus).xclaim(
                STREAM.name, STREAM.group, "dead", 0, held, idle=31_000, retrycount=MAX_DELIVERIES, justid=True
            )
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await nothing_pending(bus)
            assert handled == []
            assert len(await dead_letters(bus, STREAM)) == 1

    run(scenario())


def test_a_long_handler_keeps_its_entry(redis_url: str) -> None:
    """However long it takes, no other consumer takes over an entry that a live one has in hand; nor does the wait count
    as deliveries."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            finish, reached = asyncio.Event(), asyncio.Event()
            deliveries: list[int] = []

            async def wait(_: str) -> None:
                reached.set()
                await finish.wait()
                (item,) = await raw(bus).xpending_range(STREAM.name, STREAM.group, min="-", max="+", count=1)
                deliveries.append(item["times_delivered"])

            slow, other = Handled(wait), Handled()
            await add(bus, STREAM, "long")
            # The signs of life of a hasty clock come every 2 ms here; the server's own clock judges the half second.
            async with consuming(consumer(bus, slow, "slow", claim_idle_s=0.5)):
                await reached.wait()
                hungry = consumer(bus, other, "other", claim_idle_s=0.5, upkeep_interval_s=0.01)
                async with consuming(hungry):
                    await SYSTEM_CLOCK.sleep(1.2)  # not for a state: more than the half second that passes is the test
                    finish.set()
                    await slow.reach("long")
            assert other == []
            assert deliveries == [1]

    run(scenario())


@pytest.mark.parametrize("holder", ["0", "dead"])
def test_entries_trimmed_while_pending_are_let_go(redis_url: str, holder: str) -> None:
    """Somebody trimmed or deleted what was pending, for us or for a dead consumer: acknowledged, counted, and on."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await add(bus, STREAM, "gone", "here")
            held = await deliver(bus, STREAM, holder, 2)
            await raw(bus).xclaim(STREAM.name, STREAM.group, holder, 0, held, idle=31_000, justid=True)
            await raw(bus).xdel(STREAM.name, held[0])
            before = _counted("entries_skipped")
            handled = Handled()
            async with consuming(consumer(bus, handled)):
                await handled.reach("here")
                await nothing_pending(bus)
            assert _counted("entries_skipped") - before == 1

    run(scenario())


@pytest.mark.parametrize("what", ["stream", "group", "everything"])
def test_a_group_that_vanished_is_made_again(redis_url: str, what: str) -> None:
    """Deleted by somebody, or the server came back empty: the consumer goes on by itself. Nothing written since is lost;
    where the stream is still there, its entries come again (at least once)."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            handled = Handled()
            await add(bus, STREAM, "a")
            async with consuming(consumer(bus, handled, upkeep_interval_s=0.01)):
                await handled.reach("a")
                await nothing_pending(bus)
                for turn in range(5):
                    await _remove(bus, what)
                    handled.clear()
                    await add(bus, STREAM, turn)
                    await eventually(lambda: str(turn) in handled, what="the entry")  # noqa: B023

    run(scenario())


async def _remove(bus: Bus, what: str) -> None:
    if what == "group":
        await raw(bus).xgroup_destroy(STREAM.name, STREAM.group)
    elif what == "stream":
        await bus.delete(STREAM.name)
    else:
        await raw(bus).flushall()


def test_the_bus_dies_and_returns(private_server: Servers) -> None:
    """The effect took place, then the server died before the acknowledgement: it is acknowledged when the server is back,
    the handler is not called again, and the next entries follow."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:

            async def die(name: str) -> None:
                if name == "a":
                    await server.kill()

            handled = Handled(die)
            await add(bus, STREAM, "a", "b")
            async with consuming(consumer(bus, handled)):
                await eventually(lambda: handled == ["a"], what="the first")
                await server.start()
                await handled.reach("a", "b")
                await nothing_pending(bus)
                await server.kill()  # while it blocks in a read
                await server.start()
                await add(bus, STREAM, "c")
                await handled.reach("a", "b", "c")

    run(scenario())


def test_a_handler_that_finds_the_bus_dead_is_tried_again(private_server: Servers) -> None:
    """`BusUnavailable` is recoverable wherever it comes from."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            tries = 0

            async def write(_: str) -> None:
                nonlocal tries
                tries += 1
                if tries == 1:
                    await server.kill()
                if tries == 3:
                    await server.start()
                await bus.put("effect", b"done")

            handled = Handled(write)
            await add(bus, STREAM, "a")
            async with consuming(consumer(bus, handled)):
                await handled.reach("a")
                await nothing_pending(bus)
            assert tries >= 3
            assert await bus.get("effect") == b"done"

    run(scenario())


def test_stopping_while_the_bus_is_away(private_server: Servers) -> None:
    """A consumer that cannot reach the bus still ends at once when asked."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            handled = Handled()
            stop = asyncio.Event()
            task = asyncio.create_task(consumer(bus, handled).run(stop))
            await add(bus, STREAM, "a")
            await handled.reach("a")
            await server.kill()
            with pytest.raises(BusUnavailable):
                await bus.ping()
            stop.set()
            async with asyncio.timeout(3):
                await task

    run(scenario())


def test_two_consumers_share_the_work(redis_url: str) -> None:
    """Each entry goes to one of them, and one that is busy keeps nothing from the other."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            finish = asyncio.Event()

            async def wait(_: str) -> None:
                await finish.wait()

            busy, idle = Handled(wait), Handled()
            await add(bus, STREAM, "a")
            async with consuming(consumer(bus, busy, "busy")):
                await eventually(lambda: _holds(bus, "busy"), what="the busy one to be busy")
                async with consuming(consumer(bus, idle, "idle")):
                    await add(bus, STREAM, *range(20))
                    await idle.reach(*map(str, range(20)))
                finish.set()
                await busy.reach("a")

    async def _holds(bus: Bus, name: str) -> bool:
        await ensure_group(bus, STREAM)
        return name in (await pending(bus, STREAM)).values()

    run(scenario())


def test_messages_arrive_whole(redis_url: str) -> None:
    """The handler gets the entry's stream, id and message as they were written."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            got: list[Entry] = []

            async def keep(entry: Entry) -> None:
                got.append(entry)

            (entry_id,) = await add(bus, STREAM, "a")
            async with consuming(GroupConsumer(bus, STREAM, consumer="0", handler=keep, clock=SYSTEM_CLOCK)):
                await eventually(lambda: got)
            assert (got[0].stream, got[0].id) == (STREAM.name, entry_id)
            assert encode(got[0].message) == (await raw(bus).xrange(STREAM.name))[0][1][b"data"]

    run(scenario())
