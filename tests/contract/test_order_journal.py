"""The journal on a real Redis: a record and its events are written together or not at all, once, and by one broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from redis_for_tests import KillableServer
from support import run
from unit.broker.stories import NOW, charged, executed, seen, submit

from ibstream.bus import Bus, BusUnavailable, StreamReader, connection
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.base import Message
from ibstream.contracts.orders import CommissionCharged, OrderEvent, OrderFilled, OrderStatus, OrderStatusChanged
from ibstream.contracts.registry import OPEN_ORDERS_KEY, ORDER_EVENTS, order_journal_key
from ibstream_broker.adapters import journal as journal_module
from ibstream_broker.adapters.journal import FINAL_KEPT_S, OrderJournal
from ibstream_broker.domain.lifecycle import Step, moved, published, status_event, step
from ibstream_broker.domain.position_lines import PositionChange
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ports import AlreadyJournalled, Fenced, JournalConflict

_S = OrderStatus


@asynccontextmanager
async def journal_on(url: str, token: int = 1) -> AsyncIterator[tuple[Bus, OrderJournal]]:
    async with Bus(url, client_name="test") as bus:
        yield bus, OrderJournal(bus, token)


async def events_on(bus: Bus) -> list[Message]:
    """Everything on `orders:events`."""
    async with StreamReader(bus, {ORDER_EVENTS: BEGINNING}) as reader:
        return [entry.message for entry in await reader.read(block_s=0.01)]


def intent(name: str = "s-1", order_id: int = 41) -> Step:
    """A new order's first step."""
    record = OrderRecord(request=submit(client_order_id=name), entry_id="1-1", account="DU1", order_id=order_id)
    return published(record, [status_event(record, NOW)])


def write(*steps: Step) -> tuple[list[OrderRecord], list[OrderEvent]]:
    """What one commit of these steps takes."""
    return [record for record, _ in steps], [event for _, events in steps for event in events]


def test_a_step_and_its_events_are_written_together(redis_url: str) -> None:
    """And are read back as they were, ledger, commissions and all."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            record, events = intent()
            await journal.commit([record], events)
            fill = executed(1, 40)
            for one in (seen(), fill, charged(fill)):
                record, events = step(record, one, NOW)
                await journal.commit([record], events)
            assert await journal.load("s-1") == record
            published_events = await events_on(bus)
            kinds = [OrderStatusChanged, OrderStatusChanged, OrderFilled, OrderStatusChanged, CommissionCharged]
            assert [type(event) for event in published_events] == kinds
            assert [event.seq for event in published_events] == [1, 2, 3, 4, 5]  # type: ignore[attr-defined]

    run(scenario())


def test_a_write_whose_reply_was_lost_is_repeated_without_effect(redis_url: str) -> None:
    """The revision says whether it happened: one set of events, however often."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            record, events = intent()
            for _ in range(3):
                await journal.commit([record], events)
            assert len(await events_on(bus)) == 1

    run(scenario())


def test_a_reply_lost_on_the_way_leaves_exactly_one_set_of_events(
    private_server: Callable[[], KillableServer],
) -> None:
    """The server takes the write while it is frozen and answers nobody; the repetition after it wakes is harmless."""

    async def scenario() -> None:
        async with private_server() as server, journal_on(server.url) as (bus, journal):
            await journal.commit(*write(intent("warm-up", 40)))  # the script is known to the server
            record, events = intent()
            async with server.frozen():
                first = asyncio.create_task(journal.commit([record], events))
                with pytest.raises(BusUnavailable):
                    await first
            await journal.commit([record], events)
            assert len(await events_on(bus)) == 2

    run(scenario())


@pytest.mark.parametrize("revision", [0, 2, 4, 5])
def test_a_journal_that_moved_on_without_this_broker_is_a_conflict(redis_url: str, revision: int) -> None:
    """Neither behind nor ahead of the next revision is anything written, nor any event told."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            record, events = intent()
            await journal.commit([record], events)
            after, more = step(record, seen(), NOW)
            await journal.commit([after], more)
            stray = msgspec.structs.replace(after, revision=revision, text="another story")
            with pytest.raises(JournalConflict, match="s-1"):
                await journal.commit([stray], more)
            assert await journal.load("s-1") == after
            assert len(await events_on(bus)) == 2

    run(scenario())


def test_an_older_token_writes_nothing_once_a_newer_one_has_looked(redis_url: str) -> None:
    """Reading what is open is enough: from then on what was read stays true."""

    async def scenario() -> None:
        async with journal_on(redis_url, 1) as (bus, old), journal_on(redis_url, 2) as (_, new):
            record, events = intent()
            await old.commit([record], events)
            assert await new.load_open() == [record]
            after, more = step(record, seen(), NOW)
            with pytest.raises(Fenced):
                await old.commit([after], more)
            with pytest.raises(Fenced):
                await old.commit(*write(intent("s-2", 42)))
            with pytest.raises(Fenced):
                await old.load_open()
            assert await new.load("s-2") is None
            assert await new.order_id_high_water() == 41
            assert len(await events_on(bus)) == 1
            await new.commit([after], more)
            assert await new.load("s-1") == after

    run(scenario())


def test_a_newer_token_fences_with_its_first_write_too(redis_url: str) -> None:
    """Whatever comes first."""

    async def scenario() -> None:
        async with journal_on(redis_url, 1) as (_, old), journal_on(redis_url, 7) as (_, new):
            await new.commit(*write(intent("new", 1)))
            with pytest.raises(Fenced):
                await old.commit(*write(intent("old", 2)))
            assert await old.load("old") is None

    run(scenario())


def test_open_orders_are_found_and_finished_ones_answer_for_a_while(redis_url: str) -> None:
    """A finished order is no longer open; it answers for a repeated id for a week, and then is gone."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            first, second = intent("a", 1), intent("b", 2)
            for record, events in (first, second):
                await journal.commit([record], events)
            assert await bus.redis.ttl(order_journal_key("a")) == -1
            rejected = moved(first[0], OrderStatus.REJECTED, NOW)
            await journal.commit(*write(rejected))
            assert await journal.load_open() == [second[0]]
            assert await journal.load("a") == rejected[0]
            assert await bus.members(OPEN_ORDERS_KEY) == {b"b"}
            assert FINAL_KEPT_S - 5 <= await bus.redis.ttl(order_journal_key("a")) <= FINAL_KEPT_S

    run(scenario())


def test_an_order_rejected_at_once_was_never_open(redis_url: str) -> None:
    """One revision, final, without an order id."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (_, journal):
            record = OrderRecord(request=submit(quantity=Decimal("NaN")), entry_id="1-1")
            await journal.commit(*write(moved(record, OrderStatus.REJECTED, NOW)))
            assert await journal.load_open() == []
            loaded = await journal.load("s-1")
            assert loaded is not None
            assert loaded.request.quantity.is_nan()
            assert await journal.order_id_high_water() == 0

    run(scenario())


def test_the_greatest_order_id_is_never_forgotten(redis_url: str) -> None:
    """Smaller ones after it, and the end of its order, change nothing."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (_, journal):
            assert await journal.order_id_high_water() == 0
            for name, order_id in (("a", 7), ("b", 38103), ("c", 9)):
                await journal.commit(*write(intent(name, order_id)))
            assert await journal.order_id_high_water() == 38103

    run(scenario())


def test_the_greatest_acknowledged_order_id_outlives_its_order(redis_url: str) -> None:
    """One that IBKR never showed does not count, however great its id; the end of an order changes nothing."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (_, journal):
            assert await journal.acknowledged_high_water() == 0
            for name, order_id in (("a", 7), ("b", 38103), ("c", 9), ("d", 40000)):
                record, events = intent(name, order_id)
                await journal.commit([record], events)
                if name != "d":
                    await journal.commit(*write(moved(msgspec.structs.replace(record, perm_id=5), _S.CANCELLED, NOW)))
            assert await journal.acknowledged_high_water() == 38103
            assert await journal.order_id_high_water() == 40000

    run(scenario())


def test_steps_of_many_orders_at_once_do_not_mix(redis_url: str) -> None:
    """Every order's events are gapless whatever else is written meanwhile."""

    async def one(journal: OrderJournal, number: int) -> None:
        record, events = intent(f"o-{number}", number + 1)
        await journal.commit([record], events)
        fill = msgspec.structs.replace(executed(1, 100), order_ref=f"o-{number}")
        for happened in (seen(), fill):
            record, events = step(record, happened, NOW)
            await journal.commit([record], events)

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            await asyncio.gather(*(one(journal, number) for number in range(20)))
            by_order: dict[str, list[int]] = {}
            for event in await events_on(bus):
                by_order.setdefault(event.client_order_id, []).append(event.seq)  # type: ignore[attr-defined]
            assert by_order == {f"o-{number}": [1, 2, 3, 4] for number in range(20)}
            assert await journal.load_open() == []

    run(scenario())


def test_many_orders_are_written_together_or_not_at_all(redis_url: str) -> None:
    """One that is in the way keeps out all: no record, no event, no position and no order id of the write is there."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            await journal.commit(*write(intent("b", 5)))
            moving = PositionChange(fields={"265598": b"10"})
            batch = write(intent("a", 6), moved(intent("b", 5)[0], OrderStatus.SUBMITTED, NOW), intent("c", 7))
            stray = [msgspec.structs.replace(one, revision=one.revision + 1) for one in batch[0]]
            with pytest.raises(JournalConflict, match="b"):
                await journal.commit([batch[0][0], stray[1], batch[0][2]], batch[1], account="DU1", positions=moving)
            assert [record.client_order_id for record in await journal.load_all(["a", "b", "c"])] == ["b"]
            assert await journal.load_positions("DU1") == {}
            assert (await journal.order_id_high_water(), len(await events_on(bus))) == (5, 1)
            await journal.commit(*batch, account="DU1", positions=moving)
            assert await journal.load_all(["a", "b", "c"]) == batch[0]
            assert await journal.load_positions("DU1") == {b"265598": b"10"}
            assert await journal.order_id_high_water() == 7
            assert [event.client_order_id for event in await events_on(bus)] == ["b", "a", "b", "c"]  # type: ignore[attr-defined]

    run(scenario())


def test_new_orders_that_the_journal_knows_are_named_and_nothing_is_written(redis_url: str) -> None:
    """Their requests came a second time, or their ids did; the new one beside them is not written either."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            first, second = intent("a", 1), intent("b", 2)
            await journal.commit(*write(first, second))
            other = published(msgspec.structs.replace(first[0], revision=0, seq=0, entry_id="9-1"), first[1])
            with pytest.raises(AlreadyJournalled) as known:
                await journal.commit(*write(other, intent("c", 3)))
            assert known.value.ids == ["a"]
            assert await journal.load_all(["a", "b", "c"]) == [first[0], second[0]]
            assert len(await events_on(bus)) == 2

    run(scenario())


def test_what_a_broker_before_wrote_alike_is_known_and_what_is_new_beside_it_is_not_lost(redis_url: str) -> None:
    """It rejected a request, and died before it acknowledged that: its successor makes the very same record of it.

    That is no repetition of a write, neither alone (what else is told in it would be lost) nor beside a new order.
    """

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            rejected, new = intent("a", 0), intent("b", 2)
            await journal.commit(*write(rejected), write="1-1")
            for orders in ([rejected], [rejected, new]):
                with pytest.raises(AlreadyJournalled) as known:
                    await journal.commit(*write(*orders), write="2-1")
                assert known.value.ids == ["a"]
            assert await journal.load_all(["a", "b"]) == [rejected[0]]
            await journal.commit(*write(new), write="2-2")
            await journal.commit(*write(new), write="2-2")
            assert [event.client_order_id for event in await events_on(bus)] == ["a", "b"]  # type: ignore[attr-defined]

    run(scenario())


def test_a_repeated_write_of_many_is_done_once(redis_url: str) -> None:
    """Positions and events included."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (bus, journal):
            records, events = write(intent("a", 1), intent("b", 2))
            for quantity in (b"10", b"20"):
                moving = PositionChange(fields={"265598": quantity})
                await journal.commit(
                    records, events, account="DU1", positions=moving, strategies={"s|265598": quantity}
                )
            assert await journal.load_positions("DU1") == {b"265598": b"10"}
            assert await journal.load_strategies() == {b"s|265598": b"10"}
            assert len(await events_on(bus)) == 2

    run(scenario())


def test_positions_are_set_removed_and_begun_anew_by_account(redis_url: str) -> None:
    """Without any order, too; another account's are another hash, strategies' a third."""

    async def scenario() -> None:
        async with journal_on(redis_url) as (_, journal):
            for account in ("DU1", "DU2"):
                both = PositionChange(fields={"1": b"one", "2": b"two"})
                await journal.commit([], [], account=account, positions=both, strategies={"x|1": b"5", "y|1": b"-5"})
            change = PositionChange(fields={"3": b"three"}, removed=("1",))
            await journal.commit([], [], account="DU1", positions=change, strategies={"x|1": b"6"})
            assert await journal.load_positions("DU1") == {b"2": b"two", b"3": b"three"}
            await journal.commit([], [], account="DU1", positions=PositionChange(fields={"4": b"four"}, clear=True))
            assert await journal.load_positions("DU1") == {b"4": b"four"}
            assert await journal.load_positions("DU2") == {b"1": b"one", b"2": b"two"}
            assert await journal.load_strategies() == {b"x|1": b"6", b"y|1": b"-5"}

    run(scenario())


def test_a_fenced_broker_writes_no_positions_and_begins_no_session(redis_url: str) -> None:
    """Nothing that it still believes can be put over what its successor knows."""

    async def scenario() -> None:
        async with journal_on(redis_url, 1) as (_, old), journal_on(redis_url, 2) as (_, new):
            await new.load_open()
            with pytest.raises(Fenced):
                await old.commit([], [], account="DU1", positions=PositionChange(fields={"1": b"x"}))
            with pytest.raises(Fenced):
                await old.begin_session(7)
            assert await new.load_positions("DU1") == {}
            assert await new.floors() == {}

    run(scenario())


def test_sessions_are_counted_and_their_next_order_ids_remembered(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over restarts of the broker; of the latest sessions only, as each restart of a Gateway adds one."""
    monkeypatch.setattr(journal_module, "EPOCHS_KEPT", 3)

    async def scenario() -> None:
        async with journal_on(redis_url, 1) as (_, journal):
            assert [await journal.begin_session(floor) for floor in (7, 0)] == [1, 2]
        async with journal_on(redis_url, 2) as (_, journal):
            assert await journal.floors() == {1: 7, 2: 0}
            assert [await journal.begin_session(floor) for floor in (9, 8, 10)] == [3, 4, 5]
            assert await journal.floors() == {3: 9, 4: 8, 5: 10}

    run(scenario())


def test_records_are_read_in_portions_and_unknown_ones_left_out(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are asked for, in the order of the question."""
    monkeypatch.setattr(journal_module, "LOADED_AT_ONCE", 3)

    async def scenario() -> None:
        async with journal_on(redis_url) as (_, journal):
            steps = [intent(f"o-{number}", number + 1) for number in range(8)]
            await journal.commit(*write(*steps))
            wanted = ["nobody", *(f"o-{number}" for number in reversed(range(8)))]
            assert await journal.load_all(wanted) == [record for record, _ in reversed(steps)]
            assert await journal.load_all([]) == []
            assert {record.client_order_id for record in await journal.load_open()} == set(wanted[1:])

    run(scenario())


def test_a_durable_write_is_there_after_a_kill(private_server: Callable[[], KillableServer]) -> None:
    """Written, killed at once, started again from its file."""

    async def scenario() -> None:
        async with private_server() as server:
            async with journal_on(server.url) as (_, journal):
                record, events = intent()
                await journal.commit([record], events, durable=True)
                await server.kill()
            await server.start()
            async with journal_on(server.url) as (bus, journal):
                assert await journal.load("s-1") == record
                assert len(await events_on(bus)) == 1

    run(scenario())


def test_a_repeated_durable_write_waits_for_the_disk_as_the_first_would_have(
    private_server: Callable[[], KillableServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server knows of each connection what it wrote: a repetition on another one must not be told of nothing to wait for."""
    monkeypatch.setattr(connection, "FSYNC_TIMEOUT_S", 0.3)

    async def scenario() -> None:
        async with private_server() as server, journal_on(server.url) as (bus, journal):
            record, events = intent()
            async with journal_on(server.url) as (_, other):
                await bus.redis.config_set("appendfsync", "no")  # written, and on no disk
                await journal.commit([record], events)
                with pytest.raises(BusUnavailable, match="not on disk"):
                    await other.commit([record], events, durable=True)
                await bus.redis.config_set("appendfsync", "always")
                await other.commit([record], events, durable=True)
            assert len(await events_on(bus)) == 1

    run(scenario())
