"""The ledger over a real Redis: the book never falls behind the journal, whatever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from redis_for_tests import KillableServer
from support import run

from ibstream.bus import Bus, StreamReader
from ibstream.bus.reader import BEGINNING
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderStatus, OrderStatusChanged, Side, SubmitOrder
from ibstream.contracts.registry import ORDER_EVENTS
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.inputs import Executed
from ibstream_broker.domain.lifecycle import moved, published, status_event, step
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import OrderLedger
from ibstream_broker.ports import AlreadyJournalled, Fenced

ORDER_ID, CON_ID = 41, 265598


def new_order(name: str = "o1", entry_id: str = "1-1") -> OrderRecord:
    request = SubmitOrder(
        client_order_id=name,
        strategy="test",
        instrument=Instrument(symbol="AAPL"),
        side=Side.BUY,
        quantity=Decimal(10),
        requested_at=SYSTEM_CLOCK.now(),
    )
    return OrderRecord(request=request, entry_id=entry_id, order_id=ORDER_ID)


def bought(name: str, quantity: int) -> Executed:
    """An execution of an order."""
    return Executed(
        exec_id="0000e0d5.6560a1b2.01.01",
        order_ref=name,
        order_id=ORDER_ID,
        perm_id=7,
        symbol="AAPL",
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal("100.00"),
        account="DU1",
        exchange="ISLAND",
        executed_at=SYSTEM_CLOCK.now(),
        con_id=CON_ID,
    )


def test_a_write_whose_task_is_cancelled_is_finished_before_the_next_change(
    private_server: Callable[[], KillableServer],
) -> None:
    """Redis hangs, the writer is cancelled (its link was lost, say), Redis wakes: the next step follows on from what it wrote."""

    async def scenario() -> None:
        async with private_server() as server, Bus(server.url, client_name="test") as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(ledger, "o1")
            async with server.frozen():
                begun = asyncio.create_task(_move(ledger, OrderStatus.SUBMITTED))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(begun), timeout=0.2)
                begun.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await begun
            await _move(ledger, OrderStatus.PENDING_CANCEL)
            stored = await ledger.journal.load("o1")
            assert stored == ledger.book.get("o1")
            assert stored is not None
            assert (stored.revision, stored.seq, stored.status) == (3, 3, OrderStatus.PENDING_CANCEL)

    run(scenario())


async def _move(ledger: OrderLedger, status: OrderStatus, name: str = "o1") -> None:
    async with ledger.changing() as change:
        record = change.now(name)
        assert record is not None
        change.step(moved(record, status, SYSTEM_CLOCK.now()))


async def _begin(ledger: OrderLedger, *names: str, entry_id: str = "1-1") -> None:
    async with ledger.changing() as change:
        for name in names:
            record = new_order(name, entry_id)
            change.step(published(record, [status_event(record, SYSTEM_CLOCK.now())]))


async def told(bus: Bus) -> list[tuple[str, int, OrderStatus]]:
    """What `orders:events` says."""
    async with StreamReader(bus, {ORDER_EVENTS: BEGINNING}) as reader:
        events = [entry.message for entry in await reader.read(block_s=0.01)]
    return [(one.client_order_id, one.seq, one.status) for one in events if isinstance(one, OrderStatusChanged)]


def test_several_steps_of_an_order_in_one_change_are_one_revision(redis_url: str) -> None:
    """With all their events; a step that changes nothing is none, and a change without one writes nothing."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            async with ledger.changing() as change:
                record = new_order("o1")
                assert change.step(published(record, [status_event(record, SYSTEM_CLOCK.now())]))
                for status in (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL):
                    now = change.now("o1")
                    assert now is not None
                    assert change.step(moved(now, status, SYSTEM_CLOCK.now()))
                now = change.now("o1")
                assert now is not None
                assert not change.step((now, ()))
            stored = await ledger.journal.load("o1")
            assert stored == ledger.book.get("o1")
            assert stored is not None
            assert (stored.revision, stored.seq) == (1, 3)
            steps = [OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL]
            assert await told(bus) == [("o1", number, status) for number, status in enumerate(steps, start=1)]
            async with ledger.changing() as change:
                assert change.is_empty
            assert await ledger.journal.load("o1") == stored
            await _move(ledger, OrderStatus.SUBMITTED)
            assert (await ledger.journal.load("o1")) == ledger.book.get("o1")

    run(scenario())


def test_what_turns_out_to_be_journalled_is_believed_no_more(redis_url: str) -> None:
    """A new order whose id an earlier life gave out: the change is taken back whole, the orders beside it too."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            before = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(before, "old", "working")
            await _move(before, OrderStatus.REJECTED, "old")
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            ledger.reopen(1)
            await ledger.load(durable=False)
            stood = ledger.book.get("working")
            assert stood is not None

            async def mixed() -> None:
                async with ledger.changing() as change:
                    change.step(moved(stood, OrderStatus.SUBMITTED, SYSTEM_CLOCK.now()))
                    for name in ("old", "new"):
                        record = new_order(name, "2-1")
                        change.step(published(record, [status_event(record, SYSTEM_CLOCK.now())]))

            with pytest.raises(AlreadyJournalled) as known:
                await mixed()
            assert known.value.ids == ["old"]
            assert [ledger.book.get(name) for name in ("old", "new", "working")] == [None, None, stood]
            assert list(ledger.book.open()) == [stood]
            assert ledger.interest.open_orders(stood.account) == 1
            assert ledger.interest.working(stood.account, stood.request.instrument, Side.BUY) == stood.request.quantity
            assert await ledger.journal.load_all(["new", "working"]) == [stood]
            await _begin(ledger, "new", entry_id="2-1")
            assert ledger.interest.open_orders(stood.account, "test") == 2

    run(scenario())


def test_a_ledger_believes_the_journal_and_nothing_else(redis_url: str) -> None:
    """Open orders, the greatest order id, what strategies hold; reopened it forgets what it believed before."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            first = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(first, "a", "b")
            async with first.changing() as change:
                record = change.now("a")
                assert record is not None
                change.step(step(record, bought("a", 4), SYSTEM_CLOCK.now()))
            await _move(first, OrderStatus.REJECTED, "b")
            second = OrderLedger(bus, clock=SYSTEM_CLOCK)
            for token in (2, 3):
                second.reopen(token)
                assert list(second.book.open()) == []
                await second.load(durable=False)
                [record] = second.book.open()
                assert (record.client_order_id, record.filled) == ("a", 4)
                assert second.order_id_high_water == record.order_id == ORDER_ID
                assert second.acknowledged_high_water == ORDER_ID
                assert second.interest.held(record.account, "test", CON_ID) == 4
                assert second.interest.working(record.account, record.request.instrument, Side.BUY, "test") == 6
            with pytest.raises(Fenced):
                await _move(first, OrderStatus.SUBMITTED, "a")

    run(scenario())


def test_what_ibkr_has_acknowledged_is_remembered_when_all_of_it_has_ended(redis_url: str) -> None:
    """A Gateway whose ids went back below it proves nothing, though no open order tells so."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            first = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(first, "a")
            async with first.changing() as change:
                record = change.now("a")
                assert record is not None
                change.step(step(record, bought("a", 10), SYSTEM_CLOCK.now()))
            assert first.acknowledged_high_water == ORDER_ID
            second = OrderLedger(bus, clock=SYSTEM_CLOCK)
            second.reopen(2)
            await second.load(durable=False)
            assert list(second.book.open()) == []
            assert second.acknowledged_high_water == ORDER_ID

    run(scenario())


def test_changes_wait_for_each_other(redis_url: str) -> None:
    """Twenty at once start each from what the one before it has written."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(ledger, "o1")
            turns = [OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL] * 10
            await asyncio.gather(*(_move(ledger, status) for status in turns))
            assert [seq for _, seq, _ in await told(bus)] == list(range(1, 22))
            assert await ledger.journal.load("o1") == ledger.book.get("o1")

    run(scenario())


def test_a_record_that_was_read_while_its_order_moved_on_takes_nothing_back(redis_url: str) -> None:
    """An order that had ended long ago is looked up for a late cancel, and a late fill of it is written meanwhile."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            ledger = OrderLedger(bus, clock=SYSTEM_CLOCK)
            await _begin(ledger, "o1")
            await _move(ledger, OrderStatus.REJECTED)
            read = await ledger.load_all(["o1"])
            async with ledger.changing() as change:
                record = change.now("o1")
                assert record is not None
                change.step(step(record, bought("o1", 4), SYSTEM_CLOCK.now()))
            ledger.book.put_all(read)
            stands = ledger.book.get("o1")
            assert stands is not None
            assert stands.filled == 4
            async with ledger.changing() as change:
                change.step(step(stands, bought("o1", 4), SYSTEM_CLOCK.now()))
            assert await ledger.journal.load("o1") == ledger.book.get("o1")

    run(scenario())
